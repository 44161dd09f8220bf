/* See heap_trim.h. */
#include "cluster/heap_trim.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/workers.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GROWN (128u << 10) /* bytes since it was trimmed: less is not worth the locks */

struct heap_trim {
	struct loop *loop;
	struct workers *workers;
	struct loop_timer timer;
	struct work work;
	uint64_t look_ns;
	uintptr_t heap; /* where malloc's first heap begins; 0: there is none */
	uint64_t least; /* bytes of it that were resident since the last time */
	uint64_t before; /* the same before that */
	/* At the next look, too: what makes the heap grow is often still in use then, and nothing
	 * else would give it back. */
	bool again;
};

static uintptr_t find_heap(void)
{
	char line[512];
	auto_fclose FILE *f = fopen("/proc/self/maps", "re");
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "[heap]"))
			return (uintptr_t)strtoull(line, NULL, 16);
	return 0;
}

/* Bytes of the heap that are resident. Not of the process: what is mapped on its own comes and
 * goes, and would hide how the heap grows. */
static uint64_t resident(const struct heap_trim *trim)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t end = (uintptr_t)sbrk(0);
	if (trim->heap == 0 || end <= trim->heap)
		return 0;
	size_t pages = (end - trim->heap + page - 1) / page;
	auto_free unsigned char *present = malloc(pages);
	uint64_t count = 0;
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): an address from /proc */
	if (!present || mincore((void *)trim->heap, pages * page, present) < 0)
		return 0;
	for (size_t i = 0; i < pages; i++)
		count += present[i] & 1;
	return count * page;
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
	trim->least = resident(trim);
	trim->again = trim->again || trim->before > trim->least + GROWN;
	look_later(trim);
}

static void on_look(struct loop_timer *timer)
{
	struct heap_trim *trim = container_of(timer, struct heap_trim, timer);
	uint64_t now = resident(trim);
	if (now > 0 && trim->least > 0)
		trim->least = MIN(trim->least, now);
	bool grown = now > trim->least + GROWN;
	if (!grown && !trim->again) {
		look_later(trim);
		return;
	}
	trim->again = grown;
	trim->before = now;
	workers_submit(trim->workers, &trim->work);
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
	trim->heap = find_heap();
	trim->least = resident(trim);
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
