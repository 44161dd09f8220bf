/* Seeds that are layered on a base: what is stored of them, that clones see what they should, and
 * what images of the same base share. */
#include "base/cleanup.h"
#include "base/err.h"
#include "tests/lib/suite.h"
#include "tests/rfork/fork_world.h"
#include "tests/rfork/seed_fixture.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 1024ull /* of the area of a host of 4 MiB */
#define SUM (PAGES * (PAGES + 1) / 2)

/* A host, captured as a base; then what continues from it, captured again. */
struct layers {
	struct fork_world base, app;
	struct layer *layer;
	struct fork_clone clone; /* of the base; pid 0: the host itself goes on */
};

static bool layers_open(struct layers *l, bool cloned)
{
	static const char *const argv[] = {"memory_host", "fill", "4", NULL};
	struct ramet_err err = {0};
	*l = (struct layers){.clone = {.control = -1, .uffd = -1}};
	int rc = fork_world_open(&l->base, argv, &err);
	if (rc == 0)
		rc = layer_of(&l->base.image->desc, l->base.image->fd, &l->layer, &err);
	if (rc == 0 && cloned)
		rc = fork_world_clone(&l->base, NULL, 0, &l->clone, &err);
	return suite_check_ok(rc, &err, "base", __FILE__, __LINE__);
}

static int host_of(const struct layers *l)
{
	return l->clone.pid ? l->clone.control : l->base.control;
}

static bool layers_capture(struct layers *l)
{
	struct ramet_err err = {0};
	bool cloned = l->clone.pid != 0;
	int rc = fork_world_adopt(&l->app, host_of(l), &l->base, l->layer, cloned, &err);
	*(cloned ? &l->clone.control : &l->base.control) = -1;
	if (rc == 0)
		rc = fork_world_capture(&l->app, &err);
	return suite_check_ok(rc, &err, "capture", __FILE__, __LINE__);
}

static bool layers_build(struct layers *l, bool record)
{
	const struct fork_setup setup = {.record = record};
	struct ramet_err err = {0};
	fork_world_unbuild(&l->app);
	int rc = fork_world_build(&l->app, &setup, &err);
	return suite_check_ok(rc, &err, "build", __FILE__, __LINE__);
}

static void layers_close(struct layers *l)
{
	fork_world_close(&l->app);
	if (l->clone.pid)
		CHECK_INT(fork_clone_end(&l->clone), 0);
	fork_world_close(&l->base);
	layer_put(l->layer);
}

static void set_pages(int control, const uint64_t *pages, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		CHECK_INT(memory_ask(control, MEMORY_WRITE, pages[i]), MEMORY_VALUE);
}

/* a clone of the app's seed answers `sum`, and what it writes is its own */
static void check_clones(struct layers *l, uint64_t sum)
{
	for (int i = 0; i < 3; i++) {
		struct fork_clone clone;
		struct ramet_err err = {0};
		REQUIRE_OK(fork_world_clone(&l->app, NULL, 0, &clone, &err), &err);
		CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), sum);
		CHECK_INT(memory_ask(clone.control, MEMORY_STATICS, 0), MEMORY_STATICS_SUM);
		CHECK_INT(memory_ask(clone.control, MEMORY_WRITE, 7), MEMORY_VALUE);
		CHECK_INT(memory_ask(clone.control, MEMORY_WRITE, 501), MEMORY_VALUE);
		CHECK_INT(fork_clone_end(&clone), 0);
	}
}

static const uint64_t changed[] = {10, 500, 501, 900};
#define CHANGED_SUM (SUM - 11 - 501 - 502 - 901 + 4 * MEMORY_VALUE)

static void check_only_what_differs_is_stored(bool cloned)
{
	struct layers l;
	struct fork_clone of_base;
	struct ramet_err err = {0};
	unsigned fds = suite_count_fds();
	REQUIRE(layers_open(&l, cloned));
	set_pages(host_of(&l), changed, ARRAY_LEN(changed));
	REQUIRE(layers_capture(&l));
	const struct descriptor_header *h = l.app.image->desc.header;
	CHECK(l.app.image->layer == l.layer);
	CHECK(memcmp(h->base_id, l.base.image->desc.header->seed_id, SEED_ID_BYTES) == 0);
	CHECK_INT(h->base_pages, l.base.image->npages);
	CHECK(l.app.stats.stored_pages * 10 < l.base.stats.stored_pages);
	CHECK_INT(image_resident(l.app.image), l.app.stats.stored_pages * RFORK_PAGE);
	CHECK(image_complete(l.app.image));
	REQUIRE(layers_build(&l, false));
	check_clones(&l, CHANGED_SUM);
	REQUIRE(layers_build(&l, true)); /* every piece is a mapping of its own */
	check_clones(&l, CHANGED_SUM);
	REQUIRE_OK(fork_world_clone(&l.base, NULL, 0, &of_base, &err), &err);
	CHECK_INT(memory_ask(of_base.control, MEMORY_SUM, 0), SUM);
	CHECK_INT(fork_clone_end(&of_base), 0);
	layers_close(&l);
	CHECK_INT(suite_count_fds(), fds);
}

