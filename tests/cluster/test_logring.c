/* Rings of output: kept, tagged, bounded, counted; followers. */
#include "base/cleanup.h"
#include "base/loop.h"
#include "cluster/logring.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
	struct loop *loop;
	struct logrings *rings;
	struct logring *ring;
	int pipe; /* writing end */
};

static struct log_tag tag_of(uint64_t instance, uid_t uid, const char *call)
{
	struct log_tag tag = {.instance = instance, .pid = 100, .uid = uid};
	snprintf(tag.function, sizeof(tag.function), "f");
	snprintf(tag.call, sizeof(tag.call), "%s", call);
	return tag;
}

static struct logring *open_ring(struct fixture *f, const struct log_tag *tag, int *ret_pipe)
{
	struct ramet_err err = {0};
	struct logring *ring = NULL;
	int fds[2];
	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	suite_check_ok(logring_open(f->rings, fds[0], tag, &ring, &err), &err, "logring_open",
		__FILE__, __LINE__);
	*ret_pipe = fds[1];
	return ring;
}

static struct fixture setup(void)
{
	struct fixture f = {0};
	struct ramet_err err = {0};
	struct log_tag tag = tag_of(1, 1000, "");
	suite_check_ok(loop_create(&f.loop, &err), &err, "loop_create", __FILE__, __LINE__);
	suite_check_ok(logrings_create(f.loop, &f.rings, &err), &err, "logrings_create", __FILE__,
		__LINE__);
	f.ring = open_ring(&f, &tag, &f.pipe);
	return f;
}

static void teardown(struct fixture *f)
{
	logrings_destroy(f->rings);
	loop_destroy(f->loop);
	close(f->pipe);
}

static void print(int fd, const char *text)
{
	CHECK_INT(write(fd, text, strlen(text)), (long long)strlen(text));
}

struct seen {
	char text[1 << 18];
	size_t len;
	char calls[64]; /* first letters of the calls of chunks */
	unsigned count, ends;
};

static void see(void *user, const struct log_chunk *chunk)
{
	struct seen *seen = user;
	if (chunk->len == 0) {
		seen->ends++;
		return;
	}
	if (seen->count < sizeof(seen->calls) - 1)
		seen->calls[seen->count] = chunk->tag.call[0] ? chunk->tag.call[0] : '-';
	seen->count++;
	memcpy(seen->text + seen->len, chunk->data, chunk->len);
	seen->len += chunk->len;
}

static uint64_t look(struct fixture *f, struct log_filter filter, struct seen *seen)
{
	memset(seen, 0, sizeof(*seen));
	return logrings_each(f->rings, &filter, see, seen);
}

static void test_output_is_kept_with_the_call_that_printed_it(void)
{
	static struct seen seen;
	struct fixture f = setup();
	struct log_tag a = tag_of(1, 1000, "a-1"), none = tag_of(1, 1000, "");
	print(f.pipe, "starting\n");
	logring_tag(f.ring, &a);
	print(f.pipe, "in a\n");
	logring_tag(f.ring, &none);
	print(f.pipe, "after\n");

	CHECK_INT(look(&f, (struct log_filter){.uid = 1000}, &seen), 0);
	CHECK_STR(seen.text, "starting\nin a\nafter\n");
	CHECK_STR(seen.calls, "-a-");
	look(&f, (struct log_filter){.uid = 1000, .call = "a-1"}, &seen);
	CHECK_STR(seen.text, "in a\n");
	look(&f, (struct log_filter){.uid = 1000, .function = "g"}, &seen);
	CHECK_INT(seen.count, 0);
	look(&f, (struct log_filter){.uid = 1000, .instance = 1}, &seen);
	CHECK_INT(seen.count, 3);
	look(&f, (struct log_filter){.uid = 1000, .instance = 2}, &seen);
	CHECK_INT(seen.count, 0);
	teardown(&f);
}

static void test_tenants_see_their_own(void)
{
	static struct seen seen;
	struct fixture f = setup();
	print(f.pipe, "secret\n");
	look(&f, (struct log_filter){.uid = 1001}, &seen);
	CHECK_INT(seen.count, 0);
	look(&f, (struct log_filter){.uid = 0, .all_uids = true}, &seen);
	CHECK_STR(seen.text, "secret\n");
	teardown(&f);
}

static void test_a_group_is_all_its_ranks(void)
{
	static struct seen seen;
	struct fixture f = setup();
	struct log_tag rank = tag_of(1, 1000, "1-2f-ab.13"), other = tag_of(1, 1000, "1-2f-abc");
	logring_tag(f.ring, &rank);
	print(f.pipe, "rank 13\n");
	logring_tag(f.ring, &other);
	print(f.pipe, "other\n");
	look(&f, (struct log_filter){.uid = 1000, .call = "1-2f-ab"}, &seen);
	CHECK_STR(seen.text, "rank 13\n");
	CHECK(logrings_running(f.rings, "1-2f-abc"));
	CHECK(!logrings_running(f.rings, "1-2f-ab"));
	teardown(&f);
}

static void test_text_survives_its_instance(void)
{
	static struct seen seen;
	struct fixture f = setup();
	char tail[64];
	print(f.pipe, "line 1\nline 2\nlast words");
	size_t len = logring_tail(f.ring, tail, 15);
	CHECK_INT(len, 10);
	CHECK(memcmp(tail, "last words", 10) == 0); /* from a line's start */
	len = logring_tail(f.ring, tail, sizeof(tail));
	CHECK_INT(len, 24);
	logring_close(f.ring);
	look(&f, (struct log_filter){.uid = 1000}, &seen);
	CHECK_STR(seen.text, "line 1\nline 2\nlast words");
	teardown(&f);
}

