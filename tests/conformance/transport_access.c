/* Transport suite: who may touch which memory, and what becomes of those who may not; removal of
 * segments. */
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#include "base/clock.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void test_wrong_keys_and_bounds(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	struct segment_ref good = p.server.read_ref, bad = good;
	const struct {
		uint64_t offset;
		size_t len;
	} outside[] = {
		{SERVER_BYTES, 1},
		{SERVER_BYTES - 1, 2},
		{SERVER_BYTES - 4095, 4096},
		{SERVER_BYTES + 1, 1},
		{UINT64_MAX, 1},
		{UINT64_MAX - 4095, 4096}, /* offset + len wraps to 0 */
		{UINT64_MAX - 100, 4096},
		{(uint64_t)1 << 63, 4096},
	};
	for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
		bad.offset = outside[i].offset;
		CHECK_INT(client_read(c, bad, 0, outside[i].len), RAMET_EACCESS);
		bad.id = p.server.write_ref.id;
		bad.key = p.server.write_ref.key;
		CHECK_INT(client_write(c, bad, 0, outside[i].len), RAMET_EACCESS);
		bad = good;
	}
	bad.key ^= 1;
	CHECK_INT(client_read(c, bad, 0, 16), RAMET_EACCESS);
	bad.key = 0;
	CHECK_INT(client_read(c, bad, 0, 16), RAMET_EACCESS);
	bad = good;
	bad.id = UINT64_MAX;
	CHECK_INT(client_read(c, bad, 0, 16), RAMET_EACCESS);
	bad.id = good.id + ((uint64_t)1 << 32);
	CHECK_INT(client_read(c, bad, 0, 16), RAMET_EACCESS);
	bad.id = good.id + 1000;
	CHECK_INT(client_read(c, bad, 0, 16), RAMET_EACCESS);
	bad = (struct segment_ref){0};
	CHECK_INT(client_read(c, bad, 0, 16), RAMET_EACCESS);

	/* the last byte is inside, and the connection lives */
	CHECK_INT(client_read(c, ref_at(good, SERVER_BYTES - 1), 0, 1), 0);
	CHECK_INT(client_read(c, ref_at(good, SERVER_BYTES - 4096), 0, 4096), 0);
	CHECK(pattern_matches(c->memory, SERVER_BYTES - 4096, 4096));
	CHECK_INT(c->closed, 0);
	pair_close(&p);
}

static SHARED struct segment_ref other_ref, hidden_ref;

static void server_add_unreachable(struct server *s)
{
	struct ramet_err err = {0};
	struct transport_domain *other;
	struct transport_segment *segment;
	REQUIRE_OK(transport_domain_create(s->transport, &other, &err), &err);
	REQUIRE_OK(transport_segment_add(
			   other, s->memory, 4096, TRANSPORT_SEGMENT_WRITE, &segment, &err),
		&err);
	other_ref = transport_segment_ref(segment, 0);
	REQUIRE_OK(transport_segment_add(
			   s->domain, s->memory, 4096, TRANSPORT_SEGMENT_LOCAL, &segment, &err),
		&err);
	hidden_ref = transport_segment_ref(segment, 0);
}

void test_read_only_local_and_other_domains(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	server_call(&p.server, server_add_unreachable);
	CHECK_INT(client_write(c, p.server.read_ref, 0, 16), RAMET_EACCESS);
	CHECK_INT(client_write(c, p.server.read_ref, 0, 1 << 20), RAMET_EACCESS);
	CHECK_INT(client_read(c, other_ref, 0, 16), RAMET_EACCESS);
	CHECK_INT(client_write(c, other_ref, 0, 16), RAMET_EACCESS);
	CHECK_INT(client_read(c, hidden_ref, 0, 16), RAMET_EACCESS);
	/* a write that fails rings no bell */
	CHECK_INT(
		transport_write_imm(c->conn, p.server.read_ref, c->local, c->memory, 16, 7, 0), 0);
	CHECK(client_wait(c, &c->done_count, 6));
	CHECK_INT(c->done[5].status, RAMET_EACCESS);
	CHECK_INT(c->done[5].op, TRANSPORT_WRITE_IMM);
	CHECK_INT(client_write(c, p.server.write_ref, 0, 16), 0);
	CHECK_INT(counter_get(&p.server.doorbells), 0);
	/* nothing was written where it must not be */
	CHECK_INT(client_read(c, ref_at(p.server.read_ref, 16), 0, 1 << 20), 0);
	CHECK(pattern_matches(c->memory, 16, 1 << 20));
	pair_close(&p);
}