static void test_clone_of_base_is_stored_as_what_differs(void)
{
	check_only_what_differs_is_stored(true);
}

static void test_host_that_goes_on_is_stored_as_what_differs(void)
{
	check_only_what_differs_is_stored(false);
}

static unsigned count_base_pieces(const struct image *image)
{
	unsigned n = 0;
	for (uint32_t i = 0; i < image->desc.npieces; i++)
		n += !!(image->desc.pieces[i].flags & PIECE_BASE);
	return n;
}

/* pages of the base that lie between too many others are stored, and clones see them */
static void check_scattered(unsigned step, unsigned least_stored)
{
	struct layers l;
	uint64_t sum = SUM;
	REQUIRE(layers_open(&l, true));
	for (uint64_t page = 0; page < PAGES; page += step) {
		set_pages(host_of(&l), &page, 1);
		sum += MEMORY_VALUE - (page + 1);
	}
	REQUIRE(layers_capture(&l));
	CHECK(l.app.stats.stored_pages >= least_stored);
	CHECK(l.app.image->desc.npieces <= l.base.image->desc.npieces + 300);
	CHECK(count_base_pieces(l.app.image) > 0); /* elsewhere */
	REQUIRE(layers_build(&l, false));
	check_clones(&l, sum);
	layers_close(&l);
}

static void test_few_pages_of_the_base_in_a_row_are_stored(void)
{
	check_scattered(3, PAGES);
}

static void test_pieces_are_bounded(void)
{
	check_scattered(6, PAGES);
}

static void test_mapping_that_was_cut_grows_by_zeros(void)
{
	struct layers l;
	struct fork_clone clone;
	struct ramet_err err = {0};
	REQUIRE(layers_open(&l, true));
	CHECK_INT(memory_ask(host_of(&l), MEMORY_HALVE, 0), 0);
	REQUIRE(layers_capture(&l));
	REQUIRE(layers_build(&l, false));
	REQUIRE_OK(fork_world_clone(&l.app, NULL, 0, &clone, &err), &err);
	CHECK_INT(memory_ask(clone.control, MEMORY_GROW, 0), 0);
	CHECK_INT(fork_clone_end(&clone), 0);
	layers_close(&l);
}

/* --- images --- */

#define RO PROT_READ

/* pages 0-1 and 3-4 are the base's, page 2 is its own */
static const struct fixture layered = {
	.pieces = {{FIXTURE_BASE, 2, PIECE_IMAGE, RO, true, 1},
		{FIXTURE_BASE + 2 * RFORK_PAGE, 1, PIECE_IMAGE, RO},
		{FIXTURE_BASE + 3 * RFORK_PAGE, 2, PIECE_IMAGE, RO, true, 4}},
	.npieces = 3,
	.base_pages = 8,
};

static struct image *image_on(struct layer *layer, const struct fixture *fixture, int expected)
{
	struct ramet_err err = {0};
	struct image *image = NULL;
	size_t len = 0;
	auto_free void *bytes = fixture_descriptor(fixture, &len);
	CHECK_INT(image_create_on(layer, bytes, len, &image, &err), expected);
	return image;
}

static void test_images_of_one_base_share_its_pages(void)
{
	unsigned fds = suite_count_fds();
	auto_image struct image *first = fixture_image(&layered, true);
	REQUIRE(first != NULL && first->layer != NULL);
	CHECK(image_complete(first));
	CHECK_INT(first->nown, 1);
	CHECK_INT(image_resident(first), RFORK_PAGE);
	auto_image struct image *second = image_on(first->layer, &layered, 0);
	REQUIRE(second != NULL);
	for (uint64_t page = 0; page < 5; page++)
		CHECK_INT(image_has(second, page), page != 2);
	image_put(steal_ptr(&first)); /* the layer stays */
	CHECK(fixture_check(3, second->base + 3 * RFORK_PAGE));
	uint64_t words[RFORK_PAGE / 8];
	fixture_fill(2, words);
	CHECK_INT(image_store(second, 2, 1, words), 0);
	CHECK(image_complete(second));
	image_put(steal_ptr(&second));
	CHECK_INT(suite_count_fds(), fds);
}

