/* The requests lease, which lasts as long as the lease, and lease.cancel. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/leases.h"
#include "cluster/node.h"
#include "runtime/slots/slots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct client_lease {
	struct client_request request; /* first */
	struct lease *lease; /* NULL: it is over */
};

static int on_cancel(struct client_request *request, struct ramet_err *err)
{
	lease_close(container_of(request, struct client_lease, request)->lease);
	return 0;
}

static void on_abandon(struct client_request *request)
{
	struct client_lease *l = container_of(request, struct client_lease, request);
	lease_forget(steal_ptr(&l->lease));
	client_request_end(request);
}

static void on_free(struct client_request *request)
{
	if (request->client)
		request->client->nleases--;
	free(container_of(request, struct client_lease, request));
}

static const struct client_request_ops lease_ops = {
	.cancel = on_cancel,
	.abandon = on_abandon,
	.free = on_free,
};

static void on_look(void *user, struct lease *lease)
{
	struct client_lease *l = user;
	struct buf b = {0};
	client_message(&b, "look", l->request.req, 0);
	client_request_tell(&l->request, &b);
}

static void on_ended(void *user, struct lease *lease)
{
	struct client_lease *l = user;
	struct buf b = {0};
	l->lease = NULL;
	client_message(&b, "ended", l->request.req, 0);
	client_request_answer(&l->request, &b);
}

static const struct lease_owner lease_owner = {.on_look = on_look, .on_ended = on_ended};

static void tell_leased(struct client_lease *l)
{
	struct client *client = l->request.client;
	struct lease_info info;
	struct buf b = {0};
	lease_get_info(l->lease, &info);
	const int fds[] = {info.slots_fd, info.wake_fd};
	client_message(&b, "leased", l->request.req, 10);
	wire_kuint(&b, "lease", info.id);
	wire_kstr(&b, "version", info.app->id);
	wire_kuint(&b, "node", client->clients->node->config.node);
	wire_kuint(&b, "instance", info.instance);
	wire_kuint(&b, "pid", (uint64_t)info.pid);
	wire_kuint(&b, "deadline_ms", info.deadline_ms);
	wire_kuint(&b, "output", info.max_output);
	wire_kbool(&b, "idempotent", info.app->idempotent);
	wire_kbool(&b, "once", info.once);
	wire_kuint(&b, "time", now_ns());
	client_send_fds(client, &b, fds, 2);
}

/* of anything else closing might wait for its owner (a socket that lingers, a file of FUSE) */
static bool is_eventfd(int fd)
{
	static const char name[] = "anon_inode:[eventfd]";
	char path[32];
	char target[sizeof(name)];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(path, target, sizeof(target));
	return len == (ssize_t)sizeof(name) - 1 && memcmp(target, name, sizeof(name) - 1) == 0;
}

static int lease_here(struct client *client, uint64_t req, const char *function, bool pinned,
	struct ramet_err *err)
{
	struct client_request *request;
	int rc = client_request_begin(
		client, req, sizeof(struct client_lease), &lease_ops, &request, err);
	if (rc != 0)
		return rc;
	client->nleases++;
	struct client_lease *l = container_of(request, struct client_lease, request);
	const struct lease_request wish = {
		.tenant = client->uid,
		.function = function,
		.pinned = pinned,
		.client_fd = client->clients->frame_fds[0],
		.owner = &lease_owner,
		.user = l,
	};
	rc = lease_grant(client->clients->node->calls, &wish, &l->lease, err);
	if (rc < 0) {
		client_request_end(request);
		return rc;
	}
	tell_leased(l);
	return 0;
}

/* where: it must be there; 0: here, or else on the node where calls ran, near */
int clients_on_lease(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	char name[CALL_NAME_MAX];
	uint32_t where = 0;
	uint64_t near = 0;
	uint32_t self = client->clients->node->config.node;
	int rc = client_get_name(body, name, err);
	if (rc == 0)
		rc = client_get_node(client, body, &where, err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "near", UINT32_MAX, 0, &near, err);
	if (rc == 0 && client->nleases >= LEASES_MAX_OF_CLIENT)
		rc = err_set(err, RAMET_EAGAIN, "one client has at most %u leases",
			LEASES_MAX_OF_CLIENT);
	if (rc == 0 &&
		(client->clients->frame_nfds != 1 || !is_eventfd(client->clients->frame_fds[0])))
		rc = err_set(err, RAMET_EPROTO, "a lease without an eventfd");
	if (rc != 0)
		return rc;
	if (where == 0 || where == self)
		rc = lease_here(client, req, name, where == self, err);
	if (rc == RAMET_EAGAIN && where == 0)
		where = (uint32_t)near;
	bool far = where != 0 && where != self;
	return far ? clients_lease_far(client, req, name, where, err) : rc;
}

static struct client_lease *find(
	struct client *client, const struct wire_value *body, struct ramet_err *err)
{
	uint64_t of = 0;
	if (wire_get_uint(body, "of", UINT64_MAX, &of, err) < 0)
		return NULL;
	struct client_request *request = client_find_request(client, of);
	if (request && request->ops == &lease_ops)
		return container_of(request, struct client_lease, request);
	err_set(err, RAMET_ENOTFOUND, "no such lease");
	return NULL;
}

static int tell_cancelled(struct client *client, uint64_t req)
{
	struct buf b = {0};
	client_message(&b, "cancelled", req, 0);
	client_send(client, &b);
	return 0;
}

int clients_on_lease_cancel(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	uint64_t slot = 0;
	uint64_t generation = 0;
	const struct client_lease *l = find(client, body, err);
	int rc = l ? wire_get_uint(body, "slot", SLOTS_COUNT - 1, &slot, err) : err->code;
	if (rc == 0)
		rc = wire_get_uint(body, "generation", UINT32_MAX, &generation, err);
	if (rc == 0 && lease_cancel(l->lease, (unsigned)slot, (uint32_t)generation) < 0)
		rc = err_set(err, RAMET_ENOTFOUND, "no such call runs");
	return rc < 0 ? rc : tell_cancelled(client, req);
}

int clients_on_lease_broken(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	const struct client_lease *l = find(client, body, err);
	if (!l)
		return err->code;
	lease_break(l->lease);
	return tell_cancelled(client, req);
}
