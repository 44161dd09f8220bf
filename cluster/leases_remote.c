/* Leases of clients on other nodes, on the node that has the instance. See leases_remote.h. */
#include "cluster/leases_remote.h"

#include "base/cleanup.h"
#include "base/list.h"
#include "base/log.h"
#include "cluster/app_version.h"
#include "cluster/bus.h"
#include "cluster/calls.h"
#include "cluster/lease_stream.h"
#include "cluster/leases.h"
#include "cluster/node.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_OF_NODE 1024 /* leases of one peer's clients */
#define MAX_VERBS_OF_NODE 128 /* of those, by RDMA, which takes most of a megabyte each */

struct leases_remote {
	struct node *node;
	struct list list;
};

struct remote {
	struct list link;
	struct leases_remote *all;
	struct lease *lease; /* NULL: it is over */
	struct lease_stream *stream;
	uint64_t id;
	uint32_t peer;
	bool verbs;
};

static void drop(struct remote *r, bool linger)
{
	if (r->lease)
		lease_forget(steal_ptr(&r->lease));
	lease_stream_end(steal_ptr(&r->stream), linger);
	list_remove(&r->link);
	free(r);
}

/* --- what the lease tells --- */

static void on_look(void *user, struct lease *lease)
{
	const struct remote *r = user;
	(void)lease;
	lease_stream_look(r->stream);
}

static void on_ended(void *user, struct lease *lease)
{
	struct remote *r = user;
	(void)lease;
	r->lease = NULL;
	drop(r, true);
}

static bool busy(void *user, struct lease *lease)
{
	const struct remote *r = user;
	(void)lease;
	return lease_stream_heard(r->stream);
}

static const struct lease_owner owner = {.on_look = on_look, .busy = busy, .on_ended = on_ended};

/* --- what the stream tells --- */

static void on_gone(void *user)
{
	drop(user, false);
}

static void on_broken(void *user)
{
	const struct remote *r = user;
	if (r->lease)
		lease_break(r->lease); /* on_ended follows */
}

static void on_cancel(void *user, unsigned slot, uint32_t generation)
{
	const struct remote *r = user;
	if (r->lease)
		(void)lease_cancel(r->lease, slot, generation); /* else it is over */
}

static const struct lease_stream_handler stream_handler = {
	.on_gone = on_gone, .on_broken = on_broken, .on_cancel = on_cancel};

/* --- what a peer asks --- */

struct wish {
	uint64_t tenant;
	char function[CALL_NAME_MAX], version[VERSION_HEX + 1];
	bool verbs; /* the asker can */
};

static int grant(struct remote *r, const struct wish *wish, int event_fd, struct ramet_err *err)
{
	struct node *node = r->all->node;
	uint32_t tenant = (uint32_t)wish->tenant;
	const struct lease_request request = {
		.tenant = tenant,
		.function = wish->function,
		.pinned = true, /* its client's node chose this one */
		.client_fd = event_fd,
		.owner = &owner,
		.user = r,
	};
	struct registry_entry *entry = NULL;
	int rc = registry_find(node->registry, tenant, wish->function, &entry, err);
	if (rc == 0 && strcmp(entry->version->id, wish->version) != 0)
		rc = err_set(
			err, RAMET_EAGAIN, "another version of %s is current here", wish->function);
	if (rc == 0)
		rc = lease_grant(node->calls, &request, &r->lease, err);
	return rc;
}

static int pack_taken(const struct remote *r, unsigned way, const struct lease_info *info,
	const uint8_t token[SEGMENTS_TOKEN_BYTES], struct buf *b, struct ramet_err *err)
{
	const struct segments *segments = r->all->node->segments;
	wire_map(b, 10);
	wire_kuint(b, "lease", info->id);
	wire_kstr(b, "transport", segments_provider(segments, way));
	wire_kstr(b, "addr", segments_addr(segments, way));
	wire_kbin(b, "token", token, SEGMENTS_TOKEN_BYTES);
	wire_kuint(b, "instance", info->instance);
	wire_kuint(b, "pid", (uint64_t)info->pid);
	wire_kuint(b, "deadline_ms", info->deadline_ms);
	wire_kuint(b, "output", info->max_output);
	wire_kbool(b, "idempotent", info->app->idempotent);
	wire_kbool(b, "once", info->once);
	return wire_end(b, err);
}

/* of one peer's clients; verbs: those by RDMA alone */
static unsigned count_of(const struct leases_remote *all, uint32_t peer, bool verbs)
{
	unsigned count = 0;
	list_for_each (r, &all->list, struct remote, link)
		count += r->peer == peer && (!verbs || r->verbs);
	return count;
}

