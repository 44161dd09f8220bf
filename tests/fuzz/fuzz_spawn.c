/* What ramet-spawn answers: frames, while requests of each kind are under way. */
#include "tests/fuzz/fuzz.h"

#include "base/cleanup.h"
#include "runtime/spawn/spawn_client_internal.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_exited(void *user, uint64_t inst, const struct spawn_exit *how)
{
	(void)user;
	(void)inst;
	if (how->status < -1 || how->status > 255)
		abort();
}

static void on_gone(void *user, uint64_t tmpl, const struct ramet_err *why)
{
	(void)user;
	(void)tmpl;
	(void)why;
}

static void on_lost(void *user, const struct ramet_err *why)
{
	(void)user;
	if (why->code == 0)
		abort();
}

static const struct spawn_handler handler = {
	.on_exited = on_exited, .on_gone = on_gone, .on_lost = on_lost};

static void on_done(void *user, struct spawn_result *result)
{
	(void)result;
	++*(unsigned *)user;
}

static void on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	(void)user;
	(void)data;
	(void)len;
	(void)fds;
	(void)nfds;
}

static void on_closed(void *user, const struct ramet_err *err)
{
	(void)user;
	(void)err;
}

static const struct frame_handler ours = {on_frame, on_closed};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct loop *loop;
	struct spawn_client *client = calloc(1, sizeof(*client));
	unsigned done = 0;
	int pair[2];
	if (!client || (!loop && loop_create(&loop, NULL) < 0) ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
		frame_conn_create(
			loop, pair[0], 1 << 20, 1 << 20, &ours, NULL, &client->conn, NULL) < 0)
		abort();
	client->loop = loop;
	client->handler = &handler;
	client->next_req = 100;
	for (unsigned i = 0; i < 8; i++) {
		struct pending *pending = calloc(1, sizeof(*pending));
		if (!pending)
			abort();
		pending->kind = i % 4;
		pending->subject = i;
		pending->done = i < 6 ? on_done : NULL;
		pending->user = &done;
		idmap_add(&client->pending, &pending->node, i + 1);
	}
	for (unsigned n = 0; n < 8 && len >= 2 && client->conn; n++) {
		size_t part = data[0] | (size_t)data[1] << 8;
		part = MIN(part, len - 2);
		int fds[FRAME_MAX_FDS] = {dup(pair[1]), -1, -1, -1};
		spawn_client_on_frame(client, data + 2, part, fds, 1);
		close_reset(&fds[0]);
		data += 2 + part;
		len -= 2 + part;
	}
	spawn_client_stop(client);
	close(pair[1]);
	(void)loop_turn(loop, 0, NULL);
	return 0;
}
