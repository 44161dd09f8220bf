/* Clones on a second node: the seed of a captured host, its pages brought by a pager, which never
 * asks for zeros; or, where faults cannot be served, all of them fetched before a clone runs. */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/fault.h"
#include "tests/lib/suite.h"
#include "tests/rfork/fork_world.h"
#include "tests/rfork/pager_world.h"

#include <errno.h>

#define MIB (1ull << 20)

/* The first node's host and seed, and the second node with its empty image. */
struct nodes {
	struct fork_world host;
	struct world pager;
	struct script_source source;
};

static bool nodes_open(struct nodes *n, const char *mode, const char *mib)
{
	const char *const argv[] = {"memory_host", mode, mib, NULL};
	struct ramet_err err = {0};
	*n = (struct nodes){0};
	int rc = fork_world_start(&n->host, argv, &err);
	if (rc == 0)
		rc = fork_world_capture(&n->host, &err);
	return suite_check_ok(rc, &err, "capture", __FILE__, __LINE__) &&
		CHECK(world_init_of(&n->pager, n->host.image, NULL)) &&
		CHECK(world_add_script(&n->pager, &n->source));
}

static void nodes_close(struct nodes *n)
{
	fork_world_unbuild(&n->host);
	world_fini(&n->pager);
	fork_world_close(&n->host);
}

static bool nodes_build(struct nodes *n, bool uffd)
{
	const struct fork_setup setup = {.image = n->pager.image, .uffd = uffd};
	struct ramet_err err = {0};
	int rc = fork_world_build(&n->host, &setup, &err);
	return suite_check_ok(rc, &err, "build", __FILE__, __LINE__);
}

/* a clone that is served by the pager */
static bool nodes_clone(struct nodes *n, const uint64_t (*populate)[2], unsigned npopulate,
	struct fork_clone *clone)
{
	struct ramet_err err = {0};
	struct pager_child *child;
	int rc = fork_world_clone(&n->host, populate, npopulate, clone, &err);
	if (rc == 0)
		rc = pager_child_add(n->pager.seed, 1, clone->uffd, NULL, NULL, &child, &err);
	if (rc == 0)
		clone->uffd = -1;
	return suite_check_ok(rc, &err, "clone", __FILE__, __LINE__);
}

static void check_no_zeros_asked_for(struct nodes *n)
{
	unsigned asked = atomic_load(&n->source.npages);
	CHECK(asked > 0 && asked < SCRIPT_LOG);
	for (unsigned i = 0; i < asked; i++)
		CHECK(!image_page_is_zero(n->pager.image, n->source.pages[i]));
}

static void test_zeros_are_not_fetched(void)
{
	struct nodes n;
	struct fork_clone clone;
	if (!world_can_fault())
		return;
	REQUIRE(nodes_open(&n, "zeros", "64"));
	REQUIRE(nodes_build(&n, true));
	REQUIRE(nodes_clone(&n, NULL, 0, &clone));
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), MEMORY_VALUE);
	CHECK_INT(memory_ask(clone.control, MEMORY_WRITE, 9000), MEMORY_VALUE);
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), 2 * MEMORY_VALUE);
	CHECK_INT(fork_clone_end(&clone), 0);
	check_no_zeros_asked_for(&n);
	CHECK(image_resident(n.pager.image) < 1 * MIB);
	nodes_close(&n);
}

#ifdef RAMET_FAULT_POINTS
/* an image too large to have its checksums in the descriptor, but for its size */
static void test_checksums_apart(void)
{
	struct nodes n;
	struct fork_clone clone;
	if (!world_can_fault())
		return;
	fault_set("descriptor.sums_apart", 0, 1);
	bool opened = nodes_open(&n, "zeros", "64");
	fault_set("descriptor.sums_apart", 0, 0);
	REQUIRE(opened);
	CHECK(n.pager.image->nblocks > 0);
	REQUIRE(nodes_build(&n, true));
	REQUIRE(nodes_clone(&n, NULL, 0, &clone));
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), MEMORY_VALUE);
	CHECK_INT(memory_ask(clone.control, MEMORY_WRITE, 9000), MEMORY_VALUE);
	CHECK_INT(fork_clone_end(&clone), 0);
	CHECK_INT(world_stats(&n.pager).failed_reads, 0);
	nodes_close(&n);
}
#define FAULT_TESTS TEST(test_checksums_apart),
#else
#define FAULT_TESTS
#endif

