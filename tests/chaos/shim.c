/* What a test puts between the program and the C library, in every process: a clock that is wrong, a disk that takes
   its time, a machine that has no process to give. The test writes the figures into the file SHIM_FIGURES, which all
   processes have mapped. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct figures {
    volatile int64_t clock_seconds, fsync_microseconds, no_processes, no_threads;
};

static const struct figures nothing;
static const struct figures *figures = &nothing;

__attribute__((constructor)) static void map_figures(void) {
    int fd = open(SHIM_FIGURES, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof(struct figures), PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED)
        figures = page;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += figures->clock_seconds;
    return result;
}

time_t time(time_t *now) {
    struct timespec there;
    clock_gettime(CLOCK_REALTIME, &there);
    if (now)
        *now = there.tv_sec;
    return there.tv_sec;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec there;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &there);
    now->tv_sec = there.tv_sec;
    now->tv_usec = there.tv_nsec / 1000;
    return 0;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (figures->fsync_microseconds)
        usleep(figures->fsync_microseconds);
    return real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (figures->fsync_microseconds)
        usleep(figures->fsync_microseconds);
    return real(fd);
}

pid_t fork(void) {
    static pid_t (*real)(void);
    if (!real)
        real = (pid_t (*)(void))dlsym(RTLD_NEXT, "fork");
    if (figures->no_processes) {
        errno = EAGAIN;
        return -1;
    }
    return real();
}

/* A vfork() of ours could not return: its child would tread on our frame. fork() is as good here. */
pid_t vfork(void) {
    return fork();
}

/* For the kernel, a thread is a process: the same limit, and the same error. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real)
        real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
    return figures->no_threads ? EAGAIN : real(thread, attributes, run, argument);
}
