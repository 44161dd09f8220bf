/* The map of moved and unmapped ranges against a model that writes down every page. */
#include "ramet/error.h"
#include "rfork/pager_ranges.h"
#include "tests/lib/suite.h"

#include <stdlib.h>

#define PAGES 200
#define PAGE 4096ull

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static bool is_sound(const struct pager_ranges *ranges)
{
	for (uint32_t i = 0; i < ranges->count; i++) {
		const struct pager_range *range = &ranges->items[i];
		if (range->start >= range->end || range->origin == range->start)
			return false;
		if (i > 0 && range[-1].end > range->start)
			return false;
	}
	return true;
}

static bool agrees(const struct pager_ranges *ranges, const uint64_t *model)
{
	for (uint64_t page = 0; page < PAGES; page++)
		if (pager_ranges_origin(ranges, page * PAGE) != model[page])
			return false;
	return is_sound(ranges);
}

static void model_move(uint64_t *model, uint64_t from, uint64_t to, uint64_t n)
{
	uint64_t moved[PAGES];
	for (uint64_t i = 0; i < n; i++)
		moved[i] = model[from + i];
	for (uint64_t i = 0; i < n; i++)
		model[to + i] = moved[i];
}

static void test_random_moves_agree_with_the_model(void)
{
	for (uint32_t seed = 1; seed <= 40; seed++) {
		struct pager_ranges ranges = {0}, copy = {0};
		uint64_t model[PAGES];
		uint32_t random = seed;
		for (uint64_t page = 0; page < PAGES; page++)
			model[page] = page * PAGE;
		for (unsigned step = 0; step < 200; step++) {
			uint64_t n = next_random(&random) % 20 + 1;
			uint64_t from = next_random(&random) % (PAGES - n);
			uint64_t to = next_random(&random) % (PAGES - n);
			if (next_random(&random) % 3 == 0) {
				CHECK_INT(
					pager_ranges_unmap(&ranges, from * PAGE, (from + n) * PAGE),
					0);
				for (uint64_t i = 0; i < n; i++)
					model[from + i] = PAGER_RANGE_NONE;
			} else if (from + n <= to || to + n <= from) {
				CHECK_INT(pager_ranges_move(
						  &ranges, from * PAGE, to * PAGE, n * PAGE),
					0);
				model_move(model, from, to, n);
			}
			REQUIRE(agrees(&ranges, model));
		}
		CHECK_INT(pager_ranges_copy(&copy, &ranges), 0);
		CHECK(agrees(&copy, model));
		pager_ranges_fini(&ranges);
		pager_ranges_fini(&copy);
	}
}

static void test_what_comes_home_is_forgotten(void)
{
	struct pager_ranges ranges = {0};
	CHECK_INT(pager_ranges_move(&ranges, 10 * PAGE, 50 * PAGE, 8 * PAGE), 0);
	CHECK_INT(pager_ranges_unmap(&ranges, 10 * PAGE, 18 * PAGE), 0);
	CHECK_INT(ranges.count, 2);
	CHECK_INT(pager_ranges_move(&ranges, 50 * PAGE, 10 * PAGE, 8 * PAGE), 0);
	CHECK_INT(ranges.count, 1);
	CHECK_INT(pager_ranges_origin(&ranges, 12 * PAGE), 12 * PAGE);
	pager_ranges_fini(&ranges);
}

static void test_neighbours_are_joined(void)
{
	struct pager_ranges ranges = {0};
	for (uint64_t i = 0; i < 1000; i++)
		CHECK_INT(pager_ranges_unmap(&ranges, i * PAGE, (i + 1) * PAGE), 0);
	CHECK_INT(ranges.count, 1);
	for (uint64_t i = 1000; i > 0; i--)
		CHECK_INT(
			pager_ranges_move(&ranges, (9999 + i) * PAGE, (4999 + i) * PAGE, PAGE), 0);
	CHECK_INT(ranges.count, 2);
	CHECK_INT(pager_ranges_unmap(&ranges, 5 * PAGE, 5 * PAGE), 0); /* of nothing */
	CHECK_INT(ranges.count, 2);
	pager_ranges_fini(&ranges);
}

static void test_too_many_ranges_are_refused(void)
{
	struct pager_ranges ranges = {0};
	int rc = 0;
	uint64_t i = 0;
	while (rc == 0 && i <= PAGER_RANGES_MAX)
		rc = pager_ranges_unmap(&ranges, 2 * i * PAGE, (2 * i + 1) * PAGE), i++;
	CHECK_INT(rc, RAMET_ELIMIT);
	pager_ranges_fini(&ranges);
}

SUITE_MAIN("pager_ranges", TEST(test_random_moves_agree_with_the_model),
	TEST(test_what_comes_home_is_forgotten), TEST(test_neighbours_are_joined),
	TEST(test_too_many_ranges_are_refused))
