/* What a template does for its clones beyond being one: pages populated before they run, and page
 * tables that tell exactly what a call touched. */
#include "base/cleanup.h"
#include "base/err.h"
#include "tests/lib/suite.h"
#include "tests/rfork/fork_world.h"

#include "rfork/working_set.h"

#include <errno.h>
#include <stdio.h>

#define PAGES 512 /* of the host's area */
#define SUM (PAGES * (PAGES + 1) / 2)

static const char *const fill[] = {"memory_host", "fill", "2", NULL};

static void test_populated_pages_are_there_before_the_clone_runs(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone clone;
	REQUIRE_OK(fork_world_open(&w, fill, &err), &err);
	uint64_t area = memory_ask(w.control, MEMORY_ADDR, 0);
	const uint64_t ranges[2][2] = {
		{area + 3 * 4096, area + 5 * 4096}, {area + 100 * 4096, area + 300 * 4096}};
	REQUIRE_OK(fork_world_clone(&w, ranges, 2, &clone, &err), &err);
	CHECK_INT(memory_ask(clone.control, MEMORY_ADDR, 0), area); /* touches no page of it */
	for (uint64_t page = 0; can_populate() && page < PAGES; page++) {
		bool asked = (page >= 3 && page < 5) || (page >= 100 && page < 300);
		if (!CHECK_INT(
			    page_of(clone.pid, area + page * 4096), asked ? PAGE_OWN : PAGE_ABSENT))
			break;
	}
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), SUM);
	CHECK_INT(fork_clone_end(&clone), 0);
	fork_world_close(&w);
}

static void test_populating_what_is_not_there_does_no_harm(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone clone;
	REQUIRE_OK(fork_world_open(&w, fill, &err), &err);
	uint64_t area = memory_ask(w.control, MEMORY_ADDR, 0);
	const uint64_t ranges[2][2] = {{0x10000, 0x20000}, {area, area + 4096}};
	REQUIRE_OK(fork_world_clone(&w, ranges, 2, &clone, &err), &err);
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), SUM);
	CHECK_INT(fork_clone_end(&clone), 0);
	fork_world_close(&w);
}

/* a template that records; false: skipped or failed */
static bool open_recorder(struct fork_world *w)
{
	const struct fork_setup setup = {.record = true};
	struct ramet_err err = {0};
	int rc = fork_world_start(w, fill, &err);
	if (rc == 0)
		rc = fork_world_capture(w, &err);
	if (rc == 0)
		rc = fork_world_build(w, &setup, &err);
	if (rc < 0 && (err.sys == EPERM || err.sys == EINVAL)) {
		suite_skip("%s", err.msg);
		fork_world_close(w);
		return false;
	}
	return suite_check_ok(rc, &err, "open_recorder", __FILE__, __LINE__);
}

/* the numbers of the area's pages in the set, first written then only read, -1 behind them */
static void area_pages(const struct working_set *set, uint64_t first, int *written, int *touched)
{
	for (uint32_t i = 0; i < set->nwritten; i++)
		for (uint32_t k = 0; k < set->written[i].count; k++)
			if (set->written[i].page + k - first < PAGES)
				*written++ = (int)(set->written[i].page + k - first);
	for (uint32_t i = 0; i < set->ntouched; i++)
		for (uint32_t k = 0; k < set->touched[i].count; k++)
			if (set->touched[i].page + k - first < PAGES)
				*touched++ = (int)(set->touched[i].page + k - first);
	*written = *touched = -1;
}

static void test_recorder_knows_what_a_call_touched(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone clone;
	auto_working_set struct working_set *set = NULL;
	int written[PAGES + 1] = {0}, touched[PAGES + 1] = {0};
	if (!open_recorder(&w))
		return;
	uint64_t area = memory_ask(w.control, MEMORY_ADDR, 0);
	REQUIRE_OK(fork_world_clone(&w, NULL, 0, &clone, &err), &err);
	CHECK_INT(memory_ask(clone.control, MEMORY_READ, 3), 4);
	CHECK_INT(memory_ask(clone.control, MEMORY_WRITE, 7), MEMORY_VALUE);
	CHECK_INT(memory_ask(clone.control, MEMORY_READ, 200), 201);
	REQUIRE_OK(working_set_record(clone.pid, &w.image->desc, &set, &err), &err);
	const struct seed_piece *piece = descriptor_piece_of_addr(&w.image->desc, area);
	REQUIRE(piece != NULL);
	uint64_t first = piece->image_page + (area - piece->start) / RFORK_PAGE;
	area_pages(set, first, written, touched);
	CHECK_INT(written[0], 7);
	CHECK_INT(written[1], -1);
	CHECK_INT(touched[0], 3);
	CHECK_INT(touched[1], 7);
	CHECK_INT(touched[2], 200);
	CHECK_INT(touched[3], -1);
	CHECK_INT(fork_clone_end(&clone), 0);
	fork_world_close(&w);
}

/* with no pager behind it, what it unmaps must not stop it */
static void test_recorder_may_unmap(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone clone;
	if (!open_recorder(&w))
		return;
	REQUIRE_OK(fork_world_clone(&w, NULL, 0, &clone, &err), &err);
	CHECK_INT(memory_ask(clone.control, MEMORY_UNMAP, 3), 0);
	CHECK_INT(memory_ask(clone.control, MEMORY_READ, 4), 5);
	CHECK_INT(fork_clone_end(&clone), 0);
	fork_world_close(&w);
}

/* of the stub a clone keeps its code and one page; nothing that can be written can be executed */
static void test_little_of_the_stub_is_in_a_clone(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct fork_clone clone;
	char path[64], line[512];
	uint64_t stub = 0;
	unsigned both = 0;
	REQUIRE_OK(fork_world_open(&w, fill, &err), &err);
	REQUIRE_OK(fork_world_clone(&w, NULL, 0, &clone, &err), &err);
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), SUM);
	snprintf(path, sizeof(path), "/proc/%d/maps", clone.pid);
	auto_fclose FILE *maps = fopen(path, "re");
	REQUIRE(maps != NULL);
	while (fgets(line, sizeof(line), maps)) {
		uint64_t start = 0, end = 0;
		char prot[5] = "";
		REQUIRE(sscanf(line, "%lx-%lx %4s", &start, &end, prot) == 3);
		both += prot[1] == 'w' && prot[2] == 'x';
		if (start >= RFORK_GAP_START && end <= RFORK_GAP_END)
			stub += end - start;
	}
	CHECK_INT(both, 0);
	CHECK(stub > 0 && stub <= 4 * RFORK_PAGE);
	CHECK_INT(fork_clone_end(&clone), 0);
	fork_world_close(&w);
}

SUITE_MAIN("template", TEST(test_little_of_the_stub_is_in_a_clone),
	TEST(test_populated_pages_are_there_before_the_clone_runs),
	TEST(test_populating_what_is_not_there_does_no_harm),
	TEST(test_recorder_knows_what_a_call_touched), TEST(test_recorder_may_unmap))
