/* The inside of struct loop, shared by loop.c and loop_timer.c. Nothing else includes it. */
#ifndef BASE_LOOP_INTERNAL_H
#define BASE_LOOP_INTERNAL_H

#include "base/list.h"
#include "base/loop.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#define LOOP_READY_MAX 64

struct loop {
	int epoll_fd;
	int wake_fd; /* eventfd: posts from other threads, and loop_stop() */
	/* -1, or the earliest deadline as a descriptor: where epoll_pwait2 is missing, or when
	 * loop_fd() was asked for */
	int timer_fd;
	uint64_t timer_fd_deadline_ns; /* what timer_fd is set to; UINT64_MAX: nothing */

	struct list watches, hooks;
	struct epoll_event
		ready[LOOP_READY_MAX]; /* of this turn; entries of removed watches are cleared */
	int ready_next, ready_count;

	struct loop_timer **heap; /* heap[0] is unused */
	unsigned heap_len, heap_cap;
	uint64_t timer_seq;
	uint64_t timers_now_ns; /* while timers run: their "now"; else 0 */

	_Atomic(struct loop_task *) posts; /* newest first */
	atomic_bool stop;
	bool again; /* the next turn does not sleep: a hook asked for it, or hooks are due */
	bool in_turn; /* guards against a turn within a turn */
	bool nested; /* loop_fd() was called: epoll_fd must tell of timers and tasks too */
};

uint64_t loop_timers_next(const struct loop *loop); /* earliest deadline, or UINT64_MAX */
void loop_timers_run(struct loop *loop);
void loop_timers_drop(struct loop *loop);
void loop_timers_arm(struct loop *loop, uint64_t deadline_ns); /* sets timer_fd */

#endif
