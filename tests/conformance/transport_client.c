/* The client of the transport suite's fixture; see transport_pair.h. */
#include "tests/conformance/transport_pair.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static void client_on_connected(void *user, struct transport_conn *conn)
{
	struct client *c = user;
	c->connected++;
}

static void client_on_complete(void *user, const struct transport_completion *completion)
{
	struct client *c = user;
	c->done[c->done_count % COMPLETIONS_MAX] = *completion;
	c->done_count++;
	if (c->also)
		c->also(c, completion);
}

static void client_on_doorbell(void *user, struct transport_conn *conn, uint32_t imm)
{
	struct client *c = user;
	c->doorbells++;
}

static void client_on_message(void *user, struct transport_conn *conn, const void *data, size_t len)
{
	struct client *c = user;
	c->messages++;
}

static void client_on_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	struct client *c = user;
	c->closed++;
	c->closed_code = err->code;
	if (c->conn == conn)
		c->conn = NULL;
}

const struct transport_handler client_handler = {
	.on_connected = client_on_connected,
	.on_complete = client_on_complete,
	.on_doorbell = client_on_doorbell,
	.on_message = client_on_message,
	.on_closed = client_on_closed,
};

int client_open(struct client *c, const struct transport_options *options)
{
	struct ramet_err err = {0};
	memset(c, 0, sizeof(*c));
	c->memory = malloc(CLIENT_BYTES);
	CHECK(c->memory != NULL);
	if (!c->memory)
		return 0;
	memset(c->memory, GUARD, CLIENT_BYTES);
	const struct transport_options filled = provider_options(options);
	int rc = loop_create(&c->loop, &err);
	if (rc == 0)
		rc = transport_open(PROVIDER.name, c->loop, &filled, &c->transport, &err);
	if (rc == 0)
		rc = transport_domain_create(c->transport, &c->domain, &err);
	if (rc == 0)
		rc = transport_segment_add(c->domain, c->memory, CLIENT_BYTES,
			TRANSPORT_SEGMENT_LOCAL, &c->local, &err);
	return suite_check_ok(rc, &err, "client_open", __FILE__, __LINE__);
}

void client_close(struct client *c)
{
	transport_close(c->transport);
	loop_destroy(c->loop);
	free(c->memory);
}

void client_connect(struct client *c, const struct server *s)
{
	struct ramet_err err = {0};
	unsigned before = c->connected + c->closed;
	REQUIRE_OK(transport_connect(c->domain, s->addr, s->token, s->token_len, &client_handler, c,
			   &c->conn, &err),
		&err);
	uint64_t deadline = now_ns() + WAIT_NS;
	while (c->connected + c->closed == before && now_ns() < deadline)
		REQUIRE_OK(loop_turn(c->loop, NSEC_PER_SEC, &err), &err);
	CHECK_INT(c->connected + c->closed, before + 1);
}

struct segment_ref ref_at(struct segment_ref ref, uint64_t offset)
{
	ref.offset += offset;
	return ref;
}

int client_wait(struct client *c, const unsigned *count, unsigned target)
{
	struct ramet_err err = {0};
	uint64_t deadline = now_ns() + WAIT_NS;
	while (*count < target && now_ns() < deadline) {
		if (loop_turn(c->loop, NSEC_PER_SEC, &err) < 0)
			return 0;
	}
	return *count >= target;
}

static int client_result(struct client *c, int rc)
{
	if (rc < 0)
		return rc;
	unsigned target = c->done_count + transport_conn_inflight(c->conn);
	if (!CHECK(client_wait(c, &c->done_count, target)))
		return RAMET_EINTERNAL;
	return c->done[(c->done_count - 1) % COMPLETIONS_MAX].status;
}

int client_read(struct client *c, struct segment_ref ref, size_t at, size_t len)
{
	return client_result(c, transport_read(c->conn, ref, c->local, c->memory + at, len, at));
}

int client_write(struct client *c, struct segment_ref ref, size_t at, size_t len)
{
	return client_result(c, transport_write(c->conn, ref, c->local, c->memory + at, len, at));
}
