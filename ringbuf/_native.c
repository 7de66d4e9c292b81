/* The cold C functions of ringbuf: what needs the C library's own headers.
 * Each returns 0 or a positive errno, unless it says otherwise. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#define MEMBARRIER_REGISTER_GLOBAL_EXPEDITED 4 /* <linux/membarrier.h> */

/* A mutex that processes share and that says when its owner died. */
int ringbuf_lock_initialise(void *mutex)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error)
        return error;
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!error)
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!error)
        error = pthread_mutex_init((pthread_mutex_t *)mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return error;
}

/* Bytes from the start of a mutex to the word that the kernel marks when the owner dies. */
int ringbuf_lock_word_offset(void)
{
    return (int)offsetof(pthread_mutex_t, __data.__lock);
}

int ringbuf_lock_size(void)
{
    return (int)sizeof(pthread_mutex_t);
}

/* Lets other processes' membarrier reach this one. */
int ringbuf_barrier_register(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_REGISTER_GLOBAL_EXPEDITED, 0, 0) ? errno : 0;
}

int ringbuf_set_dumpable(int dumpable)
{
    return prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0) ? errno : 0;
}

/* The calling process gets SIGKILL when the thread that started it ends. */
int ringbuf_die_with_parent(void)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) ? errno : 0;
}

/* Where a writer that dies of what it does leaves the number of its reign. */
static const int *crash_lock;
static const volatile int64_t *crash_epoch;
static volatile int64_t *crash_crashed;
static char crash_stack[65536]; /* the thread's own may be what has run out */

#define OWNER_MASK 0x3fffffff /* FUTEX_TID_MASK */

/* Safe in a signal handler. Only the holder of the lock may speak for the reign. */
void ringbuf_mark_crash(void)
{
    if (crash_lock && (__atomic_load_n(crash_lock, __ATOMIC_RELAXED) & OWNER_MASK) ==
                          (int)syscall(SYS_gettid))
        __atomic_store_n(crash_crashed, *crash_epoch, __ATOMIC_RELEASE);
}

/* The handler is gone when it runs: on return the fault happens again, and ends the process. */
static void on_crash(int number, siginfo_t *info, void *context)
{
    (void)context;
    /* Positive: the kernel's own word about what we did. abort() sends itself a signal. */
    if (info->si_code > 0 || (number == SIGABRT && info->si_pid == getpid()))
        ringbuf_mark_crash();
    if (info->si_code <= 0)
        raise(number);
}

int ringbuf_mark_crashes(int *lock, int64_t *epoch, int64_t *crashed)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action = {.sa_sigaction = on_crash,
                               .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK};
    stack_t stack = {.ss_sp = crash_stack, .ss_size = sizeof crash_stack};
    size_t index;
    crash_lock = lock;
    crash_epoch = epoch;
    crash_crashed = crashed;
    if (sigaltstack(&stack, NULL))
        return errno;
    for (index = 0; index < sizeof numbers / sizeof *numbers; index++)
        if (sigaction(numbers[index], &action, NULL))
            return errno;
    return 0;
}

int ringbuf_lock_memory(void *start, size_t size)
{
    return mlock(start, size) ? errno : 0;
}

/* Makes every page exist; an error where touching it would be a SIGBUS. */
int ringbuf_populate(void *start, size_t size)
{
    return madvise(start, size, MADV_POPULATE_WRITE) ? errno : 0;
}