static void test_zeros_over_a_file_are_not_fetched(void)
{
	struct nodes n;
	struct fork_clone clone;
	if (!world_can_fault())
		return;
	REQUIRE(nodes_open(&n, "file", "0"));
	REQUIRE(nodes_build(&n, true));
	REQUIRE(nodes_clone(&n, NULL, 0, &clone));
	CHECK_INT(memory_ask(clone.control, MEMORY_READ, MEMORY_FILE_ZERO), 0);
	CHECK_INT(memory_ask(clone.control, MEMORY_READ, MEMORY_FILE_WRITTEN), MEMORY_VALUE);
	CHECK_INT(memory_ask(clone.control, MEMORY_WRITE, MEMORY_FILE_ZERO), MEMORY_VALUE);
	CHECK_INT(fork_clone_end(&clone), 0);
	check_no_zeros_asked_for(&n);
	CHECK(world_stats(&n.pager).zero_pages > 0);
	nodes_close(&n);
}

static void test_populating_pages_that_are_missing(void)
{
	struct nodes n;
	struct fork_clone clone;
	if (!world_can_fault())
		return;
	REQUIRE(nodes_open(&n, "fill", "1"));
	REQUIRE(nodes_build(&n, true));
	uint64_t area = memory_ask(n.host.control, MEMORY_ADDR, 0);
	const uint64_t range[1][2] = {{area + 10 * RFORK_PAGE, area + 90 * RFORK_PAGE}};
	REQUIRE(nodes_clone(&n, range, 1, &clone));
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), 256 * 257 / 2);
	CHECK_INT(memory_ask(n.host.control, MEMORY_WRITE, 20), MEMORY_VALUE); /* the host's own */
	CHECK_INT(memory_ask(clone.control, MEMORY_READ, 20), 21);
	CHECK_INT(fork_clone_end(&clone), 0);
	nodes_close(&n);
}

/* no userfaultfd anywhere: the working set first, then the rest, and only then a clone */
static void test_everything_is_fetched_before_a_clone_runs(void)
{
	struct nodes n;
	struct fork_clone clone;
	struct ramet_err err = {0};
	struct done first = {0}, all = {0};
	auto_working_set struct working_set *set = NULL;
	REQUIRE(nodes_open(&n, "fill", "4"));
	uint64_t area = memory_ask(n.host.control, MEMORY_ADDR, 0);
	const struct seed_piece *piece = descriptor_piece_of_addr(&n.pager.image->desc, area);
	REQUIRE(piece != NULL);
	uint32_t base = (uint32_t)(piece->image_page + (area - piece->start) / RFORK_PAGE + 500);
	const uint32_t touched[] = {base + 2, base, base + 1};
	REQUIRE_OK(working_set_create(n.pager.image->npages, touched, 3, &set, &err), &err);
	REQUIRE_OK(pager_prefetch(n.pager.seed, set, false, done_fn, &first, &err), &err);
	REQUIRE_OK(pager_fetch_all(n.pager.seed, done_fn, &all, &err), &err);
	CHECK(world_until(&n.pager, &all.count, 1));
	CHECK_INT(first.count, 1);
	CHECK_INT(all.err.code, 0);
	CHECK(image_complete(n.pager.image));
	for (unsigned i = 0; i < 3; i++)
		CHECK_INT(n.source.pages[i], base + i);
	check_no_zeros_asked_for(&n);
	CHECK_INT(atomic_load(&n.source.npages), n.host.stats.stored_pages); /* each once */
	REQUIRE(nodes_build(&n, false));
	CHECK_INT(n.host.uffd, -1);
	REQUIRE_OK(fork_world_clone(&n.host, NULL, 0, &clone, &err), &err);
	CHECK_INT(memory_ask(clone.control, MEMORY_SUM, 0), 1024 * 1025 / 2);
	CHECK_INT(fork_clone_end(&clone), 0);
	nodes_close(&n);
}

SUITE_MAIN("remote", FAULT_TESTS TEST(test_zeros_are_not_fetched),
	TEST(test_zeros_over_a_file_are_not_fetched), TEST(test_populating_pages_that_are_missing),
	TEST(test_everything_is_fetched_before_a_clone_runs))
