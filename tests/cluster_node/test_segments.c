/* The data side: who gets in, what may be read, what removing does. */
#include "cluster/segments.h"

#include "base/clock.h"
#include "tests/lib/suite.h"

#include <stdlib.h>
#include <string.h>

#define LEN 8192
#define TIMEOUT_NS 10000000000ull

struct side {
	struct loop *loop;
	struct segments *segments;
	unsigned char *memory;
	struct segment *segment;
	unsigned ready, drained;
	/* a reader, on the same loop */
	struct transport *transport;
	struct transport_domain *domain;
	struct transport_segment *local;
	struct transport_conn *conn;
	unsigned char *buffer;
	unsigned connected, closed, completed;
	int close_code, status;
	unsigned fds;
};

static void on_ready(void *user, const struct ramet_err *err)
{
	struct side *s = user;
	CHECK_INT(err->code, 0);
	s->ready++;
}

static void on_drained(void *user)
{
	((struct side *)user)->drained++;
}

static bool until(struct side *s, const unsigned *counter, unsigned want)
{
	uint64_t deadline = now_ns() + TIMEOUT_NS;
	while (*counter < want)
		if (now_ns() > deadline || loop_turn(s->loop, 100 * NSEC_PER_MSEC, NULL) < 0)
			return false;
	return true;
}

static void on_connected(void *user, struct transport_conn *conn)
{
	(void)conn;
	((struct side *)user)->connected++;
}

static void on_complete(void *user, const struct transport_completion *c)
{
	struct side *s = user;
	s->status = c->status;
	s->completed++;
}

static void on_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	struct side *s = user;
	(void)conn;
	s->close_code = err->code;
	s->conn = NULL;
	s->closed++;
}

static const struct transport_handler handler = {
	.on_connected = on_connected,
	.on_complete = on_complete,
	.on_closed = on_closed,
};

static bool begin(struct side *s, uint32_t tenant)
{
	struct ramet_err err = {0};
	*s = (struct side){.fds = suite_count_fds()};
	s->memory = aligned_alloc(4096, LEN);
	s->buffer = aligned_alloc(4096, LEN);
	memset(s->memory, 'x', LEN);
	bool ok = loop_create(&s->loop, &err) == 0 &&
		segments_create(s->loop, "tcp", "127.0.0.1:0", NULL, &s->segments, &err) == 0 &&
		segments_add(s->segments, tenant, s->memory, LEN, on_ready, s, &s->segment, &err) ==
			0 &&
		until(s, &s->ready, 1) &&
		transport_open("tcp", s->loop, NULL, &s->transport, &err) == 0 &&
		transport_domain_create(s->transport, &s->domain, &err) == 0 &&
		transport_segment_add(
			s->domain, s->buffer, LEN, TRANSPORT_SEGMENT_LOCAL, &s->local, &err) == 0;
	if (!ok)
		printf("  %s\n", err.msg);
	return ok;
}

static void end(struct side *s)
{
	transport_segment_remove(s->local, NULL, NULL);
	transport_domain_destroy(s->domain);
	transport_close(s->transport);
	segments_remove(s->segment, on_drained, s);
	segments_destroy(s->segments);
	unsigned before = s->drained;
	loop_destroy(s->loop); /* runs what was posted */
	CHECK(before == 1 || s->drained == 1);
	free(s->memory);
	free(s->buffer);
	CHECK_INT(suite_count_fds(), s->fds);
}

static void dial(struct side *s, const void *token, size_t len)
{
	struct ramet_err err = {0};
	s->connected = s->closed = 0;
	int rc = transport_connect(s->domain, segments_addr(s->segments, SEGMENTS_FIRST), token,
		len, &handler, s, &s->conn, &err);
	CHECK_INT(rc, 0);
}

static int read_all(struct side *s)
{
	s->completed = 0;
	int rc = transport_read(
		s->conn, segments_ref(s->segment, SEGMENTS_FIRST), s->local, s->buffer, LEN, 1);
	return rc < 0 ? rc : until(s, &s->completed, 1) ? s->status : RAMET_EINTERNAL;
}

