/* What follows from changes of the registry: see versions.h. */
#include "cluster/versions.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "cluster/bundle.h"
#include "cluster/bus.h"
#include "cluster/calls.h"
#include "cluster/clients.h"
#include "cluster/instances.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/secrets.h"
#include "cluster/seeds.h"

#include <stdlib.h>
#include <string.h>

#define RESYNC_NS NSEC_PER_SEC
#define SWEEP_NS (500 * NSEC_PER_MSEC)

/* a version that nothing points to, whose files may still be in use */
struct retired {
	struct list link;
	char id[VERSION_HEX + 1];
};

struct versions {
	struct node *node;
	struct list retired;
	struct loop_timer sweep;
	struct loop_timer resync;
	uint64_t ended; /* instances, ever */
	bool removing; /* the change under way is a removal, not a newer version */
};

static void on_sweep(struct loop_timer *timer)
{
	struct versions *versions = container_of(timer, struct versions, sweep);
	struct node *node = versions->node;
	list_for_each_safe (retired, &versions->retired, struct retired, link) {
		bool back = registry_version(node->registry, retired->id) != NULL;
		if (!back &&
			(instances_count(node->instances, retired->id) > 0 ||
				seeds_uses(node->seeds, retired->id)))
			continue;
		if (!back && !registry_keeps(node->registry, retired->id)) /* to go back to it */
			bundles_remove(node->bundles, retired->id);
		list_remove(&retired->link);
		free(retired);
	}
	if (!list_empty(&versions->retired))
		loop_timer_set(node->loop, &versions->sweep, now_ns() + SWEEP_NS, on_sweep);
}

static void retire(struct versions *versions, const char *id)
{
	struct retired *retired = calloc(1, sizeof(*retired));
	if (!retired)
		return; /* its files stay */
	memcpy(retired->id, id, sizeof(retired->id));
	list_append(&versions->retired, &retired->link);
	loop_timer_set(versions->node->loop, &versions->sweep, now_ns() + SWEEP_NS, on_sweep);
}

/* of what is the same on all nodes */
static uint64_t digest_of(const struct node *node)
{
	return registry_digest(node->registry) + secrets_digest(node->secrets);
}

static void tell_digest(struct node *node)
{
	members_set_registry(node->members, digest_of(node));
}

static void on_change(void *user, const struct registry_entry *entry, struct app_version *old)
{
	struct node *node = user;
	node->versions->removing = entry->version == NULL;
	tell_digest(node);
	log_info(entry->version ? "function.deployed" : "function.removed",
		"function=%s uid=%u version=%.12s generation=%llu", entry->name, entry->uid,
		entry->version ? entry->version->id : "", (unsigned long long)entry->generation);
}

static void on_unused(void *user, struct app_version *version)
{
	struct node *node = user;
	node->versions->ended += calls_drop_version(
		node->calls, version->uid, version->id, node->versions->removing);
	if (node->clients)
		clients_leases_drop_version(node->clients, version->id);
	seeds_drop(node->seeds, version->uid, version->id, node->versions->removing);
	retire(node->versions, version->id);
}

/* its files were kept for a rollback */
static void on_forgotten(void *user, struct app_version *version)
{
	struct node *node = user;
	if (!registry_version(node->registry, version->id))
		retire(node->versions, version->id);
}

const struct registry_handler versions_registry_handler = {
	.on_change = on_change, .on_unused = on_unused, .on_forgotten = on_forgotten};

int versions_remove(struct node *node, struct registry_entry *entry, struct buf *ret_news,
	uint64_t *io_ended, struct ramet_err *err)
{
	uint64_t before = node->versions->ended;
	int rc = registry_remove(node->registry, entry, ret_news, err);
	*io_ended += node->versions->ended - before;
	return rc;
}

void versions_on_news(struct node *node, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	uint64_t before = node->versions->ended;
	if (registry_merge(node->registry, body, &err) < 0) {
		log_err(LOG_WARN, "registry.news", &err);
		bus_reply_err(request, &err);
		return;
	}
	struct buf b = {0};
	wire_map(&b, 1);
	wire_kuint(&b, "ended", node->versions->ended - before);
	bus_reply(request, &b);
}

/* Leases let calls go by without us: they end, and the next calls come through us again. */
void versions_secret_changed(void *user, const struct secret *secret)
{
	struct node *node = user;
	tell_digest(node);
	if (node->calls)
		leases_close_secret(node->calls, secret->uid, secret->app, secret->name);
	log_info(secret->value ? "secret.set" : "secret.removed", "name=%s app=%s uid=%u",
		secret->name, secret->app, secret->uid);
}

void versions_on_secrets(
	struct node *node, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	if (secrets_merge(node->secrets, body, &err) < 0) {
		log_err(LOG_WARN, "secrets.news", &err);
		bus_reply_err(request, &err);
		return;
	}
	bus_reply(request, NULL);
}

void versions_sync(struct node *node, uint32_t peer)
{
	struct buf news = {0};
	if (registry_pack(node->registry, &news, NULL) == 0)
		bus_notify(node->bus, peer, "registry", &news);
	CLEANUP(secrets_wipe) struct buf secrets = {0};
	if (secrets_next(node->secrets, NULL) && secrets_pack(node->secrets, &secrets, NULL) == 0)
		bus_notify(node->bus, peer, "secrets", &secrets);
}

/* News may be lost with a connection. Both sides see that they differ and send what they have; the
 * newer entries win. */
static void on_resync(struct loop_timer *timer)
{
	struct node *node = container_of(timer, struct versions, resync)->node;
	uint64_t digest = digest_of(node);
	for (unsigned i = 0; i < members_count(node->members); i++) {
		const struct member *member = members_at(node->members, i);
		if (member->alive && member->load.registry != digest)
			versions_sync(node, member->info.node);
	}
}

void versions_check(struct node *node, const struct member *member)
{
	struct loop_timer *timer = &node->versions->resync;
	if (member->load.registry != members_load(node->members)->registry && timer->heap_pos == 0)
		loop_timer_set(node->loop, timer, now_ns() + RESYNC_NS, on_resync);
}

int versions_create(struct node *node, struct versions **ret_versions, struct ramet_err *err)
{
	struct versions *versions = calloc(1, sizeof(*versions));
	if (!versions)
		return err_nomem(err);
	versions->node = node;
	list_init(&versions->retired);
	*ret_versions = versions;
	return 0;
}

void versions_destroy(struct versions *versions)
{
	if (!versions)
		return;
	loop_timer_cancel(&versions->sweep);
	loop_timer_cancel(&versions->resync);
	list_for_each_safe (retired, &versions->retired, struct retired, link)
		free(retired);
	free(versions);
}
