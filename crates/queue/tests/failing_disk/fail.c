// Preloaded into a process, this makes calls fail on files below $FAIL_BELOW: from the $FAIL_AT-th call of the kind $FAIL_CALLS on, so
// many as $FAIL_COUNT says, with the error number $FAIL_WITH. Each one that fails is told on standard output.
//
// Kinds: "write" all that needs space, "sync", "open" what opens a file to write it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static long calls;

static int below(const char *path) {
    const char *root = getenv("FAIL_BELOW");
    return root && path && strncmp(path, root, strlen(root)) == 0;
}

static int is_below(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return below(path) && !strstr(path, ".lock");
}

static int fails(const char *kind) {
    const char *kinds = getenv("FAIL_CALLS");
    if (!kinds || strcmp(kinds, kind)) return 0;
    long at = atol(getenv("FAIL_AT")), count = atol(getenv("FAIL_COUNT"));
    pthread_mutex_lock(&order);
    long call = ++calls;
    int failed = call >= at && call < at + count;
    if (failed) syscall(SYS_write, 1, "failed\n", 7);
    pthread_mutex_unlock(&order);
    if (failed) errno = atoi(getenv("FAIL_WITH"));
    return failed;
}

static int open_any(int directory, const char *path, int flags, mode_t mode) {
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && below(path) && fails("open")) return -1;
    static int (*real)(int, const char *, int, ...);
    if (!real) real = dlsym(RTLD_NEXT, "openat64");
    return real(directory, path, flags, mode);
}

#define MODE ({ mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } mode; })
int open(const char *path, int flags, ...) { return open_any(AT_FDCWD, path, flags, MODE); }
int open64(const char *path, int flags, ...) { return open_any(AT_FDCWD, path, flags, MODE); }
int openat(int directory, const char *path, int flags, ...) { return open_any(directory, path, flags, MODE); }
int openat64(int directory, const char *path, int flags, ...) { return open_any(directory, path, flags, MODE); }

ssize_t write(int fd, const void *data, size_t length) { return is_below(fd) && fails("write") ? -1 : syscall(SYS_write, fd, data, length); }
static ssize_t pwrite_any(int fd, const void *data, size_t length, off_t offset) {
    return is_below(fd) && fails("write") ? -1 : syscall(SYS_pwrite64, fd, data, length, offset);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite_any(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return pwrite_any(fd, data, length, offset); }
int fsync(int fd) { return is_below(fd) && fails("sync") ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return is_below(fd) && fails("sync") ? -1 : (int)syscall(SYS_fdatasync, fd); }
