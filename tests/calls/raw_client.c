#include "tests/calls/raw_client.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "base/wire.h"
#include "cluster/client_proto.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_NS (20 * NSEC_PER_SEC)
#define NFDS 2

static const struct wire_limits limits = {.bytes = CLIENT_MAX_FRAME, .depth = 8, .items = 256};

uint64_t raw_ask(struct raw_client *c, const char *type, const char *key, const char *text,
	uint64_t number, int fd)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct ramet_err err = {0};
	wire_map(&b, key ? 3 : 2);
	wire_kstr(&b, "t", type);
	wire_kuint(&b, "req", ++c->req);
	if (key && text)
		wire_kstr(&b, key, text);
	else if (key)
		wire_kuint(&b, key, number);
	CHECK_INT(frame_write(c->fd, b.data, b.len, &fd, fd < 0 ? 0 : 1, 0, &err), 0);
	return c->req;
}

/* the next message about a request, the other ones are passed over; NULL: none came */
static struct wire_msg *next(struct raw_client *c, uint64_t req, int fds[NFDS], unsigned *ret_nfds)
{
	for (;;) {
		size_t len = 0;
		struct wire_msg *msg = NULL;
		uint64_t of = 0;
		*ret_nfds = NFDS;
		free(steal_ptr(&c->data));
		if (frame_read(c->fd, CLIENT_MAX_FRAME, &c->data, &len, fds, ret_nfds,
			    now_ns() + PATIENCE_NS, NULL) < 0)
			return NULL;
		int rc = wire_parse(c->data, len, limits, &msg, NULL);
		if (rc == 0 && wire_get_uint(wire_root(msg), "req", UINT64_MAX, &of, NULL) == 0 &&
			of == req)
			return msg;
		for (unsigned i = 0; i < *ret_nfds; i++)
			close(fds[i]);
		wire_free(msg);
	}
}

static bool is(const struct wire_msg *msg, const char *type)
{
	char t[32] = "";
	return msg && wire_get_str(wire_root(msg), "t", t, sizeof(t), NULL) == 0 &&
		strcmp(t, type) == 0;
}

bool raw_answer(struct raw_client *c, uint64_t req, const char *type)
{
	int fds[NFDS];
	unsigned nfds = 0;
	struct wire_msg *msg = next(c, req, fds, &nfds);
	while (is(msg, "look")) {
		wire_free(msg);
		msg = next(c, req, fds, &nfds);
	}
	bool right = is(msg, type);
	wire_free(msg);
	return right;
}

bool raw_open(struct raw_client *c, const char *socket_path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", socket_path);
	*c = (struct raw_client){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	return CHECK(c->fd >= 0) &&
		CHECK_INT(connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)), 0) &&
		CHECK(raw_answer(
			c, raw_ask(c, "hello", "proto", NULL, CLIENT_PROTO, -1), "welcome"));
}

void raw_close(struct raw_client *c)
{
	close_reset(&c->fd);
	free(steal_ptr(&c->data));
}

static bool take(struct raw_client *c, struct raw_lease *lease)
{
	uint64_t pid = 0;
	int fds[NFDS] = {-1, -1};
	unsigned nfds = 0;
	struct wire_msg *msg = next(c, lease->req, fds, &nfds);
	bool granted = is(msg, "leased") && nfds == NFDS &&
		wire_get_uint(wire_root(msg), "pid", INT32_MAX, &pid, NULL) == 0;
	wire_free(msg);
	if (!granted)
		return false;
	lease->memory_fd = fds[0];
	lease->wake_fd = fds[1];
	lease->pid = (pid_t)pid;
	return true;
}

bool raw_lease(struct raw_client *c, const char *function, struct raw_lease *ret)
{
	uint64_t until = now_ns() + PATIENCE_NS;
	*ret = (struct raw_lease){.memory_fd = -1, .wake_fd = -1};
	ret->client_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	while (now_ns() < until) {
		ret->req = raw_ask(c, "lease", "name", function, 0, ret->client_fd);
		if (take(c, ret))
			return true;
	}
	return CHECK(!"no lease was granted");
}

void raw_lease_close(struct raw_lease *lease)
{
	close_reset(&lease->memory_fd);
	close_reset(&lease->wake_fd);
	close_reset(&lease->client_fd);
}
