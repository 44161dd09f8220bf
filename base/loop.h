/* An event loop: epoll, timers, and posts from other threads. One loop per thread; everything but loop_post() and
 * loop_stop() is called from the loop's own thread (or before it runs).
 *
 * One turn of loop_run(): (1) expired timers in order of deadline, (2) posted tasks, (3) ready descriptors,
 * (4) `idle` hooks, once. A watch, timer or hook may remove itself or any other from within a callback: it is then
 * never called again, and its memory may be freed at once (removed entries are unlinked before they are dispatched). */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/err.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

int loop_create(struct loop **ret_loop, struct ramet_err *err);
void loop_destroy(struct loop *loop); /* NULL is fine; watches and timers that are left are dropped, posts that are left are run */
/* loop_run - until loop_stop(), which may also come before it; 0, or RAMET_EIO */
int loop_run(struct loop *loop, struct ramet_err *err);
/* loop_turn - one turn that waits at most timeout_ns (UINT64_MAX: no limit). For tests and tools that drive a loop. */
int loop_turn(struct loop *loop, uint64_t timeout_ns, struct ramet_err *err);
void loop_stop(struct loop *loop); /* any thread, also async-signal-safe */
bool loop_is_current(const struct loop *loop); /* the calling thread runs it */
/* loop_fd - a descriptor that is readable when a turn is due, for nesting the loop in another; -1: the system has none left */
int loop_fd(struct loop *loop);

/* Descriptors. The watch is embedded in its user; events are EPOLLIN, EPOLLOUT, EPOLLET… (EPOLLERR and EPOLLHUP always). */
struct loop_watch {
	int fd;
	void (*fn)(struct loop_watch *watch, uint32_t events);
	struct list link;
	struct loop *loop;
};
int loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
	void (*fn)(struct loop_watch *, uint32_t), struct ramet_err *err);
int loop_watch_mod(struct loop_watch *watch, uint32_t events);
void loop_watch_remove(struct loop_watch *watch); /* before close(fd); a no-op on a zeroed or removed watch */

/* Timers, one-shot; zero-initialise them. Setting one that is armed moves it. Set from a timer's callback, a timer runs
 * in the next turn at the earliest. Deadlines are CLOCK_MONOTONIC nanoseconds (now_ns()). */
struct loop_timer {
	uint64_t deadline_ns;
	void (*fn)(struct loop_timer *timer);
	struct loop *loop;
	uint64_t seq;      /* the loop's: orders equal deadlines */
	unsigned heap_pos; /* 1-based; 0: not armed */
};
int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns, void (*fn)(struct loop_timer *));
void loop_timer_cancel(struct loop_timer *timer); /* a no-op on a zeroed or fired timer */

/* Tasks posted from any thread, run in order on the loop's thread. The task is embedded in its user and owned by the
 * loop until fn runs; fn may free it. Posting never blocks and never fails. The loop must outlive the call. */
struct loop_task {
	void (*fn)(struct loop_task *task);
	struct loop_task *next;
};
void loop_post(struct loop *loop, struct loop_task *task);

/* Hooks called at the end of every turn, before the loop sleeps (flush queues, poll a transport). A hook that returns
 * true asks for another turn without sleeping. */
struct loop_idle {
	bool (*fn)(struct loop_idle *idle);
	struct list link;
};
void loop_idle_add(struct loop *loop, struct loop_idle *idle, bool (*fn)(struct loop_idle *));
void loop_idle_remove(struct loop_idle *idle);
/* the hooks have something to see to: they are called, once more if they were called in this turn, before the loop
 * sleeps. The loop's thread only. */
void loop_idle_due(struct loop *loop);

/* A thread that runs a loop: created, named (≤ 15 bytes), joined by loop_thread_stop(). */
struct loop_thread;
int loop_thread_start(const char *name, struct loop_thread **ret_thread, struct ramet_err *err);
struct loop *loop_thread_loop(struct loop_thread *thread);
void loop_thread_stop(struct loop_thread *thread); /* stops, joins, destroys; NULL is fine; not from its own thread */

#endif
