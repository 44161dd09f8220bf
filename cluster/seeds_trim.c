/* The memory of seeds that went. Each has a megabyte in many pieces, among pieces of what stays, so
 * that malloc keeps nearly all of it: after sixty redeployments in a row 100 MiB, of which 2 are in
 * use. A worker gives it back to the kernel soon after one went. */
#include "cluster/seeds_internal.h"

#include "base/clock.h"
#include "cluster/node.h"
#include "cluster/workers.h"

#include <malloc.h>
#include <stdlib.h>

#define PAUSE_NS (5 * NSEC_PER_SEC)

static void run_trim(struct work *work)
{
	(void)work;
	(void)malloc_trim(0);
}

static void trimmed(struct work *work)
{
	free(work);
}

static void on_pause_over(struct loop_timer *timer)
{
	struct seeds *seeds = container_of(timer, struct seeds, trim_timer);
	struct work *work = calloc(1, sizeof(*work));
	if (!work)
		return;
	work->run = run_trim;
	work->done = trimmed;
	workers_submit(seeds->node->background, work);
}

void seeds_trim_later(struct seeds *seeds)
{
	if (seeds->trim_timer.heap_pos == 0) /* else it is about to */
		(void)loop_timer_set(
			seeds->node->loop, &seeds->trim_timer, now_ns() + PAUSE_NS, on_pause_over);
}
