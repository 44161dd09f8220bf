/* A client of rametd's socket for tests: see wire_client.h. */
#include "tests/cluster/wire_client.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/client_proto.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LIMITS \
	((struct wire_limits){.bytes = CLIENT_MAX_FRAME, \
		.depth = CLIENT_WIRE_DEPTH, \
		.items = CLIENT_WIRE_ITEMS})

static void on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	struct wire_client *client = user;
	struct ramet_err err = {0};
	if (client->count == WIRE_CLIENT_MAX)
		return;
	struct wire_client_message *message = &client->messages[client->count];
	message->data = malloc(len);
	memcpy(message->data, data, len);
	if (!suite_check_ok(wire_parse(message->data, len, LIMITS, &message->msg, &err), &err,
		    "parse", __FILE__, __LINE__)) {
		free(message->data);
		return;
	}
	wire_get_str(wire_root(message->msg), "t", message->type, sizeof(message->type), NULL);
	wire_get_uint(wire_root(message->msg), "req", UINT64_MAX, &message->req, NULL);
	client->count++;
}

static void on_closed(void *user, const struct ramet_err *err)
{
	((struct wire_client *)user)->closed++;
}

static const struct frame_handler handler = {.on_frame = on_frame, .on_closed = on_closed};

bool wire_client_open(struct wire_client *client, struct world *world, unsigned index, uid_t uid)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct ramet_err err = {0};
	*client = (struct wire_client){.world = world};
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s",
		world->nodes[index]->config.client_socket);
	chmod(world->dirs[index], 0711);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uid_t own = geteuid();
	/* the kernel keeps who connected: SO_PEERCRED */
	if (uid != own && seteuid(uid) < 0)
		return false;
	int rc = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	if (uid != own && seteuid(own) < 0)
		return false;
	if (rc < 0) {
		close(fd);
		return false;
	}
	return suite_check_ok(frame_conn_create(world->loop, fd, CLIENT_MAX_FRAME, CLIENT_MAX_FRAME,
				      &handler, client, &client->conn, &err),
		&err, "frame_conn_create", __FILE__, __LINE__);
}

bool wire_client_greet(struct wire_client *client, struct world *world, unsigned index, uid_t uid)
{
	struct buf b = {0};
	if (!wire_client_open(client, world, index, uid))
		return false;
	wire_client_begin(&b, "hello", 1, 2);
	wire_kuint(&b, "proto", CLIENT_PROTO);
	wire_kstr(&b, "client", "test");
	wire_client_send(client, &b);
	return wire_client_wait(client, "welcome", 1, 1) != NULL;
}

void wire_client_close(struct wire_client *client)
{
	frame_conn_close(client->conn);
	client->conn = NULL;
	for (unsigned i = 0; i < client->count; i++) {
		wire_free(client->messages[i].msg);
		free(client->messages[i].data);
	}
	client->count = 0;
}

void wire_client_send(struct wire_client *client, struct buf *b)
{
	CHECK_INT(frame_send(client->conn, b->data, b->len, NULL, 0), 0);
	buf_fini(b);
}

void wire_client_begin(struct buf *b, const char *type, uint64_t req, uint32_t pairs)
{
	wire_map(b, 2 + pairs);
	wire_kstr(b, "t", type);
	wire_kuint(b, "req", req);
}

static const struct wire_value *find(
	const struct wire_client *client, const char *type, uint64_t req, unsigned n)
{
	for (unsigned i = 0; i < client->count; i++) {
		const struct wire_client_message *message = &client->messages[i];
		if (strcmp(message->type, type) == 0 && (req == 0 || message->req == req) &&
			--n == 0)
			return wire_root(message->msg);
	}
	return NULL;
}

unsigned wire_client_seen(const struct wire_client *client, const char *type, uint64_t req)
{
	unsigned n = 0;
	while (find(client, type, req, n + 1))
		n++;
	return n;
}

const struct wire_value *wire_client_wait(
	struct wire_client *client, const char *type, uint64_t req, unsigned n)
{
	uint64_t deadline = now_ns() + WORLD_TIMEOUT_NS;
	const struct wire_value *found;
	while (!(found = find(client, type, req, n)) && now_ns() < deadline) {
		const struct wire_value *error =
			strcmp(type, "error") != 0 ? find(client, "error", req, 1) : NULL;
		if (error) {
			char text[400] = "";
			if (wire_get_map(error, "error", &error, NULL) == 0)
				wire_get_str(error, "message", text, sizeof(text), NULL);
			printf("  instead of %s: error %s\n", type, text);
			break;
		}
		loop_turn(client->world->loop, 100 * NSEC_PER_MSEC, NULL);
	}
	suite_check(found != NULL, type, __FILE__, __LINE__);
	return found;
}

int wire_client_error(struct wire_client *client, uint64_t req, char message[400])
{
	const struct wire_value *answer = wire_client_wait(client, "error", req, 1), *error;
	char code[32] = "";
	if (!answer || wire_get_map(answer, "error", &error, NULL) < 0 ||
		wire_get_str(error, "code", code, sizeof(code), NULL) < 0)
		return 0;
	if (message)
		wire_get_str(error, "message", message, 400, NULL);
	return err_from_name(code);
}

/* --- what is in messages --- */

const char *wire_client_text(const struct wire_value *map, const char *key)
{
	static char texts[8][400];
	static unsigned next;
	char *text = texts[next++ % 8];
	snprintf(text, 400, "(no %s)", key);
	if (map)
		wire_get_str(map, key, text, 400, NULL);
	return text;
}

uint64_t wire_client_number(const struct wire_value *map, const char *key)
{
	uint64_t value = UINT64_MAX;
	if (map)
		wire_get_uint(map, key, UINT64_MAX, &value, NULL);
	return value;
}

const char *wire_client_error_code(const struct wire_value *result)
{
	const struct wire_value *error;
	if (!result || !wire_has(result, "error") ||
		wire_get_map(result, "error", &error, NULL) < 0)
		return "";
	return wire_client_text(error, "code");
}

bool wire_client_is_closed(struct wire_client *client)
{
	return world_until(client->world, &client->closed, 1);
}
