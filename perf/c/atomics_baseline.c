/* What loads and stores that another core may see cost one core of this machine, in bare C.
 *
 *   atomics_baseline load|store|exchange|fence COUNT
 *
 * Prints one JSON object: nanoseconds of each. Nobody else touches the word. */

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static _Atomic int64_t word;

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int64_t repeat(char kind, int64_t count)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++) {
        if (kind == 'l') {
            sum += atomic_load_explicit(&word, memory_order_acquire);
        } else if (kind == 's') {
            atomic_store_explicit(&word, i, memory_order_release);
        } else if (kind == 'e') {
            int64_t expected = i;
            sum += atomic_compare_exchange_strong_explicit(&word, &expected, i + 1,
                                                           memory_order_acq_rel,
                                                           memory_order_acquire);
        } else {
            atomic_store_explicit(&word, i, memory_order_relaxed);
            atomic_thread_fence(memory_order_seq_cst);
        }
    }
    return sum;
}

int main(int count, char **argument)
{
    if (count != 3) {
        fprintf(stderr, "usage: atomics_baseline load|store|exchange|fence COUNT\n");
        return 64;
    }
    int64_t wanted = atoll(argument[2]);
    repeat(argument[1][0], 1000);
    atomic_store(&word, 0);
    int64_t before = now_ns();
    int64_t sum = repeat(argument[1][0], wanted);
    printf("{\"ns\": %.4f, \"sum\": %ld}\n", (double)(now_ns() - before) / wanted, (long)sum);
    return 0;
}
