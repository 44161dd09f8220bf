/* The loop's timers: a binary heap ordered by deadline, equal deadlines in the order they were set.
 */
#include "base/clock.h"
#include "base/loop_internal.h"

#include <stdlib.h>
#include <sys/timerfd.h>

static bool before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->seq < b->seq;
}

static void place(struct loop *loop, struct loop_timer *timer, unsigned pos)
{
	loop->heap[pos] = timer;
	timer->heap_pos = pos;
}

static void sift(struct loop *loop, struct loop_timer *timer, unsigned pos)
{
	while (pos > 1 && before(timer, loop->heap[pos / 2])) {
		place(loop, loop->heap[pos / 2], pos);
		pos /= 2;
	}
	for (unsigned child; (child = pos * 2) <= loop->heap_len; pos = child) {
		if (child < loop->heap_len && before(loop->heap[child + 1], loop->heap[child]))
			child++;
		if (!before(loop->heap[child], timer))
			break;
		place(loop, loop->heap[child], pos);
	}
	place(loop, timer, pos);
}

static bool heap_reserve(struct loop *loop)
{
	if (loop->heap_len + 1 < loop->heap_cap)
		return true;
	unsigned cap = loop->heap_cap ? loop->heap_cap * 2 : 16;
	struct loop_timer **heap = realloc(loop->heap, cap * sizeof(struct loop_timer *));
	if (!heap)
		return false;
	loop->heap = heap;
	loop->heap_cap = cap;
	return true;
}

static void heap_remove(struct loop_timer *timer)
{
	struct loop *loop = timer->loop;
	unsigned pos = timer->heap_pos;
	struct loop_timer *last = loop->heap[loop->heap_len--];
	timer->heap_pos = 0;
	if (last != timer)
		sift(loop, last, pos);
}

void loop_timers_arm(struct loop *loop, uint64_t deadline_ns)
{
	if (loop->timer_fd < 0 || deadline_ns == loop->timer_fd_deadline_ns)
		return;
	struct itimerspec spec = {0};
	if (deadline_ns != UINT64_MAX) {
		uint64_t at = deadline_ns ? deadline_ns : 1; /* zero would switch it off */
		spec.it_value.tv_sec = (time_t)(at / NSEC_PER_SEC);
		spec.it_value.tv_nsec = (long)(at % NSEC_PER_SEC);
	}
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
	loop->timer_fd_deadline_ns = deadline_ns;
}

int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns,
	void (*fn)(struct loop_timer *))
{
	if (!timer->heap_pos && !heap_reserve(loop))
		return RAMET_ENOMEM;
	/* set from a timer's callback, it waits for the next turn, or a timer that sets itself
	 * could hold the loop */
	if (deadline_ns <= loop->timers_now_ns)
		deadline_ns = loop->timers_now_ns + 1;
	timer->fn = fn;
	timer->loop = loop;
	timer->deadline_ns = deadline_ns;
	timer->seq = loop->timer_seq++;
	sift(loop, timer, timer->heap_pos ? timer->heap_pos : ++loop->heap_len);
	if (loop->nested && !loop->in_turn)
		loop_timers_arm(loop, loop_timers_next(loop));
	return 0;
}

void loop_timer_cancel(struct loop_timer *timer)
{
	if (timer->heap_pos)
		heap_remove(timer);
}

uint64_t loop_timers_next(const struct loop *loop)
{
	return loop->heap_len ? loop->heap[1]->deadline_ns : UINT64_MAX;
}

void loop_timers_run(struct loop *loop)
{
	if (!loop->heap_len)
		return;
	uint64_t now = now_ns();
	loop->timers_now_ns = now;
	while (loop->heap_len && loop->heap[1]->deadline_ns <= now) {
		struct loop_timer *timer = loop->heap[1];
		heap_remove(timer);
		timer->fn(timer);
	}
	loop->timers_now_ns = 0;
}

void loop_timers_drop(struct loop *loop)
{
	for (unsigned i = 1; i <= loop->heap_len; i++)
		loop->heap[i]->heap_pos = 0;
	free(loop->heap);
	loop->heap = NULL;
	loop->heap_len = loop->heap_cap = 0;
}
