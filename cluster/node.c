/* Making and ending a node: who is created when, and who is told what. See node.h. */
#include "cluster/node.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/blobs.h"
#include "cluster/bundle.h"
#include "cluster/bursts.h"
#include "cluster/bus.h"
#include "cluster/calls.h"
#include "cluster/clients.h"
#include "cluster/data_paths.h"
#include "cluster/deploy_peer.h"
#include "cluster/file_transfer.h"
#include "cluster/follow.h"
#include "cluster/heap_trim.h"
#include "cluster/instances.h"
#include "cluster/leases_remote.h"
#include "cluster/logring.h"
#include "cluster/node_bus.h"
#include "cluster/registry.h"
#include "cluster/secrets.h"
#include "cluster/seeds.h"
#include "cluster/segments.h"
#include "cluster/versions.h"
#include "cluster/workers.h"
#include "runtime/spawn/spawn_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define WORKER_THREADS 2
#define HEAP_LOOK_NS (5 * NSEC_PER_SEC)

/* --- what ramet-spawn tells --- */

static void on_exited(void *user, uint64_t inst, const struct spawn_exit *how)
{
	struct node *node = user;
	instances_on_exited(node->instances, inst, how);
}

static void on_template_gone(void *user, uint64_t tmpl, const struct ramet_err *why)
{
	struct node *node = user;
	seeds_on_template_gone(node->seeds, tmpl, why);
}

static void on_spawn_lost(void *user, const struct ramet_err *why)
{
	struct node *node = user;
	if (node->stopping)
		return; /* a signal to the whole process group ends it too */
	log_err(LOG_ERROR, "spawn.lost", why);
	node->failed = true;
	node_stop(node);
}

static const struct spawn_handler spawn_handler = {
	.on_exited = on_exited,
	.on_gone = on_template_gone,
	.on_lost = on_spawn_lost,
};

/* --- what the bus and the members tell --- */

static void on_heard(void *user, uint32_t peer, const struct wire_value *load)
{
	struct node *node = user;
	if (node->members)
		members_heard(node->members, peer, load);
}

static void on_link(void *user, uint32_t peer, bool up)
{
	struct node *node = user;
	if (node->members)
		members_link(node->members, peer, up);
}

static void pack_load(void *user, struct buf *b)
{
	struct node *node = user;
	if (!node->members) {
		wire_nil(b);
		return;
	}
	if (node->calls)
		calls_tell_load(node->calls);
	members_pack_load(node->members, b);
}

static void on_alive(void *user, const struct member *member)
{
	struct node *node = user;
	versions_sync(node, member->info.node);
	follows_node_up(node->follows, member->info.node);
	clients_members_changed(node->clients);
}

static void on_dead(void *user, const struct member *member)
{
	struct node *node = user;
	calls_node_down(node->calls, member->info.node);
	bursts_node_down(node->bursts, member->info.node);
	follows_node_down(node->follows, member->info.node);
	if (node->remote_leases)
		leases_remote_node_down(node->remote_leases, member->info.node);
	if (node->clients)
		clients_leases_node_down(node->clients, member->info.node);
}

static void on_change(void *user, const struct member *member)
{
	struct node *node = user;
	versions_check(node, member);
	clients_members_changed(node->clients);
	if (node->seeds)
		seeds_on_holdings(node->seeds);
}

static const struct members_handler members_handler = {
	.on_alive = on_alive,
	.on_dead = on_dead,
	.on_change = on_change,
};

static int find_file(
	void *user, uint32_t uid, const uint8_t sha256[FILE_SHA256_BYTES], char *path, size_t cap)
{
	struct node *node = user;
	return seeds_find_file(node->seeds, uid, sha256, path, cap);
}

/* --- making --- */

