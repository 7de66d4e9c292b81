/* The cold C functions of ringbuf: what needs the C library's own headers.
 * Each returns 0 or a positive errno, unless it says otherwise. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
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

int ringbuf_lock_memory(void *start, size_t size)
{
    return mlock(start, size) ? errno : 0;
}

/* Makes every page exist; an error where touching it would be a SIGBUS. */
int ringbuf_populate(void *start, size_t size)
{
    return madvise(start, size, MADV_POPULATE_WRITE) ? errno : 0;
}