static void test_a_token_opens_once(void)
{
	struct side s;
	uint8_t token[SEGMENTS_TOKEN_BYTES];
	REQUIRE(begin(&s, 7));
	REQUIRE(segments_token(s.segments, 7, token, NULL) == 0);
	dial(&s, token, sizeof(token));
	REQUIRE(until(&s, &s.connected, 1));
	CHECK_INT(read_all(&s), 0);
	CHECK(memcmp(s.buffer, s.memory, LEN) == 0);
	transport_conn_close(s.conn);
	REQUIRE(until(&s, &s.closed, 1));
	dial(&s, token, sizeof(token));
	REQUIRE(until(&s, &s.closed, 1));
	CHECK_INT(s.close_code, RAMET_EPERM);
	end(&s);
}

/* whoever asks and asks does not fill the memory: the oldest go */
static void test_tokens_are_bounded(void)
{
	struct side s;
	uint8_t first[SEGMENTS_TOKEN_BYTES], last[SEGMENTS_TOKEN_BYTES];
	REQUIRE(begin(&s, 7));
	REQUIRE(segments_token(s.segments, 7, first, NULL) == 0);
	for (unsigned i = 0; i < SEGMENTS_TOKENS_MAX; i++)
		REQUIRE(segments_token(s.segments, 7, last, NULL) == 0);
	dial(&s, first, sizeof(first));
	REQUIRE(until(&s, &s.closed, 1));
	CHECK_INT(s.close_code, RAMET_EPERM);
	dial(&s, last, sizeof(last));
	REQUIRE(until(&s, &s.connected, 1));
	transport_conn_close(s.conn);
	REQUIRE(until(&s, &s.closed, 1));
	end(&s);
}

static void test_strangers_stay_out(void)
{
	struct side s;
	uint8_t token[SEGMENTS_TOKEN_BYTES] = {0};
	REQUIRE(begin(&s, 7));
	dial(&s, token, sizeof(token));
	REQUIRE(until(&s, &s.closed, 1));
	CHECK_INT(s.close_code, RAMET_EPERM);
	dial(&s, token, 3);
	REQUIRE(until(&s, &s.closed, 1));
	CHECK_INT(s.close_code, RAMET_EPERM);
	end(&s);
}

static void test_tenants_are_apart(void)
{
	struct side s;
	uint8_t token[SEGMENTS_TOKEN_BYTES];
	REQUIRE(begin(&s, 7));
	REQUIRE(segments_token(s.segments, 8, token, NULL) == 0);
	dial(&s, token, sizeof(token));
	REQUIRE(until(&s, &s.connected, 1));
	CHECK_INT(read_all(&s), RAMET_EACCESS);
	end(&s);
}

static void test_removed_means_revoked(void)
{
	struct side s;
	uint8_t token[SEGMENTS_TOKEN_BYTES];
	REQUIRE(begin(&s, 7));
	REQUIRE(segments_token(s.segments, 7, token, NULL) == 0);
	dial(&s, token, sizeof(token));
	REQUIRE(until(&s, &s.connected, 1));
	struct segment_ref ref = segments_ref(s.segment, SEGMENTS_FIRST);
	segments_remove(s.segment, on_drained, &s);
	REQUIRE(until(&s, &s.drained, 1));
	s.segment = NULL;
	REQUIRE(transport_read(s.conn, ref, s.local, s.buffer, LEN, 1) == 0);
	REQUIRE(until(&s, &s.completed, 1));
	CHECK_INT(s.status, RAMET_EREVOKED);
	end(&s);
}

static void never(void *user, const struct ramet_err *err)
{
	(void)user;
	(void)err;
	CHECK(!"told of a segment that was removed");
}

static void test_removed_before_it_is_ready(void)
{
	struct side s;
	struct segment *segment = NULL;
	REQUIRE(begin(&s, 7));
	REQUIRE(segments_add(s.segments, 7, s.memory, LEN, never, &s, &segment, NULL) == 0);
	segments_remove(segment, on_drained, &s);
	REQUIRE(until(&s, &s.drained, 1));
	s.drained = 0;
	end(&s);
}

SUITE_MAIN("the data side", TEST(test_a_token_opens_once), TEST(test_tokens_are_bounded),
	TEST(test_strangers_stay_out), TEST(test_tenants_are_apart),
	TEST(test_removed_means_revoked), TEST(test_removed_before_it_is_ready))
