/* Opening and closing a handle: which socket, the greeting, and what a handle tells of itself. */
#include "base/clock.h"
#include "cluster/client_proto.h"
#include "libramet/address.h"
#include "libramet/handle.h"
#include "libramet/stream.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#define HELLO_MS 5000

static void pack_hello(struct buf *b, const void *arg)
{
	wire_kuint(b, "proto", CLIENT_PROTO);
	wire_kstr(b, "client", arg);
}

static int get_u32(
	const struct wire_value *map, const char *key, uint32_t *ret, struct ramet_err *err)
{
	uint64_t value;
	int rc = wire_get_uint(map, key, UINT32_MAX, &value, err);
	if (rc == 0)
		*ret = (uint32_t)value;
	return rc;
}

static int greet(struct ramet *ramet, struct ramet_err *err)
{
	auto_message struct message *message = NULL;
	uint32_t pid = 0;
	int rc = stream_request(ramet, "hello", 2, pack_hello, "libramet " RAMET_VERSION,
		handle_deadline(HELLO_MS), "welcome", &message, err);
	if (rc == 0)
		rc = get_u32(message->root, "node", &ramet->node, err);
	if (rc == 0)
		rc = get_u32(message->root, "nodes", &ramet->nodes, err);
	if (rc == 0)
		rc = get_u32(message->root, "expected", &ramet->expected, err);
	if (rc == 0)
		rc = get_u32(message->root, "uid", &ramet->uid, err);
	if (rc == 0)
		rc = get_u32(message->root, "pid", &pid, err);
	if (rc == 0)
		rc = wire_get_str(
			message->root, "version", ramet->version, sizeof(ramet->version), err);
	if (rc < 0)
		return rc;
	ramet->pid = (int32_t)pid;
	return 0;
}

int ramet_open(const char *address, struct ramet **ret_ramet, struct ramet_err *err)
{
	char path[PATH_MAX];
	struct ramet *ramet = NULL;
	int rc = 0;
	if (!address) {
		rc = address_default(path, sizeof(path), err);
		address = path;
	}
	if (rc == 0)
		rc = handle_create(address, &ramet, err);
	if (rc != 0)
		return rc;
	struct ramet_err cause = {0};
	rc = greet(ramet, &cause);
	if (rc < 0) {
		ramet_close(ramet);
		if (rc == RAMET_EPEER || rc == RAMET_ETIMEOUT)
			return err_set(err, RAMET_ENOCLUSTER, "%s: %s", address, cause.msg);
		err_copy(err, &cause);
		return rc;
	}
	*ret_ramet = ramet;
	return 0;
}

void ramet_close(struct ramet *ramet)
{
	if (!ramet)
		return;
	{
		auto_lock(ramet);
		/* what has arrived counts */
		(void)ramet->channel->ops->dispatch(ramet->channel, NULL);
		ramet->closed = true;
		conn_close(ramet->conn); /* tells the calls that are left */
		ramet->conn = NULL;
		ramet->channel->ops->destroy(ramet->channel);
		ramet->channel = NULL;
		pthread_cond_broadcast(&ramet->changed);
	}
	handle_put(ramet);
}

uint32_t ramet_node(const struct ramet *ramet)
{
	return ramet->node;
}

uint32_t ramet_nodes(const struct ramet *ramet)
{
	return ramet->nodes;
}

/* The handle's descriptor costs system calls with each call: not before somebody asks for it. */
int ramet_fd(const struct ramet *handle)
{
	struct ramet *ramet = (struct ramet *)handle;
	auto_lock(ramet);
	if (!ramet->polled && ramet->channel) {
		ramet->polled = true;
		if (!list_empty(&ramet->done))
			eventfd_write(ramet->done_fd, 1);
		if (ramet->channel->ops->arm)
			ramet->channel->ops->arm(ramet->channel);
		(void)handle_look(
			ramet, NULL); /* an answer that came before tells nobody any more */
	}
	return ramet->poll_fd;
}
