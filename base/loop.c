/* The event loop: waiting, dispatch in the order that loop.h promises, watches, posted tasks and
 * idle hooks. Timers are in loop_timer.c, threads that run a loop in loop_thread.c. Nothing here
 * allocates per event. */
#include "base/loop.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/loop_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

static _Thread_local struct loop *current;

/* Both helper descriptors are edge-triggered: a write or an expiry is a new edge, so they are never
 * read. */
static char wake_mark, timer_mark;

static int add_edge(struct loop *loop, int fd, void *mark)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = mark};
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

int loop_create(struct loop **ret_loop, struct ramet_err *err)
{
	auto_free struct loop *loop = calloc(1, sizeof(*loop));
	if (!loop)
		return err_nomem(err);
	list_init(&loop->watches);
	list_init(&loop->hooks);
	loop->timer_fd = -1;
	auto_close int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return err_errno(err, RAMET_EIO, "epoll_create1");
	auto_close int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return err_errno(err, RAMET_EIO, "eventfd");
	loop->epoll_fd = epoll_fd;
	if (add_edge(loop, wake_fd, &wake_mark) < 0)
		return err_errno(err, RAMET_EIO, "epoll_ctl");
	loop->epoll_fd = steal_fd(&epoll_fd);
	loop->wake_fd = steal_fd(&wake_fd);
	*ret_loop = steal_ptr(&loop);
	return 0;
}

static void wake(struct loop *loop)
{
	int saved = errno;
	uint64_t one = 1;
	ssize_t n = write(loop->wake_fd, &one, sizeof(one));
	(void)n; /* it cannot fail short of 2^64 wake-ups */
	errno = saved;
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stop, true);
	wake(loop);
}

bool loop_is_current(const struct loop *loop)
{
	return current == loop;
}

/* --- tasks: a lock-free stack that the loop takes whole and reverses --- */

void loop_post(struct loop *loop, struct loop_task *task)
{
	/* once visible, the task may run and be freed: only the loop is touched after that */
	struct loop_task *head = atomic_load_explicit(&loop->posts, memory_order_relaxed);
	do
		task->next = head;
	while (!atomic_compare_exchange_weak_explicit(
		&loop->posts, &head, task, memory_order_acq_rel, memory_order_relaxed));
	if (!head && current != loop)
		wake(loop);
}

static void run_posts(struct loop *loop)
{
	if (!atomic_load_explicit(&loop->posts, memory_order_relaxed))
		return;
	struct loop_task *newest =
		atomic_exchange_explicit(&loop->posts, NULL, memory_order_acq_rel);
	struct loop_task *oldest = NULL;
	while (newest) {
		struct loop_task *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct loop_task *next = oldest->next; /* fn may free the task */
		oldest->fn(oldest);
		oldest = next;
	}
}

/* --- idle hooks --- */

void loop_idle_add(struct loop *loop, struct loop_idle *idle, bool (*fn)(struct loop_idle *))
{
	idle->fn = fn;
	list_append(&loop->hooks, &idle->link);
}

void loop_idle_remove(struct loop_idle *idle)
{
	if (idle->link.next)
		list_remove(&idle->link);
}

void loop_idle_due(struct loop *loop)
{
	loop->again = true;
	if (loop->nested && !loop->in_turn)
		wake(loop);
}

/* Each hook moves from a list of those to call back to the loop's before it is called: whichever
 * list one is in, it can be removed, and one that is added waits for the next turn. */
static bool run_hooks(struct loop *loop)
{
	if (list_empty(&loop->hooks))
		return false;
	bool again = false;
	struct list due;
	list_insert(&loop->hooks, &due);
	list_remove(&loop->hooks);
	while (!list_empty(&due)) {
		struct loop_idle *idle = list_first(&due, struct loop_idle, link);
		list_remove(&idle->link);
		list_append(&loop->hooks, &idle->link);
		again |= idle->fn(idle);
	}
	return again;
}

/* --- watches --- */

int loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
	void (*fn)(struct loop_watch *, uint32_t), struct ramet_err *err)
{
	struct epoll_event ev = {.events = events, .data.ptr = watch};
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_errno(err, RAMET_EIO, "watch descriptor %d", fd);
	watch->fd = fd;
	watch->fn = fn;
	watch->loop = loop;
	list_append(&loop->watches, &watch->link);
	return 0;
}

int loop_watch_mod(struct loop_watch *watch, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = watch};
	if (!watch->loop)
		return RAMET_EINVAL;
	return epoll_ctl(watch->loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &ev) < 0 ? RAMET_EIO : 0;
}

void loop_watch_remove(struct loop_watch *watch)
{
	struct loop *loop = watch->loop;
	if (!loop)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	list_remove(&watch->link);
	watch->loop = NULL;
	for (int i = loop->ready_next; i < loop->ready_count; i++)
		if (loop->ready[i].data.ptr == watch)
			loop->ready[i].data.ptr = NULL;
}

