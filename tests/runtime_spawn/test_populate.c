/* Clones whose pages are populated before they run, and clones that are recorded, through
 * ramet-spawn. */
#include "base/cleanup.h"
#include "rfork/working_set.h"
#include "tests/rfork/fork_world.h"
#include "tests/runtime_spawn/template_world.h"
#include "tests/runtime_spawn/tests.h"

#include <stdio.h>

#define PAGES 512 /* of the host's area */
#define SUM (PAGES * (PAGES + 1) / 2)

static const char *const *filled(void)
{
	static char path[512];
	static const char *const argv[] = {path, "fill", "2", NULL};
	snprintf(path, sizeof(path), "%s", program("memory_host"));
	return argv;
}

void test_clone_with_populated_pages(void)
{
	struct world w;
	struct host clone, plain;
	REQUIRE(world_open(&w, &(struct world_options){.argv = filled()}));
	uint64_t area = memory_ask(w.host.control, MEMORY_ADDR, 0);
	const uint64_t ranges[2][2] = {
		{area, area + 2 * RFORK_PAGE}, {area + 9 * RFORK_PAGE, area + 10 * RFORK_PAGE}};
	REQUIRE(clone_begin_populated(&w, &clone, ranges, 2) && host_started(&clone));
	REQUIRE(clone_begin(&w, &plain, TMPL) && host_started(&plain));
	CHECK_INT(memory_ask(clone.control, MEMORY_ADDR, 0), area);
	CHECK_INT(memory_ask(plain.control, MEMORY_ADDR, 0), area);
	for (uint64_t page = 0; can_populate() && page < 12; page++) {
		bool asked = page < 2 || page == 9;
		CHECK_INT(page_of(clone.result.pid, area + page * RFORK_PAGE),
			asked ? PAGE_OWN : PAGE_ABSENT);
		CHECK_INT(page_of(plain.result.pid, area + page * RFORK_PAGE), PAGE_ABSENT);
	}
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), SUM);
	clone_finish(&clone);
	clone_finish(&plain);
	world_close(&w);
}

static void check_refused(struct world *w, const uint64_t (*ranges)[2], unsigned count)
{
	struct host clone;
	REQUIRE(clone_begin_populated(w, &clone, ranges, count));
	CHECK(!host_started(&clone));
	CHECK_INT(clone.result.err.code, RAMET_EPROTO);
	host_close(&clone);
}

void test_bad_populate_ranges_are_refused(void)
{
	static const uint64_t unaligned[1][2] = {{0x20000, 0x20800}},
			      empty[1][2] = {{0x20000, 0x20000}},
			      backward[1][2] = {{0x30000, 0x20000}},
			      kernel[1][2] = {{0x20000, RFORK_USER_END + RFORK_PAGE}},
			      stub[1][2] = {{RFORK_GAP_START - RFORK_PAGE,
				      RFORK_GAP_START + RFORK_PAGE}},
			      disordered[2][2] = {{0x20000, 0x30000}, {0x2f000, 0x40000}};
	struct world w;
	struct host clone;
	REQUIRE(world_open(&w, &(struct world_options){.argv = filled()}));
	check_refused(&w, unaligned, 1);
	check_refused(&w, empty, 1);
	check_refused(&w, backward, 1);
	check_refused(&w, kernel, 1);
	check_refused(&w, stub, 1);
	check_refused(&w, disordered, 2);
	REQUIRE(clone_begin(&w, &clone, TMPL) && host_started(&clone));
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), SUM);
	clone_finish(&clone);
	world_close(&w);
}

/* it forks and unmaps as any other: nobody but ramet-spawn hears of it */
void test_recorded_clone(void)
{
	struct world w;
	struct host clone;
	struct ramet_err err = {0};
	auto_working_set struct working_set *set = NULL;
	if (!world_open(&w, &(struct world_options){.argv = filled(), .record = true}))
		return;
	uint64_t area = memory_ask(w.host.control, MEMORY_ADDR, 0);
	const struct seed_piece *piece = descriptor_piece_of_addr(&w.image->desc, area);
	REQUIRE(piece != NULL);
	uint64_t first = piece->image_page + (area - piece->start) / RFORK_PAGE;
	REQUIRE(clone_begin(&w, &clone, TMPL) && host_started(&clone));
	CHECK_INT(clone.result.uffd, -1);
	CHECK_INT(memory_ask(clone.control, MEMORY_READ, 100), 101);
	CHECK_INT(memory_ask(clone.control, MEMORY_WRITE, 300), MEMORY_VALUE);
	REQUIRE_OK(working_set_record(clone.result.pid, &w.image->desc, &set, &err), &err);
	unsigned touched = 0, written = 0;
	for (uint32_t i = 0; i < set->ntouched; i++)
		for (uint32_t k = 0; k < set->touched[i].count; k++)
			touched += set->touched[i].page + k - first < PAGES;
	for (uint32_t i = 0; i < set->nwritten; i++)
		written += set->written[i].page - first == 300;
	CHECK_INT(touched, 2);
	CHECK_INT(written, 1);
	CHECK_INT(memory_ask(clone.control, MEMORY_UNMAP, 5), 0);
	CHECK_INT(memory_ask(clone.control, MEMORY_CHILD, 6), 7);
	clone_finish(&clone);
	world_close(&w);
}