static int describe(struct node *node, struct ramet_err *err)
{
	struct member_info *self = &node->self;
	const struct node_config *config = &node->config;
	int rc = topo_probe(&node->topo, err);
	if (rc < 0)
		return rc;
	if (getrandom(&self->incarnation, sizeof(self->incarnation), 0) !=
		sizeof(self->incarnation))
		return err_errno(err, RAMET_EIO, "get random bytes");
	self->node = config->node;
	memcpy(self->name, config->name, sizeof(self->name));
	snprintf(self->version, sizeof(self->version), "%s", RAMET_VERSION);
	self->class_id = node->topo.class_id;
	memcpy(self->class_text, node->topo.class_text, sizeof(self->class_text));
	self->eager = config->pager == PAGER_EAGER || !spawn_client_caps(node->spawn)->userfaultfd;
	self->python = access(config->python, X_OK) == 0;
	self->cores = node->topo.cores;
	self->mem = node->topo.mem_bytes;
	self->pid = (uint32_t)getpid();
	self->started_ns = clock_ns(CLOCK_REALTIME);
	if (node->config.capacity == 0)
		node->config.capacity = node->topo.cores;
	if (config->pager == PAGER_UFFD && self->eager)
		return err_set(err, RAMET_ENOTSUP,
			"pager: uffd cannot be had here (%s): use auto, or run rametd as root",
			spawn_client_caps(node->spawn)->detail);
	return 0;
}

/* RDMA beside TCP, if there is a device with the data address */
static void try_verbs(struct node *node)
{
	const struct node_config *config = &node->config;
	char addr[TRANSPORT_ADDR_MAX];
	struct ramet_err err = {0};
	snprintf(addr, sizeof(addr), "%.*s:0", (int)(strrchr(config->data, ':') - config->data),
		config->data);
	if (segments_also(node->segments, "verbs", addr, &config->rdma, &err) < 0)
		log_info("data.tcp_only", "msg=\"%s\"", err.msg);
}

static int create_data(struct node *node, struct ramet_err *err)
{
	const struct node_config *config = &node->config;
	struct member_info *self = &node->self;
	bool verbs = strcmp(config->transport, "verbs") == 0;
	int rc = segments_create(node->loop, verbs ? "verbs" : "tcp", config->data, &config->rdma,
		&node->segments, err);
	if (rc < 0)
		return err_prefix(err, "data: %s", config->data);
	if (strcmp(config->transport, "auto") == 0)
		try_verbs(node);
	snprintf(self->data, sizeof(self->data), "%s",
		segments_addr(node->segments, SEGMENTS_FIRST));
	snprintf(self->transport, sizeof(self->transport), "%s%s",
		segments_provider(node->segments, SEGMENTS_FIRST),
		segments_ways(node->segments) > 1 ? "+verbs" : "");
	return data_paths_create(node->segments, &node->paths, err);
}

static int create_network(struct node *node, struct ramet_err *err)
{
	const struct node_config *config = &node->config;
	int rc = create_data(node, err);
	if (rc < 0)
		return rc;

	const struct bus_options bus = {
		.loop = node->loop,
		.node = config->node,
		.listen = config->listen,
		.silence_ms = MEMBER_LINK_TIMES * config->rdma.peer_timeout_ms,
		.handlers = node_bus_handlers,
		.nhandlers = node_bus_handlers_count,
		.user = node,
		.on_heard = on_heard,
		.on_link = on_link,
		.pack_load = pack_load,
	};
	rc = bus_create(&bus, &node->bus, err);
	if (rc < 0)
		return rc;
	snprintf(node->self.listen, sizeof(node->self.listen), "%s", bus_addr(node->bus));

	const struct members_options members = {
		.loop = node->loop,
		.bus = node->bus,
		.self = &node->self,
		.silence_ms = config->rdma.peer_timeout_ms,
		.handler = &members_handler,
		.user = node,
	};
	rc = members_create(&members, &node->members, err);
	for (uint32_t i = 0; rc == 0 && i < config->npeers; i++)
		rc = members_add(
			node->members, config->peers[i].node, config->peers[i].listen, err);
	return rc;
}

static int create_store(struct node *node, struct ramet_err *err)
{
	const struct bundles_options bundles = {
		.dir = node->config.dir,
		.loop = node->loop,
		.bus = node->bus,
		.workers = node->workers,
	};
	const struct file_transfer_options files = {
		.dir = node->config.dir,
		.loop = node->loop,
		.bus = node->bus,
		.workers = node->workers,
		.find = find_file,
		.user = node,
		.max_bytes = node->config.store_bytes,
	};
	int rc = bundles_create(&bundles, &node->bundles, err);
	if (rc == 0)
		rc = file_transfer_create(&files, &node->files, err);
	return rc;
}