static void test_the_oldest_goes_and_is_counted(void)
{
	static struct seen seen;
	static char block[8192 + 1];
	struct fixture f = setup();
	for (unsigned i = 0; i < 12; i++) {
		memset(block, 'a' + (int)i, sizeof(block) - 1);
		print(f.pipe, block);
		char tail[1];
		logring_tail(f.ring, tail, 1); /* reads the pipe */
	}
	uint64_t lost = look(&f, (struct log_filter){.uid = 1000}, &seen);
	CHECK_INT(seen.len, LOGRING_BYTES);
	CHECK_INT(lost, 12 * 8192 - LOGRING_BYTES);
	CHECK_INT(seen.text[0], 'e');
	CHECK_INT(seen.text[seen.len - 1], 'l');
	CHECK_INT(logring_lost(f.ring), lost);
	teardown(&f);
}

static void test_too_much_is_dropped_and_counted(void)
{
	static char block[16384 + 1];
	static struct seen seen;
	struct fixture f = setup();
	struct ramet_err err = {0};
	struct log_follow *follow;
	memset(block, 'x', sizeof(block) - 1);
	memset(&seen, 0, sizeof(seen));
	struct log_filter nobody = {.uid = 1000, .call = "none"},
			  filter = {.uid = 1000, .function = "f"};
	struct log_follow *other;
	REQUIRE_OK(log_follow_start(f.rings, &nobody, see, &seen, &other, &err), &err);
	REQUIRE_OK(log_follow_start(f.rings, &filter, see, &seen, &follow, &err), &err);
	size_t sent = 0;
	/* within the second, LOGRING_RATE bytes pass */
	for (; sent < LOGRING_RATE + 3 * 16384; sent += 16384) {
		char tail[1];
		print(f.pipe, block);
		logring_tail(f.ring, tail, 1);
		seen.len = 0;
	}
	CHECK_INT(logring_lost(f.ring), sent - LOGRING_BYTES); /* overwritten ones too */
	CHECK_INT(log_follow_stop(f.rings, follow), sent - LOGRING_RATE);
	CHECK_INT(log_follow_stop(f.rings, other), 0);
	teardown(&f);
}

static void test_followers_are_told_as_it_comes(void)
{
	static struct seen seen;
	struct fixture f = setup();
	struct ramet_err err = {0};
	struct log_follow *follow;
	struct log_filter filter = {.uid = 1000, .call = "a-1"};
	struct log_tag a = tag_of(1, 1000, "a-1"), none = tag_of(1, 1000, "");
	memset(&seen, 0, sizeof(seen));
	print(f.pipe, "before\n");
	REQUIRE_OK(log_follow_start(f.rings, &filter, see, &seen, &follow, &err), &err);
	logring_tag(f.ring, &a);
	print(f.pipe, "told\n");
	while (seen.count == 0)
		REQUIRE_OK(loop_turn(f.loop, UINT64_MAX, &err), &err);
	CHECK_STR(seen.text, "told\n");
	CHECK_INT(seen.ends, 0);
	logring_tag(f.ring, &none); /* the call is over */
	CHECK_INT(seen.ends, 1);
	CHECK_INT(log_follow_stop(f.rings, follow), 0);
	teardown(&f);
}

static struct log_follow *stop_me;
static struct logrings *stop_in;
static void see_and_stop(void *user, const struct log_chunk *chunk)
{
	see(user, chunk);
	log_follow_stop(stop_in, stop_me);
}

static void test_a_follower_may_stop_from_within(void)
{
	static struct seen seen;
	struct fixture f = setup();
	struct ramet_err err = {0};
	struct log_filter filter = {.uid = 1000};
	char tail[8];
	memset(&seen, 0, sizeof(seen));
	stop_in = f.rings;
	REQUIRE_OK(log_follow_start(f.rings, &filter, see_and_stop, &seen, &stop_me, &err), &err);
	print(f.pipe, "one\n");
	logring_tail(f.ring, tail, sizeof(tail));
	print(f.pipe, "two\n");
	logring_tail(f.ring, tail, sizeof(tail));
	CHECK_STR(seen.text, "one\n");
	teardown(&f);
}

static void test_only_so_many_ended_rings_are_kept(void)
{
	static struct seen seen;
	unsigned fds = suite_count_fds();
	struct fixture f = setup();
	for (unsigned i = 0; i < LOGRING_KEEP + 10; i++) {
		struct log_tag tag = tag_of(100 + i, 1000, "");
		int pipe;
		struct logring *ring = open_ring(&f, &tag, &pipe);
		print(pipe, "x");
		close(pipe);
		logring_close(ring);
	}
	look(&f, (struct log_filter){.uid = 1000}, &seen);
	CHECK_INT(seen.len, LOGRING_KEEP);
	look(&f, (struct log_filter){.uid = 1000, .instance = 109}, &seen);
	CHECK_INT(seen.len, 0);
	look(&f, (struct log_filter){.uid = 1000, .instance = 110}, &seen);
	CHECK_INT(seen.len, 1);
	teardown(&f);
	CHECK_INT(suite_count_fds(), fds);
}

SUITE_MAIN("logring", TEST(test_output_is_kept_with_the_call_that_printed_it),
	TEST(test_tenants_see_their_own), TEST(test_a_group_is_all_its_ranks),
	TEST(test_text_survives_its_instance), TEST(test_the_oldest_goes_and_is_counted),
	TEST(test_too_much_is_dropped_and_counted), TEST(test_followers_are_told_as_it_comes),
	TEST(test_a_follower_may_stop_from_within), TEST(test_only_so_many_ended_rings_are_kept))
