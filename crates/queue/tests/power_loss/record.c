// Preloaded into a process, this writes down everything that the process does to the files below $RECORD_BELOW, in the order in
// which it happens, and what it says on its standard output in between. From that, power_loss/disk.rs makes the disk as it would
// be after a loss of power at any moment.
//
// Syncs of what $RECORD_NO_SYNC says are left out, as if they did nothing: of files whose name ends so, or of all directories if
// it is "directories", or of all files in a directory if it ends in a slash.
//
// A record: u8 kind, u64 file, u64 offset, u64 length, then that many octets.
//   C made (octets: path)   W written   T truncated (offset: new length)   R renamed (octets: old NUL new)   U removed (path)
//   D directory made (path)   B sync begun (offset: its number, octets: path)   E sync ended (the same)   S said on standard output
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int out = -1;
static uint64_t syncs;

#define REAL(name) ({ static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })

static void put(const void *data, size_t length) {
    const char *at = data;
    while (length) {
        ssize_t done = syscall(SYS_write, out, at, length);
        if (done <= 0) abort();
        at += done;
        length -= (size_t)done;
    }
}

static void record(char kind, uint64_t file, uint64_t offset, const void *data, uint64_t length) {
    if (out < 0) {
        const char *path = getenv("RECORD_TO");
        if (!path) return;
        out = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (out < 0) abort();
    }
    char head[25];
    head[0] = kind;
    memcpy(head + 1, &file, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &length, 8);
    put(head, sizeof head);
    put(data, length);
}

static int below(const char *path) {
    const char *root = getenv("RECORD_BELOW");
    return root && path && strncmp(path, root, strlen(root)) == 0;
}

// The number of the open file and its path, if it is one of those that are watched.
static int watched(int fd, uint64_t *file, char path[4096]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    struct stat found;
    if (length <= 0) return 0;
    path[length] = 0;
    if (!below(path) || fstat(fd, &found)) return 0;
    *file = found.st_ino;
    return 1;
}

static int opened(const char *path, int existed, int fd) {
    struct stat found;
    if (fd >= 0 && !existed && below(path) && !fstat(fd, &found) && S_ISREG(found.st_mode)) record('C', found.st_ino, 0, path, strlen(path));
    return fd;
}

static int open_any(int directory, const char *path, int flags, mode_t mode) {
    static int (*real)(int, const char *, int, ...);
    if (!real) real = dlsym(RTLD_NEXT, "openat64");
    pthread_mutex_lock(&order);
    int existed = access(path, F_OK) == 0;
    int fd = opened(path, existed, real(directory, path, flags, mode));
    uint64_t file;
    char name[4096];
    if (fd >= 0 && existed && (flags & O_TRUNC) && watched(fd, &file, name)) record('T', file, 0, "", 0);
    pthread_mutex_unlock(&order);
    return fd;
}

#define MODE ({ mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } mode; })
int open(const char *path, int flags, ...) { return open_any(AT_FDCWD, path, flags, MODE); }
int open64(const char *path, int flags, ...) { return open_any(AT_FDCWD, path, flags, MODE); }
int openat(int directory, const char *path, int flags, ...) { return open_any(directory, path, flags, MODE); }
int openat64(int directory, const char *path, int flags, ...) { return open_any(directory, path, flags, MODE); }

static ssize_t write_any(int fd, const void *data, size_t length, off_t offset, int is_at) {
    uint64_t file;
    char path[4096];
    pthread_mutex_lock(&order);
    int is_watched = watched(fd, &file, path);
    if (!is_at) offset = is_watched ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t done = is_at ? syscall(SYS_pwrite64, fd, data, length, offset) : syscall(SYS_write, fd, data, length);
    if (done > 0 && is_watched) record('W', file, (uint64_t)offset, data, (uint64_t)done);
    if (done > 0 && fd == 1) record('S', 0, 0, data, (uint64_t)done);
    pthread_mutex_unlock(&order);
    return done;
}

ssize_t write(int fd, const void *data, size_t length) { return write_any(fd, data, length, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return write_any(fd, data, length, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return write_any(fd, data, length, offset, 1); }

static int truncate_any(int fd, off_t length) {
    uint64_t file;
    char path[4096];
    pthread_mutex_lock(&order);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (done == 0 && watched(fd, &file, path)) record('T', file, (uint64_t)length, "", 0);
    pthread_mutex_unlock(&order);
    return done;
}

int ftruncate(int fd, off_t length) { return truncate_any(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncate_any(fd, length); }

static int is_left_out(int fd, const char *path) {
    const char *without = getenv("RECORD_NO_SYNC");
    struct stat found;
    if (!without || !*without) return 0;
    if (!strcmp(without, "directories")) return fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
    size_t length = strlen(without), whole = strlen(path);
    if (without[length - 1] == '/') return strstr(path, without) != 0;
    return whole >= length && !strcmp(path + whole - length, without);
}

static int sync_any(int fd, long call) {
    uint64_t file, number = 0;
    char path[4096];
    pthread_mutex_lock(&order);
    int is_watched = watched(fd, &file, path) && !is_left_out(fd, path);
    if (is_watched) record('B', file, number = ++syncs, path, strlen(path));
    pthread_mutex_unlock(&order);
    int done = (int)syscall(call, fd);
    pthread_mutex_lock(&order);
    if (is_watched && done == 0) record('E', file, number, path, strlen(path));
    pthread_mutex_unlock(&order);
    return done;
}

int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

int rename(const char *old, const char *new) {
    pthread_mutex_lock(&order);
    int done = REAL(rename)(old, new);
    char both[8192];
    if (done == 0 && below(old)) record('R', 0, 0, both, (uint64_t)snprintf(both, sizeof both, "%s%c%s", old, 0, new));
    pthread_mutex_unlock(&order);
    return done;
}

int unlink(const char *path) {
    pthread_mutex_lock(&order);
    int done = REAL(unlink)(path);
    if (done == 0 && below(path)) record('U', 0, 0, path, strlen(path));
    pthread_mutex_unlock(&order);
    return done;
}

int mkdir(const char *path, mode_t mode) {
    pthread_mutex_lock(&order);
    int done = REAL(mkdir)(path, mode);
    if (done == 0 && below(path)) record('D', 0, 0, path, strlen(path));
    pthread_mutex_unlock(&order);
    return done;
}