static int create_parts(struct node *node, struct ramet_err *err)
{
	node->blobs = blobs_create();
	int rc = node->blobs ? workers_create(node->loop, WORKER_THREADS, &node->workers, err)
			     : err_nomem(err);
	if (rc == 0)
		rc = workers_create(node->loop, 1, &node->background, err);
	if (rc == 0)
		rc = heap_trim_create(
			node->loop, node->background, HEAP_LOOK_NS, &node->heap_trim, err);
	if (rc == 0)
		rc = logrings_create(node->loop, &node->logs, err);
	if (rc == 0)
		rc = versions_create(node, &node->versions, err);
	if (rc == 0)
		rc = secrets_create(
			node->config.node, versions_secret_changed, node, &node->secrets, err);
	if (rc == 0)
		rc = registry_create(
			node->config.node, &versions_registry_handler, node, &node->registry, err);
	if (rc == 0)
		rc = create_network(node, err);
	if (rc == 0)
		rc = follows_create(node, &node->follows, err);
	if (rc == 0)
		rc = create_store(node, err);
	if (rc == 0)
		rc = instances_create(node, &node->instances, err);
	if (rc == 0)
		rc = seeds_create(node, &node->seeds, err);
	if (rc == 0)
		rc = calls_create(node, &node->calls, err);
	if (rc == 0)
		rc = leases_remote_create(node, &node->remote_leases, err);
	if (rc == 0)
		rc = bursts_create(node, &node->bursts, err);
	if (rc == 0)
		rc = deploy_peers_create(node, &node->deploys, err);
	if (rc == 0)
		rc = clients_create(node, &node->clients, err);
	return rc;
}

int node_create(struct loop *loop, const struct node_config *config, struct spawn_client *spawn,
	struct node **ret_node, struct ramet_err *err)
{
	struct node *node = calloc(1, sizeof(*node));
	if (!node) {
		spawn_client_stop(spawn);
		return err_nomem(err);
	}
	node->config = *config;
	node->loop = loop;
	node->spawn = spawn;
	spawn_client_handle(spawn, &spawn_handler, node);
	int rc = describe(node, err);
	if (rc == 0)
		rc = create_parts(node, err);
	if (rc < 0) {
		node_destroy(node);
		return rc;
	}
	*ret_node = node;
	return 0;
}

/* --- ending --- */

void node_stop(struct node *node)
{
	if (node->stopping)
		return;
	node->stopping = true;
	log_info("node.stopping", "node=%u", node->config.node);
	clients_stop(node->clients);
	members_bye(node->members);
	workers_hurry(node->workers);
	workers_hurry(node->background);
	if (node->on_stopped)
		node->on_stopped(node->on_stopped_user);
}

/* whoever is called back while the node ends sees what is still there */
#define DESTROY(part, destroy) \
	do { \
		destroy(node->part); \
		node->part = NULL; \
	} while (0)

static void destroy_what_runs(struct node *node)
{
	DESTROY(deploys, deploy_peers_destroy);
	DESTROY(bursts, bursts_destroy);
	DESTROY(remote_leases, leases_remote_destroy);
	DESTROY(calls, calls_destroy);
	DESTROY(seeds, seeds_destroy);
	DESTROY(instances, instances_destroy);
	DESTROY(spawn, spawn_client_stop); /* now nobody uses files any more */
}

void node_destroy(struct node *node)
{
	if (!node)
		return;
	node->stopping = true;
	if (node->clients)
		clients_stop(node->clients);
	workers_hurry(node->workers);
	workers_hurry(node->background);
	destroy_what_runs(node);
	DESTROY(files, file_transfer_destroy);
	DESTROY(bundles, bundles_destroy);
	DESTROY(follows, follows_destroy);
	DESTROY(members, members_destroy);
	DESTROY(bus, bus_destroy);
	DESTROY(paths, data_paths_destroy);
	DESTROY(segments, segments_destroy);
	DESTROY(registry, registry_destroy);
	DESTROY(secrets, secrets_destroy);
	DESTROY(versions, versions_destroy);
	DESTROY(logs, logrings_destroy);
	DESTROY(background, workers_destroy);
	DESTROY(heap_trim, heap_trim_destroy);
	DESTROY(workers, workers_destroy);
	DESTROY(blobs, blobs_destroy);
	DESTROY(clients, clients_destroy); /* last: by this clients see that all is gone */
	free(node);
}