static void run_watches(struct loop *loop)
{
	while (loop->ready_next < loop->ready_count) {
		const struct epoll_event *ev = &loop->ready[loop->ready_next++];
		void *ptr = ev->data.ptr;
		if (ptr == &timer_mark)
			loop->timer_fd_deadline_ns = UINT64_MAX; /* it has fired and is off */
		if (!ptr || ptr == &wake_mark || ptr == &timer_mark)
			continue;
		struct loop_watch *watch = ptr;
		watch->fn(watch, ev->events);
	}
}

/* --- waiting --- */

static int timer_fd_open(struct loop *loop)
{
	auto_close int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0 || add_edge(loop, fd, &timer_mark) < 0)
		return -1;
	loop->timer_fd = steal_fd(&fd);
	loop->timer_fd_deadline_ns = UINT64_MAX;
	return 0;
}

/* makes the epoll descriptor become readable when a turn is due, for those who wait on it elsewhere
 */
static void arm_outside(struct loop *loop, bool again)
{
	if (again || atomic_load_explicit(&loop->posts, memory_order_relaxed))
		wake(loop);
	loop_timers_arm(loop, loop_timers_next(loop));
}

int loop_fd(struct loop *loop)
{
	if (!loop->nested) {
		if (loop->timer_fd < 0 && timer_fd_open(loop) < 0)
			return -1;
		loop->nested = true;
		arm_outside(loop, loop->again);
	}
	return loop->epoll_fd;
}

/* waits until a descriptor is ready or deadline_ns (0: do not wait; UINT64_MAX: no limit) has come;
 * -1 and errno */
static int wait_ready(struct loop *loop, uint64_t deadline_ns)
{
	struct timespec ts = {0};
	uint64_t now = deadline_ns == 0 || deadline_ns == UINT64_MAX ? 0 : now_ns();
	if (loop->timer_fd < 0) {
		if (deadline_ns > now && deadline_ns != UINT64_MAX) {
			ts.tv_sec = (time_t)((deadline_ns - now) / NSEC_PER_SEC);
			ts.tv_nsec = (long)((deadline_ns - now) % NSEC_PER_SEC);
		}
		int n = -1;
		errno = ENOSYS;
		if (!fault_hit("loop.epoll_pwait2"))
			n = epoll_pwait2(loop->epoll_fd, loop->ready, LOOP_READY_MAX,
				deadline_ns == UINT64_MAX ? NULL : &ts, NULL);
		if (n >= 0 || errno != ENOSYS)
			return n;
		if (timer_fd_open(loop) < 0) /* before Linux 5.11 */
			return -1;
	}
	if (deadline_ns > now)
		loop_timers_arm(loop, deadline_ns);
	return epoll_wait(loop->epoll_fd, loop->ready, LOOP_READY_MAX, deadline_ns > now ? -1 : 0);
}

static uint64_t turn_deadline(const struct loop *loop, uint64_t timeout_ns)
{
	if (timeout_ns == 0 || loop->again ||
		atomic_load_explicit(&loop->posts, memory_order_acquire) ||
		atomic_load(&loop->stop))
		return 0;
	uint64_t deadline = UINT64_MAX;
	if (timeout_ns != UINT64_MAX) {
		uint64_t now = now_ns();
		deadline = timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX;
	}
	return MIN(deadline, loop_timers_next(loop));
}

int loop_turn(struct loop *loop, uint64_t timeout_ns, struct ramet_err *err)
{
	if (loop->in_turn)
		return err_set(
			err, RAMET_EINVAL, "loop_turn from within a callback of the same loop");
	int n = wait_ready(loop, turn_deadline(loop, timeout_ns));
	if (n < 0 && errno != EINTR)
		return err_errno(err, RAMET_EIO, "epoll_wait");
	struct loop *outer = current;
	current = loop;
	loop->in_turn = true;
	loop->ready_count = MAX(n, 0);
	loop->ready_next = 0;
	loop_timers_run(loop);
	run_posts(loop);
	run_watches(loop);
	loop->again = false; /* what was due is seen to now */
	if (run_hooks(loop))
		loop->again = true;
	loop->in_turn = false;
	current = outer;
	if (loop->nested)
		arm_outside(loop, loop->again);
	return 0;
}

int loop_run(struct loop *loop, struct ramet_err *err)
{
	struct loop *outer = current;
	current = loop;
	int rc = 0;
	while (rc == 0 && !atomic_exchange(&loop->stop, false))
		rc = loop_turn(loop, UINT64_MAX, err);
	current = outer;
	return rc;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	struct loop *outer = current;
	current = loop;
	while (atomic_load(&loop->posts))
		run_posts(loop);
	current = outer == loop ? NULL : outer;
	list_for_each_safe (watch, &loop->watches, struct loop_watch, link)
		loop_watch_remove(watch);
	while (!list_empty(&loop->hooks))
		list_remove(loop->hooks.next);
	loop_timers_drop(loop);
	close_reset(&loop->timer_fd);
	close_reset(&loop->wake_fd);
	close_reset(&loop->epoll_fd);
	free(loop);
}