static void test_what_another_has_stored_stays(void)
{
	uint64_t words[RFORK_PAGE / 8] = {1};
	auto_image struct image *first = fixture_image(&layered, false);
	REQUIRE(first != NULL);
	auto_image struct image *second = image_on(first->layer, &layered, 0);
	REQUIRE(second != NULL);
	uint64_t good[RFORK_PAGE / 8];
	fixture_fill(0, good);
	CHECK_INT(image_store(first, 0, 1, good), 0);
	CHECK(!image_has(second, 0));
	CHECK_INT(image_store(second, 0, 1, words), 0);
	CHECK(image_has(second, 0));
	CHECK(fixture_check(0, first->base));
}

static void test_descriptors_that_disagree_share_nothing(void)
{
	struct fixture other = layered, elsewhere = layered;
	auto_image struct image *first = fixture_image(&layered, false);
	REQUIRE(first != NULL);
	other.pieces[0].pages = 1; /* so that page 4 of the base would be page 2 here */
	other.pieces[1].start -= RFORK_PAGE;
	other.pieces[2].start -= RFORK_PAGE;
	CHECK(image_on(first->layer, &other, RAMET_EPROTO) == NULL);
	elsewhere.base_pages = 9;
	CHECK(image_on(first->layer, &elsewhere, RAMET_EPROTO) == NULL);
	const struct fixture whole = fixture_simple(3);
	CHECK(image_on(first->layer, &whole, RAMET_EPROTO) == NULL);
}

/* pages that no earlier descriptor had lie between the others' places, or would overwrite them */
static void test_new_pages_do_not_lie_on_others(void)
{
	struct fixture between = layered, on_next = layered, on_first = layered, zero = layered;
	auto_image struct image *first = fixture_image(&layered, true);
	REQUIRE(first != NULL);
	on_next.pieces[1].base = true; /* page 3 where page 4 of the base is */
	on_next.pieces[1].base_page = 3;
	on_next.pieces[1].base_shift = 1;
	on_next.pieces[2].base = false;
	CHECK(image_on(first->layer, &on_next, RAMET_EPROTO) == NULL);
	on_first.pieces[0].base = false; /* page 0 where page 1 is */
	on_first.pieces[1].base = true;
	on_first.pieces[1].base_shift = 1;
	on_first.pieces[2].base = false;
	CHECK(image_on(first->layer, &on_first, RAMET_EPROTO) == NULL);
	zero.zeros = 1;
	CHECK(image_on(first->layer, &zero, RAMET_EPROTO) == NULL);
	between.pieces[1].base = true;
	between.pieces[1].base_page = 3;
	auto_image struct image *second = image_on(first->layer, &between, 0);
	REQUIRE(second != NULL);
	for (uint64_t page = 0; page < 5; page++)
		CHECK_INT(image_has(second, page), page != 2);
	CHECK(fixture_check(3, first->base + 3 * RFORK_PAGE));
}

/* what a piece of the base may not say */
static void check_refused(const struct fixture *fixture)
{
	struct ramet_err err = {0};
	struct descriptor_view view;
	size_t len = 0;
	auto_free void *bytes = fixture_descriptor(fixture, &len);
	CHECK_INT(descriptor_open(bytes, len, &view, &err), RAMET_EPROTO);
}

static void test_descriptor_names_pages_that_the_base_has(void)
{
	struct fixture beyond = layered, none = layered, twice = layered, no_image = layered;
	beyond.base_pages = 5;
	check_refused(&beyond);
	none.base_pages = 0;
	check_refused(&none);
	twice.pieces[2].base_page = 2;
	check_refused(&twice);
	no_image.pieces[1].kind = PIECE_ANON;
	no_image.apart = true;
	check_refused(&no_image);
}

SUITE_MAIN("layers", TEST(test_clone_of_base_is_stored_as_what_differs),
	TEST(test_host_that_goes_on_is_stored_as_what_differs),
	TEST(test_few_pages_of_the_base_in_a_row_are_stored), TEST(test_pieces_are_bounded),
	TEST(test_mapping_that_was_cut_grows_by_zeros),
	TEST(test_images_of_one_base_share_its_pages), TEST(test_what_another_has_stored_stays),
	TEST(test_descriptors_that_disagree_share_nothing),
	TEST(test_new_pages_do_not_lie_on_others),
	TEST(test_descriptor_names_pages_that_the_base_has))
