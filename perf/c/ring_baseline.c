/* What two cores of this machine can do at best, in bare C.
 *
 *   ring_baseline pingpong TRIPS CPU CPU        two processes, one word each way
 *   ring_baseline records TRIPS CPU CPU         the same, and a record of one line each way
 *   ring_baseline spsc RECORDS CPU CPU          two processes, one queue of 64-byte records
 *
 * Prints one JSON object. */

#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY 65536
#define LINE 128
#define ROUND 2000      /* trips that are timed together */
#define STRETCH (1 << 20) /* records that are timed together */
#define PAUSES 32       /* of a reader that has found nothing */

struct line {
    _Atomic int64_t word;
    char rest[LINE - 8];
};

/* One line, written and read as one value where the processor can. */
typedef int64_t words __attribute__((vector_size(64)));

struct record {
    words word;
};

struct shared {
    struct line request, answer, ready;
    struct record records[CAPACITY];
};

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        perror("sched_setaffinity");
}

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int64_t acquire(struct line *line)
{
    return atomic_load_explicit(&line->word, memory_order_acquire);
}

static void release(struct line *line, int64_t value)
{
    atomic_store_explicit(&line->word, value, memory_order_release);
}

static struct record *asked(struct shared *shared, int64_t trip)
{
    return &shared->records[trip & 1023];
}

static struct record *answered(struct shared *shared, int64_t trip)
{
    return &shared->records[CAPACITY / 2 + (trip & (CAPACITY / 2 - 1))];
}

static int ascending(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void wait_for(struct line *line, int64_t value)
{
    while (acquire(line) < value)
        __builtin_ia32_pause();
}

static void serve_pingpong(struct shared *shared, int64_t trips)
{
    release(&shared->ready, 1);
    for (int64_t trip = 1; trip <= trips; trip++) {
        wait_for(&shared->request, trip);
        release(&shared->answer, trip);
    }
}

/* The first half in rounds, of which the best is the cost; the second half trip by trip. */
static void ask_pingpong(struct shared *shared, int64_t trips)
{
    int64_t half = trips / 2, *samples = malloc(half * sizeof *samples);
    double best = 1e18;
    wait_for(&shared->ready, 1);
    for (int64_t trip = 0; trip < half;) {
        int64_t before = now_ns(), stop = trip + ROUND < half ? trip + ROUND : half;
        int64_t first = trip;
        while (trip < stop) {
            release(&shared->request, ++trip);
            wait_for(&shared->answer, trip);
        }
        double mean = (double)(now_ns() - before) / (stop - first);
        best = mean < best ? mean : best;
    }
    for (int64_t trip = half + 1; trip <= 2 * half; trip++) {
        int64_t before = now_ns();
        release(&shared->request, trip);
        wait_for(&shared->answer, trip);
        samples[trip - half - 1] = now_ns() - before;
    }
    qsort(samples, half, sizeof *samples, ascending);
    printf("{\"best_ns\": %.1f, \"p50_ns\": %ld, \"p90_ns\": %ld, \"p99_ns\": %ld, ", best,
           (long)samples[half / 2], (long)samples[half * 9 / 10], (long)samples[half * 99 / 100]);
    printf("\"p99_9_ns\": %ld, \"p99_99_ns\": %ld, \"p100_ns\": %ld}\n",
           (long)samples[half * 999 / 1000], (long)samples[half * 9999 / 10000],
           (long)samples[half - 1]);
}

/* As two rings do it: the record, then the word that publishes it. */
static void serve_records(struct shared *shared, int64_t trips)
{
    release(&shared->ready, 1);
    for (int64_t trip = 1; trip <= trips; trip++) {
        wait_for(&shared->request, trip);
        answered(shared, trip)->word = asked(shared, trip)->word;
        release(&shared->answer, trip);
    }
}

static void ask_records(struct shared *shared, int64_t trips)
{
    double best = 1e18;
    wait_for(&shared->ready, 1);
    for (int64_t trip = 0; trip < trips;) {
        int64_t before = now_ns(), first = trip, stop = trip + ROUND < trips ? trip + ROUND : trips;
        while (trip < stop) {
            ++trip;
            asked(shared, trip)->word = trip + (words){0, 1, 2, 3, 4, 5, 6, 7};
            release(&shared->request, trip);
            wait_for(&shared->answer, trip);
            if (answered(shared, trip)->word[0] != trip)
                exit(1);
        }
        double mean = (double)(now_ns() - before) / (stop - first);
        best = mean < best ? mean : best;
    }
    printf("{\"best_ns\": %.1f}\n", best);
}

static void produce(struct shared *shared, int64_t count)
{
    int64_t consumed_seen = 0;
    release(&shared->ready, 1);
    for (int64_t position = 0; position < count; position++) {
        while (position - consumed_seen >= CAPACITY) {
            consumed_seen = acquire(&shared->answer);
            __builtin_ia32_pause();
        }
        struct record *record = &shared->records[position & (CAPACITY - 1)];
        record->word = position + (words){0, 1, 2, 3, 4, 5, 6, 7};
        release(&shared->request, position + 1);
    }
}

static int64_t total(words sum)
{
    int64_t all = 0;
    for (int word = 0; word < 8; word++)
        all += sum[word];
    return all;
}

static int ascending_speed(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* In rounds without a pause between them, of which the best is the speed. */
static void consume(struct shared *shared, int64_t count)
{
    int64_t published_seen = 0, rounds = 0;
    words sum = {0};
    double *speeds = malloc((count / STRETCH + 1) * sizeof *speeds);
    wait_for(&shared->ready, 1);
    for (int64_t position = 0; position < count;) {
        int64_t before = now_ns(), first = position;
        int64_t stop = position + STRETCH < count ? position + STRETCH : count;
        for (; position < stop; position++) {
            while (position >= published_seen) {
                published_seen = acquire(&shared->request);
                /* Who asks at once again pulls the line for every record. */
                for (int pause = 0; position >= published_seen && pause < PAUSES; pause++)
                    __builtin_ia32_pause();
            }
            sum += shared->records[position & (CAPACITY - 1)].word;
            if ((position & 1023) == 1023)
                release(&shared->answer, position + 1);
        }
        speeds[rounds++] = (stop - first) * 1e9 / (now_ns() - before);
    }
    qsort(speeds, rounds, sizeof *speeds, ascending_speed);
    printf("{\"records_per_second\": %.0f, \"median_per_second\": %.0f, \"sum\": %ld}\n",
           speeds[rounds - 1], speeds[rounds / 2], (long)total(sum));
}

int main(int count, char **argument)
{
    if (count != 5) {
        fprintf(stderr, "usage: ring_baseline pingpong|records|spsc COUNT CPU CPU\n");
        return 64;
    }
    int64_t number = atoll(argument[2]);
    char kind = argument[1][0];
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    pid_t child = fork();
    pin(atoi(argument[child ? 3 : 4]));
    if (!child) {
        kind == 'p'   ? serve_pingpong(shared, number / 2 * 2)
        : kind == 'r' ? serve_records(shared, number)
                      : produce(shared, number);
        _exit(0);
    }
    kind == 'p'   ? ask_pingpong(shared, number)
    : kind == 'r' ? ask_records(shared, number)
                  : consume(shared, number);
    waitpid(child, NULL, 0);
    return 0;
}