void test_misuse_is_refused(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	struct segment_ref ref = p.server.read_ref;
	struct ramet_err err = {0};
	struct transport_segment *exposed, *none;
	struct transport_domain *other;
	unsigned char *m = c->memory;
	CHECK_INT(transport_read(c->conn, ref, c->local, m, 0, 0), RAMET_EINVAL);
	CHECK_INT(transport_read(c->conn, ref, c->local, m, (size_t)TRANSPORT_OP_MAX + 1, 0),
		RAMET_EINVAL);
	CHECK_INT(transport_read(c->conn, ref, c->local, m + 1, CLIENT_BYTES, 0), RAMET_EINVAL);
	CHECK_INT(transport_read(c->conn, ref, c->local, m - 1, 1, 0), RAMET_EINVAL);
	CHECK_INT(transport_read(c->conn, ref, c->local, m + CLIENT_BYTES, 1, 0), RAMET_EINVAL);
	CHECK_INT(transport_read(c->conn, ref, NULL, m, 1, 0), RAMET_EINVAL);
	CHECK_INT(transport_write(c->conn, ref, c->local, m, 0, 0), RAMET_EINVAL);

	/* into a segment that is read-only, or of another domain, no read may go; a write may come
	 * from the former */
	REQUIRE_OK(transport_segment_add(c->domain, m, 4096, 0, &exposed, &err), &err);
	CHECK_INT(transport_read(c->conn, ref, exposed, m, 16, 0), RAMET_EINVAL);
	CHECK_INT(transport_write(c->conn, p.server.write_ref, exposed, m, 16, 0), 0);
	CHECK(client_wait(c, &c->done_count, 1));
	REQUIRE_OK(transport_domain_create(c->transport, &other, &err), &err);
	REQUIRE_OK(transport_segment_add(other, m, 4096, TRANSPORT_SEGMENT_LOCAL, &exposed, &err),
		&err);
	CHECK_INT(transport_read(c->conn, ref, exposed, m, 16, 0), RAMET_EINVAL);

	CHECK_INT(transport_segment_add(c->domain, m, 0, 0, &none, &err), RAMET_EINVAL);
	CHECK_INT(transport_segment_add(c->domain, NULL, 1, 0, &none, &err), RAMET_EINVAL);
	CHECK_INT(transport_segment_add(c->domain, m, 1, 3, &none, &err), RAMET_EINVAL);
	CHECK_INT(transport_segment_add(c->domain, m, 1, 8, &none, &err), RAMET_EINVAL);
	struct transport *t;
	CHECK_INT(transport_open("carrier-pigeon", c->loop, NULL, &t, &err), RAMET_ENOTSUP);
	const struct transport_options deep = {.queue_depth = TRANSPORT_DEPTH_MAX + 1};
	CHECK_INT(transport_open(PROVIDER.name, c->loop, &deep, &t, &err), RAMET_EINVAL);
	const struct transport_options hasty = {.peer_timeout_ms = 1};
	CHECK_INT(transport_open(PROVIDER.name, c->loop, &hasty, &t, &err), RAMET_EINVAL);
	pair_close(&p);
}

static void server_on_drained(void *user)
{
	struct server *s = user;
	memset(s->memory, 0xee,
		SERVER_BYTES); /* the memory is ours again: this must reach nobody */
	counter_add(&s->drained);
}

static void server_revoke_readable(struct server *s)
{
	transport_segment_remove(s->readable, server_on_drained, s);
}

static unsigned char
	*kept; /* the server's: what a segment holds that the other's end does not harm */
static SHARED struct segment_ref kept_ref, again_ref;

static void server_add_kept(struct server *s)
{
	struct ramet_err err = {0};
	struct transport_segment *segment;
	kept = malloc(1 << 20);
	REQUIRE(kept != NULL);
	memcpy(kept, pattern(0), 1 << 20);
	REQUIRE_OK(transport_segment_add(s->domain, kept, 1 << 20, 0, &segment, &err), &err);
	kept_ref = transport_segment_ref(segment, 0);
}

static void kept_free(void)
{
	free(kept);
}

static void server_add_again(struct server *s)
{
	struct ramet_err err = {0};
	REQUIRE_OK(transport_segment_add(s->domain, s->memory, SERVER_BYTES, 0, &s->readable, &err),
		&err);
	again_ref = transport_segment_ref(s->readable, 0);
}

/* reads that were under way end with the old bytes or as REVOKED, later ones as REVOKED, the others
 * well */
