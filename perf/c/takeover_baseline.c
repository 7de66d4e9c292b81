/* What this machine can do at best when a process is killed, in bare C.
 *
 *   takeover_baseline kill ROUNDS CPU CPU      a robust mutex; its owner spins on the first core and
 *                                              is killed from there, the other sees it and takes it;
 *                                              a fifth argument: with real-time priority
 *   takeover_baseline hiccups MS CPU           a loop that only reads the clock: every 100 us, what a
 *                                              piece of 50 us of it took longer than that
 *
 * Prints one JSON object: "nanoseconds", every sample. */

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OWNER_DIED 0x40000000
#define PIECE_NS 50000
#define EVERY_NS 100000

struct shared {
    pthread_mutex_t mutex;
    char rest[128 - sizeof(pthread_mutex_t)];
    _Atomic int64_t locked, watching, seen_ns;
};

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        perror("sched_setaffinity");
}

static int priority; /* 0: like everybody's */

static void rise(int level)
{
    struct sched_param wanted = {.sched_priority = level};
    if (priority && sched_setscheduler(0, SCHED_FIFO, &wanted))
        perror("sched_setscheduler");
}

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void pause_ms(int ms)
{
    struct timespec time = {0, ms * 1000000L};
    nanosleep(&time, NULL);
}

static void make_lock(struct shared *shared)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->mutex, &attributes);
    shared->locked = shared->watching = shared->seen_ns = 0;
}

static void own(struct shared *shared, int cpu)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    rise(10);
    pin(cpu);
    pthread_mutex_lock(&shared->mutex);
    shared->locked = 1;
    for (;;)
        __builtin_ia32_pause();
}

static void succeed(struct shared *shared, int cpu)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    rise(10);
    pin(cpu);
    _Atomic int *word = (_Atomic int *)&shared->mutex;
    shared->watching = 1;
    while (!(atomic_load_explicit(word, memory_order_acquire) & OWNER_DIED))
        __builtin_ia32_pause();
    if (pthread_mutex_trylock(&shared->mutex) == EOWNERDEAD)
        pthread_mutex_consistent(&shared->mutex);
    shared->seen_ns = now_ns();
    pthread_mutex_unlock(&shared->mutex);
    _exit(0);
}

static int64_t kill_once(struct shared *shared, int owner_cpu, int successor_cpu)
{
    make_lock(shared);
    pid_t owner = fork();
    if (!owner)
        own(shared, owner_cpu);
    pid_t successor = fork();
    if (!successor)
        succeed(shared, successor_cpu);
    while (!shared->locked || !shared->watching)
        pause_ms(1);
    pause_ms(3);
    int64_t begin = now_ns();
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
    waitpid(successor, NULL, 0);
    return shared->seen_ns - begin;
}

static void hiccups(int ms, int cpu)
{
    pin(cpu);
    int64_t end = now_ns() + ms * 1000000LL;
    const char *comma = "";
    int count = ms * (1000000 / EVERY_NS);
    int64_t *found = malloc(count * sizeof *found);
    int done = 0;
    for (int64_t next = now_ns(); done < count && next < end; done++) {
        int64_t begin, time;
        while ((begin = now_ns()) < next)
            ;
        next += EVERY_NS;
        /* A read that took much longer than the others is a stall: it does no work. */
        int64_t worked = 0, last = begin;
        do {
            time = now_ns();
            worked += time - last < 1000 ? time - last : 0;
            last = time;
        } while (worked < PIECE_NS);
        found[done] = time - begin - PIECE_NS;
    }
    for (int i = 0; i < done; i++, comma = ",")
        printf("%s%lld", comma, (long long)found[i]);
}

int main(int count, char **arguments)
{
    if (count < 4)
        return 2;
    printf("{\"nanoseconds\": [");
    if (arguments[1][0] == 'h') {
        hiccups(atoi(arguments[2]), atoi(arguments[3]));
    } else {
        struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        int owner_cpu = atoi(arguments[3]), successor_cpu = atoi(arguments[4]);
        priority = count > 5;
        rise(20);
        pin(owner_cpu);
        fflush(stdout);
        int64_t *found = calloc(atoi(arguments[2]), sizeof *found);
        for (int round = 0; round < atoi(arguments[2]); round++)
            found[round] = kill_once(shared, owner_cpu, successor_cpu);
        for (int round = 0; round < atoi(arguments[2]); round++)
            printf("%s%lld", round ? "," : "", (long long)found[round]);
    }
    printf("]}\n");
    return 0;
}
