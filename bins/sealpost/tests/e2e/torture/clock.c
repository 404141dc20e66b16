/* A clock that runs CLOCK_SPEED times as fast, from the moment CLOCK_BASE (seconds since 1970) on, and whose time of day is off
 * by as many seconds as the text file CLOCK_OFFSET says at the moment. Waits become shorter accordingly.
 *
 * What the standard library and tokio wait with: epoll_wait, futex, nanosleep. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

#define SECOND 1000000000LL

static long long speed = 1, base_wall, base_mono;
static const char *offset_file;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static long (*real_syscall)(long, ...);
static int (*real_nanosleep)(clockid_t, int, const struct timespec *, struct timespec *);

static long long nanos(const struct timespec *t) { return t->tv_sec * SECOND + t->tv_nsec; }
static struct timespec spec(long long n) { return (struct timespec){.tv_sec = n / SECOND, .tv_nsec = n % SECOND}; }

static void begin(void) {
  if (real_gettime) return;
  const char *text = getenv("CLOCK_SPEED");
  if (text) speed = atoll(text);
  offset_file = getenv("CLOCK_OFFSET");
  real_epoll_wait = dlsym(RTLD_NEXT, "epoll_wait");
  real_syscall = dlsym(RTLD_NEXT, "syscall");
  real_nanosleep = dlsym(RTLD_NEXT, "clock_nanosleep");
  int (*gettime)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  struct timespec now;
  gettime(CLOCK_MONOTONIC, &now);
  base_mono = nanos(&now);
  text = getenv("CLOCK_BASE");
  gettime(CLOCK_REALTIME, &now);
  base_wall = text ? atoll(text) * SECOND : nanos(&now);
  real_gettime = gettime;
}

__attribute__((constructor)) static void at_start(void) { begin(); }

/* Seconds; read now and then only. */
static long long offset(long long mono) {
  static long long seconds, looked = -SECOND;
  if (offset_file && mono - looked > SECOND / 20) {
    looked = mono;
    char text[32] = "";
    int fd = open(offset_file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
      if (read(fd, text, sizeof text - 1) > 0) seconds = atoll(text);
      close(fd);
    }
  }
  return seconds;
}

static int is_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }
static int is_mono(clockid_t clock) {
  return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_BOOTTIME;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  begin();
  int result = real_gettime(clock, t);
  if (result != 0) return result;
  if (is_mono(clock)) *t = spec(base_mono + (nanos(t) - base_mono) * speed);
  if (is_wall(clock)) {
    struct timespec mono;
    real_gettime(CLOCK_MONOTONIC, &mono);
    *t = spec(base_wall + (nanos(t) - base_wall) * speed + offset(nanos(&mono)) * SECOND);
  }
  return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *t) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}

/* The moment of the real clock at which ours shows this one. */
static long long really(long long shown, int wall) {
  struct timespec mono;
  real_gettime(CLOCK_MONOTONIC, &mono);
  long long base = wall ? base_wall : base_mono;
  if (wall) shown -= offset(nanos(&mono)) * SECOND;
  long long at = base + (shown - base) / speed;
  return at > 0 ? at : 0;
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout) {
  begin();
  return real_epoll_wait(fd, events, most, timeout > 0 ? (timeout + speed - 1) / speed : timeout);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wait, struct timespec *left) {
  begin();
  struct timespec shorter = flags & TIMER_ABSTIME ? spec(really(nanos(wait), is_wall(clock))) : spec(nanos(wait) / speed);
  return real_nanosleep(clock, flags, &shorter, left);
}

int nanosleep(const struct timespec *wait, struct timespec *left) { return clock_nanosleep(CLOCK_MONOTONIC, 0, wait, left); }
int usleep(useconds_t micros) {
  struct timespec wait = spec(micros * 1000LL);
  return nanosleep(&wait, NULL);
}

long syscall(long number, ...) {
  begin();
  va_list list;
  va_start(list, number);
  long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long), d = va_arg(list, long), e = va_arg(list, long),
       f = va_arg(list, long);
  va_end(list);
  struct timespec changed;
  if (number == SYS_futex && d) {
    int command = b & FUTEX_CMD_MASK;
    const struct timespec *wait = (const struct timespec *)d;
    if (command == FUTEX_WAIT) {
      changed = spec(nanos(wait) / speed);
      d = (long)&changed;
    } else if (command == FUTEX_WAIT_BITSET) {
      changed = spec(really(nanos(wait), b & FUTEX_CLOCK_REALTIME));
      d = (long)&changed;
    }
  }
  return real_syscall(number, a, b, c, d, e, f);
}