void test_segment_removed_while_it_is_read(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	server_call(&p.server, server_add_kept);
	/* 16 large reads; the segment goes when the first has come */
	for (unsigned i = 0; i < 16; i++) {
		CHECK_INT(transport_read(c->conn, ref_at(p.server.read_ref, i * 65536), c->local,
				  c->memory + (size_t)i * 524288, 524288, i),
			0);
		CHECK_INT(transport_read(c->conn, ref_at(kept_ref, i * 100), c->local,
				  c->memory + (8 << 20) + i * 4096, 4096, 100 + i),
			0);
	}
	CHECK(client_wait(c, &c->done_count, 1));
	server_call(&p.server, server_revoke_readable);
	CHECK(pair_wait(&p, &p.server.drained, 1));
	CHECK_INT(client_read(c, p.server.read_ref, 0, 1), RAMET_EREVOKED);
	CHECK_INT(c->done_count, 33);
	for (unsigned i = 0; i < 32; i++) {
		const struct transport_completion *done = &c->done[i];
		uint64_t n = done->cookie;
		if (n >= 100) {
			CHECK_INT(done->status, 0);
			CHECK(pattern_matches(
				c->memory + (8 << 20) + (n - 100) * 4096, (n - 100) * 100, 4096));
		} else if (done->status != RAMET_EREVOKED) {
			CHECK_INT(done->status, 0);
			CHECK(n == 0 || pattern_matches(c->memory + n * 524288, n * 65536, 524288));
		}
	}
	/* its place in the table is taken again: the old reference stays revoked */
	server_call(&p.server, server_add_again);
	CHECK_INT(client_read(c, p.server.read_ref, 0, 1), RAMET_EREVOKED);
	CHECK_INT(client_write(c, p.server.read_ref, 0, 1), RAMET_EREVOKED);
	CHECK_INT(client_read(c, again_ref, 0, 1), 0);
	CHECK_INT(client_read(c, ref_at(kept_ref, 5), 0, 4096), 0);
	CHECK(pattern_matches(c->memory, 5, 4096));
	CHECK_INT(c->closed, 0);
	pair_close(&p);
	server_run(kept_free);
}

static void server_revoke_writable(struct server *s)
{
	transport_segment_remove(s->writable, server_on_drained, s);
}

void test_segment_removed_while_it_is_written(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	for (unsigned i = 0; i < 30; i++)
		CHECK_INT(transport_write(c->conn, p.server.write_ref, c->local, c->memory,
				  (8 << 20) - i, i),
			0);
	CHECK_INT(transport_write_imm(c->conn, p.server.write_ref, c->local, c->memory, 64, 1, 30),
		0);
	CHECK(client_wait(c, &c->done_count, 1));
	server_call(&p.server, server_revoke_writable);
	CHECK(pair_wait(&p, &p.server.drained, 1));
	CHECK(client_wait(c, &c->done_count, 31));
	for (unsigned i = 0; i < 31; i++)
		CHECK(c->done[i].status == 0 || c->done[i].status == RAMET_EREVOKED);
	CHECK_INT(client_write(c, p.server.write_ref, 0, 16), RAMET_EREVOKED);
	/* after it was drained nothing was written there any more */
	CHECK_INT(client_read(c, p.server.read_ref, 0, 8 << 20), 0);
	for (size_t i = 0; i < 8 << 20; i += 509)
		CHECK_INT(c->memory[i], 0xee);
	pair_close(&p);
}

static void client_on_drained(void *user)
{
	struct client *c = user;
	CHECK_INT(c->done_count, 50); /* our own reads into it have all ended before */
	c->drained++;
}

/* removing a segment that our own operations use lets them finish first */
void test_drained_waits_for_own_operations(void)
{
	struct pair p;
	if (!pair_open(&p, NULL))
		return;
	struct client *c = &p.client;
	struct ramet_err err = {0};
	struct transport_segment *staging;
	REQUIRE_OK(transport_segment_add(c->domain, c->memory + 4096, 8 << 20,
			   TRANSPORT_SEGMENT_LOCAL, &staging, &err),
		&err);
	for (unsigned i = 0; i < 50; i++)
		CHECK_INT(transport_read(c->conn, ref_at(p.server.read_ref, i), staging,
				  c->memory + 4096 + i * 100000, 100000, i),
			0);
	transport_segment_remove(staging, client_on_drained, c);
	CHECK_INT(c->drained, 0);
	CHECK_INT(transport_read(c->conn, p.server.read_ref, staging, c->memory + 4096, 16, 0),
		RAMET_EINVAL);
	CHECK(client_wait(c, &c->drained, 1));
	for (unsigned i = 0; i < 50; i++)
		CHECK_INT(c->done[i].status, 0);
	CHECK(pattern_matches(c->memory + 4096 + 49 * 100000, 49, 100000));
	pair_close(&p);
}
