/* Memory that a clone has inherited, given back and grown; descriptors that cannot be inherited. */
#include "base/cleanup.h"
#include "tests/lib/suite.h"
#include "tests/runtime_host/clone_world.h"

#include <stdio.h>
#include <string.h>

/* the same answer in two clones and in the host, which is no clone: what one does, no other sees */
static void check_everywhere(const char *function, const char *expected)
{
	struct clone_world w;
	REQUIRE(clone_world_open(&w));
	clone_check(&w, function, expected);
	clone_check(&w, function, expected);
	CHECK_STR(ask(w.host.control, function, ""), expected);
	clone_world_close(&w);
}

static void test_madv_free_keeps_working(void)
{
	check_everywhere("madvise_free", "1 7 7 170");
}

static void test_dontneed_reaches_beyond_a_hole(void)
{
	check_everywhere("madvise_hole", "-1 1 170 0 0 170");
}

static void test_advice_within_a_page_does_nothing(void)
{
	check_everywhere("madvise_odd", "-1 -1 1 8");
}

static void test_inherited_blocks_can_grow(void)
{
	check_everywhere("grow", "1 7");
}

static void test_a_part_of_a_mapping_can_grow(void)
{
	check_everywhere("twin", "1 1 1");
}

static void test_calloc_is_zero_in_an_inherited_heap(void)
{
	check_everywhere("heap", "512");
}

static void test_stack_has_its_room(void)
{
	check_everywhere("deep", "1024");
}

/* --- descriptors --- */

/* what `keep` opens is refused with its number; closed, the host can be captured */
static void check_refused(const char *what, const char *kind)
{
	struct clone_world w;
	struct host_answer answer = {.nfds = 0};
	struct ramet_err err = {0};
	char named[96];
	REQUIRE(clone_world_start(&w));
	snprintf(named, sizeof(named), "descriptor %s is %s", ask(w.host.control, "keep", what),
		kind);
	CHECK_INT(host_say(w.host.control, "capture", &err), 0);
	REQUIRE_OK(host_read(w.host.control, &answer, &err), &err);
	REQUIRE(clone_world_take(&w, &answer));
	host_answer_fini(&answer);
	CHECK_INT(fork_world_capture(&w.fork, &err), RAMET_EREFUSED);
	if (!CHECK(strstr(err.msg, named) != NULL))
		printf("  the message is: %s\n", err.msg);
	CHECK_STR(ask(w.host.control, "keep", ""), "closed");
	REQUIRE(clone_world_capture(&w));
	clone_check(&w, "sum", "499500");
	clone_world_close(&w);
}

static void test_connected_socket_is_refused_by_name(void)
{
	check_refused("socket", "a Unix socket connected to @ramet-test-");
}

static void test_pipe_of_another_process_is_refused_by_name(void)
{
	check_refused("pipe", "a pipe whose other end is in another process");
}

static void test_deleted_file_is_refused_by_name(void)
{
	check_refused("file", "a file that was deleted");
}

SUITE_MAIN("host_memory", TEST(test_madv_free_keeps_working),
	TEST(test_dontneed_reaches_beyond_a_hole), TEST(test_advice_within_a_page_does_nothing),
	TEST(test_inherited_blocks_can_grow), TEST(test_a_part_of_a_mapping_can_grow),
	TEST(test_calloc_is_zero_in_an_inherited_heap), TEST(test_stack_has_its_room),
	TEST(test_connected_socket_is_refused_by_name),
	TEST(test_pipe_of_another_process_is_refused_by_name),
	TEST(test_deleted_file_is_refused_by_name))
