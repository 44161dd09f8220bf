/* The whole of a local fork without a daemon: host, shadow, capture, template, clones that answer.
 */
#include "base/err.h"
#include "rfork/safepoint.h"
#include "tests/lib/suite.h"
#include "tests/rfork/fork_world.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUM (99999ull * 100000 / 2 + 8 + 42)

static const char *const counter[] = {"counter_host", NULL};

static void test_clones_answer_from_the_captured_memory(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	unsigned fds = suite_count_fds();
	REQUIRE_OK(fork_world_open(&w, counter, &err), &err);
	for (uint64_t n = 1; n <= 50; n++) {
		struct fork_clone clone;
		uint64_t answer[4];
		REQUIRE_OK(fork_world_clone(&w, NULL, 0, &clone, &err), &err);
		CHECK_INT(write(clone.control, &n, sizeof(n)), sizeof(n));
		CHECK_INT(read(clone.control, answer, sizeof(answer)), sizeof(answer));
		CHECK_INT(answer[0], SUM + n); /* no sibling's write is seen */
		CHECK_INT(answer[1], clone.pid);
		CHECK_INT(answer[3], SAFEPOINT_CLONE);
		CHECK(answer[2] > clone.begin_ns);
		CHECK_INT(fork_clone_end(&clone), 0);
	}
	fork_world_close(&w);
	CHECK_INT(suite_count_fds(), fds);
}

static void test_host_goes_on_after_capture(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	uint64_t n = 5, answer[4];
	REQUIRE_OK(fork_world_open(&w, counter, &err), &err);
	CHECK_INT(write(w.control, &n, sizeof(n)), sizeof(n));
	CHECK_INT(read(w.control, answer, sizeof(answer)), sizeof(answer));
	CHECK_INT(answer[0], SUM + n);
	CHECK_INT(answer[3], SAFEPOINT_HOST);
	fork_world_close(&w);
}

static void test_damaged_descriptor_is_refused(void)
{
	struct ramet_err err = {0};
	struct fork_world w;
	struct descriptor_view view;
	REQUIRE_OK(fork_world_open(&w, counter, &err), &err);
	uint64_t len = w.image->desc.header->total_len;
	unsigned char *copy = aligned_alloc(8, (len + 7) / 8 * 8);
	REQUIRE(copy != NULL);
	memcpy(copy, w.image->desc_bytes, len);
	CHECK_INT(descriptor_open(copy, len - 8, &view, &err), RAMET_EPROTO);
	copy[len / 2] ^= 1;
	CHECK_INT(descriptor_open(copy, len, &view, &err), RAMET_ECHECKSUM);
	copy[len / 2] ^= 1;
	((struct descriptor_header *)(void *)copy)->version++;
	CHECK_INT(descriptor_open(copy, len, &view, &err), RAMET_EVERSION);
	free(copy);
	fork_world_close(&w);
}

SUITE_MAIN("fork", TEST(test_clones_answer_from_the_captured_memory),
	TEST(test_host_goes_on_after_capture), TEST(test_damaged_descriptor_is_refused))
