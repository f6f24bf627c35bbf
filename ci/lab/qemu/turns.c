/*
 * QEMU's main loop and its CPUs take turns. Preloaded into a machine with several CPUs under -icount.
 *
 * All emulated CPUs share one thread, which goes from one to the next when the first has used up its
 * share of the time until the next timer. Each expired timer also wakes the thread of the main loop
 * (icount_notify_aio_contexts), which takes the machine's lock whenever this host lets it run. If it
 * gets there between two shares, it is the one to run the timers, and what it interrupts is kicked out
 * of its share (qemu_cpu_kick): the CPUs go on with other shares than in the last run, and figures of
 * threads that wait for each other differ. Seen in 2 of 40 runs on a busy host.
 *
 * So the main loop, once woken, waits until the CPUs' thread waits for it: when all CPUs are halted or
 * stopped. A main loop that is needed in between, which is none of the lab's, gets on after PATIENCE.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What QEMU calls the thread of all its CPUs (-name debug-threads=on). */
#define CPUS "ALL CPUs/TCG"
/* Host time. */
#define PATIENCE ((struct timespec){.tv_sec = 5})

/* Whether the CPUs' thread waits: 1 or 0. As long as there is none, nobody waits for it. */
static _Atomic int idle = 1;
/* On what. */
static pthread_cond_t *_Atomic halted;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int is_cpus(void) {
  static _Thread_local int known = -1;
  if (known < 0) {
    char name[16] = "";
    prctl(PR_GET_NAME, name);
    known = strcmp(name, CPUS) == 0;
  }
  return known;
}

static int is_main(void) { return getpid() == gettid(); }

static void now_idle(int value) {
  atomic_store(&idle, value);
  if (value)
    syscall(SYS_futex, &idle, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
  static int (*wait)(pthread_cond_t *, pthread_mutex_t *);
  if (!wait)
    wait = next("pthread_cond_wait");
  if (!is_cpus())
    return wait(condition, mutex);
  atomic_store(&halted, condition);
  now_idle(1);
  int result = wait(condition, mutex);
  now_idle(0);
  return result;
}

/* The main loop wakes the CPUs' thread while it holds the lock: that one has not left its wait yet. */
int pthread_cond_broadcast(pthread_cond_t *condition) {
  static int (*broadcast)(pthread_cond_t *);
  if (!broadcast)
    broadcast = next("pthread_cond_broadcast");
  if (condition == atomic_load(&halted) && is_main())
    now_idle(0);
  return broadcast(condition);
}

/* Where the main loop sleeps, without the lock. */
int ppoll(struct pollfd *files, nfds_t count, const struct timespec *limit, const sigset_t *mask) {
  static int (*sleep)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
  if (!sleep)
    sleep = next("ppoll");
  int result = sleep(files, count, limit, mask);
  int error = errno;
  if (is_main())
    while (!atomic_load(&idle))
      if (syscall(SYS_futex, &idle, FUTEX_WAIT_PRIVATE, 0, &PATIENCE, NULL, 0) && errno == ETIMEDOUT)
        break;
  errno = error;
  return result;
}

/* What ppoll is called where QEMU was built with _FORTIFY_SOURCE. */
int __ppoll_chk(struct pollfd *files, nfds_t count, const struct timespec *limit, const sigset_t *mask,
                size_t size) {
  (void)size;
  return ppoll(files, count, limit, mask);
}