/* verbs: the asker can. RAMET_EAGAIN: it would be by RDMA, and has as many already */
static int choose_way(const struct remote *r, bool verbs, unsigned *ret_way, struct ramet_err *err)
{
	unsigned way = segments_way_of(r->all->node->segments, "verbs");
	bool room = count_of(r->all, r->peer, true) < MAX_VERBS_OF_NODE;
	*ret_way = verbs && room && way < SEGMENTS_WAYS_MAX ? way : SEGMENTS_FIRST;
	if (*ret_way == way && !room)
		return err_set(err, RAMET_EAGAIN, "one node has at most %d leases here by RDMA",
			MAX_VERBS_OF_NODE);
	return 0;
}

/* verbs: the asker can; b: the answer */
static int open_stream(
	struct remote *r, bool verbs, int event_fd, struct buf *b, struct ramet_err *err)
{
	struct node *node = r->all->node;
	unsigned way = 0;
	int rc = choose_way(r, verbs, &way, err);
	if (rc < 0)
		return rc;
	r->verbs = strcmp(segments_provider(node->segments, way), "verbs") == 0;
	uint8_t token[SEGMENTS_TOKEN_BYTES];
	struct lease_info info;
	lease_get_info(r->lease, &info);
	r->id = info.id;
	const int fds[] = {info.slots_fd, info.wake_fd, event_fd};
	rc = lease_stream_create(node->segments, node->loop, fds, r->verbs, &stream_handler, r,
		token, &r->stream, err);
	return rc < 0 ? rc : pack_taken(r, way, &info, token, b, err);
}

static int take(struct leases_remote *all, struct bus_request *request, const struct wish *wish,
	struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	if (count_of(all, bus_request_node(request), false) >= MAX_OF_NODE)
		return err_set(
			err, RAMET_EAGAIN, "one node has at most %d leases here", MAX_OF_NODE);
	struct remote *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(err);
	list_append(&all->list, &r->link);
	r->all = all;
	r->peer = bus_request_node(request);
	auto_close int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = event_fd < 0 ? err_errno(err, RAMET_EIO, "eventfd of a lease") : 0;
	if (rc == 0)
		rc = grant(r, wish, event_fd, err);
	if (rc == 0)
		rc = open_stream(r, wish->verbs, event_fd, &b, err);
	if (rc < 0) {
		drop(r, false);
		return rc;
	}
	bus_reply(request, &b);
	return 0;
}

void leases_remote_on_take(
	struct leases_remote *all, struct bus_request *request, const struct wire_value *body)
{
	struct wish wish = {0};
	struct ramet_err err = {0};
	int rc = wire_get_uint(body, "uid", UINT32_MAX, &wish.tenant, &err);
	if (rc == 0)
		rc = wire_get_str(body, "function", wish.function, sizeof(wish.function), &err);
	if (rc == 0)
		rc = wire_get_str(body, "version", wish.version, sizeof(wish.version), &err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "verbs", false, &wish.verbs, &err);
	if (rc == 0)
		rc = take(all, request, &wish, &err);
	if (rc < 0)
		bus_reply_err(request, &err);
}

void leases_remote_on_close(
	struct leases_remote *all, struct bus_request *request, const struct wire_value *body)
{
	uint64_t id = 0;
	struct ramet_err err = {0};
	if (wire_get_uint(body, "lease", UINT64_MAX, &id, &err) < 0) {
		bus_reply_err(request, &err);
		return;
	}
	list_for_each (r, &all->list, struct remote, link) {
		if (r->id != id || r->peer != bus_request_node(request) || !r->lease)
			continue;
		lease_close(r->lease);
		break;
	}
	bus_reply(request, NULL);
}

void leases_remote_node_down(struct leases_remote *all, uint32_t node)
{
	list_for_each_safe (r, &all->list, struct remote, link)
		if (r->peer == node)
			drop(r, false);
}

int leases_remote_create(struct node *node, struct leases_remote **ret, struct ramet_err *err)
{
	struct leases_remote *all = calloc(1, sizeof(*all));
	if (!all)
		return err_nomem(err);
	all->node = node;
	list_init(&all->list);
	*ret = all;
	return 0;
}

void leases_remote_destroy(struct leases_remote *all)
{
	if (!all)
		return;
	list_for_each_safe (r, &all->list, struct remote, link)
		drop(r, false);
	free(all);
}
