/* See heap_trim.h. */
#include "cluster/heap_trim.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/workers.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define GROWN (512u << 10) /* bytes since it was trimmed: less is not worth the locks */

struct heap_trim {
	struct loop *loop;
	struct workers *workers;
	struct loop_timer timer;
	struct work work;
	uint64_t look_ns;
	uint64_t least; /* bytes that were resident since the last time */
};

/* bytes of this process's own that are resident; 0: not known */
static uint64_t resident(void)
{
	unsigned long long all = 0;
	unsigned long long shared = 0;
	auto_fclose FILE *f = fopen("/proc/self/statm", "re");
	if (!f || fscanf(f, "%*u %llu %llu", &all, &shared) != 2 || shared > all)
		return 0;
	return (all - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void on_look(struct loop_timer *timer);

static void look_later(struct heap_trim *trim)
{
	(void)loop_timer_set(trim->loop, &trim->timer, now_ns() + trim->look_ns, on_look);
}

static void run_trim(struct work *work)
{
	(void)work;
	(void)malloc_trim(0);
}

static void trimmed(struct work *work)
{
	struct heap_trim *trim = container_of(work, struct heap_trim, work);
	trim->least = resident();
	look_later(trim);
}

static void on_look(struct loop_timer *timer)
{
	struct heap_trim *trim = container_of(timer, struct heap_trim, timer);
	uint64_t now = resident();
	if (now > 0)
		trim->least = MIN(trim->least, now);
	if (now > trim->least + GROWN)
		workers_submit(trim->workers, &trim->work);
	else
		look_later(trim);
}

int heap_trim_create(struct loop *loop, struct workers *workers, uint64_t look_ns,
	struct heap_trim **ret_trim, struct ramet_err *err)
{
	struct heap_trim *trim = calloc(1, sizeof(*trim));
	if (!trim)
		return err_nomem(err);
	trim->loop = loop;
	trim->workers = workers;
	trim->work = (struct work){.run = run_trim, .done = trimmed};
	trim->look_ns = look_ns;
	trim->least = resident();
	look_later(trim);
	*ret_trim = trim;
	return 0;
}

void heap_trim_destroy(struct heap_trim *trim)
{
	if (!trim)
		return;
	loop_timer_cancel(&trim->timer);
	free(trim);
}
