/* Rows about functions: what the registry says, with counters summed over nodes. See node_rows.h.
 */
#include "cluster/node_rows.h"

#include "base/cleanup.h"
#include "base/list.h"
#include "cluster/bus_proto.h"
#include "cluster/calls.h"
#include "cluster/client_proto.h"
#include "cluster/gather.h"
#include "cluster/instances.h"
#include "cluster/node.h"
#include "cluster/registry.h"
#include "cluster/seeds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct total {
	struct list link;
	char name[CLIENT_NAME_MAX + 1];
	uid_t uid;
	uint64_t instances;
	struct calls_function_stats stats;
};

struct rows_totals {
	struct list list;
	uint32_t count;
};

int rows_totals_create(struct rows_totals **ret_totals, struct ramet_err *err)
{
	struct rows_totals *totals = calloc(1, sizeof(*totals));
	if (!totals)
		return err_nomem(err);
	list_init(&totals->list);
	*ret_totals = totals;
	return 0;
}

void rows_totals_destroy(struct rows_totals *totals)
{
	if (!totals)
		return;
	list_for_each_safe (total, &totals->list, struct total, link)
		free(total);
	free(totals);
}

static void add(struct rows_totals *totals, const struct total *more)
{
	list_for_each (total, &totals->list, struct total, link) {
		if (total->uid != more->uid || strcmp(total->name, more->name) != 0)
			continue;
		total->instances += more->instances;
		total->stats.calls += more->stats.calls;
		total->stats.failed += more->stats.failed;
		total->stats.warm += more->stats.warm;
		total->stats.local_fork += more->stats.local_fork;
		total->stats.remote_fork += more->stats.remote_fork;
		total->stats.cold += more->stats.cold;
		return;
	}
	struct total *total = totals->count < REGISTRY_MAX_ENTRIES ? malloc(sizeof(*total)) : NULL;
	if (!total)
		return;
	*total = *more;
	list_append(&totals->list, &total->link);
	totals->count++;
}

/* instances of this node that are bound to a function */
struct counting {
	const struct registry_entry *entry;
	uint64_t count;
};

static void count_instance(void *user, const struct instance_info *info)
{
	struct counting *counting = user;
	if (info->app->uid == counting->entry->uid &&
		strcmp(info->function, counting->entry->name) == 0)
		counting->count++;
}

static void own_total(struct node *node, const struct registry_entry *entry, struct total *ret)
{
	struct counting counting = {.entry = entry};
	instances_each(node->instances, count_instance, &counting);
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->name, sizeof(ret->name), "%s", entry->name);
	ret->uid = entry->uid;
	ret->instances = counting.count;
	calls_get_function_stats(node->calls, entry->uid, entry->name, &ret->stats);
}

void rows_totals_add_own(struct rows_totals *totals, struct node *node)
{
	for (struct registry_entry *entry = NULL; (entry = registry_next(node->registry, entry));) {
		struct total total;
		own_total(node, entry, &total);
		add(totals, &total);
	}
}

void rows_totals_pack_own(struct node *node, struct buf *b, uint32_t *io_count)
{
	for (struct registry_entry *entry = NULL; (entry = registry_next(node->registry, entry));) {
		struct total total;
		own_total(node, entry, &total);
		wire_map(b, 9);
		wire_kstr(b, "name", total.name);
		wire_kuint(b, "uid", total.uid);
		wire_kuint(b, "instances", total.instances);
		wire_kuint(b, "calls", total.stats.calls);
		wire_kuint(b, "failed", total.stats.failed);
		wire_kuint(b, "warm", total.stats.warm);
		wire_kuint(b, "local_fork", total.stats.local_fork);
		wire_kuint(b, "remote_fork", total.stats.remote_fork);
		wire_kuint(b, "cold", total.stats.cold);
		(*io_count)++;
	}
}

static int parse_total(const struct wire_value *map, struct total *ret)
{
	uint64_t uid;
	memset(ret, 0, sizeof(*ret));
	if (!map || !wire_is_map(map) ||
		wire_get_str(map, "name", ret->name, sizeof(ret->name), NULL) < 0 ||
		wire_get_uint(map, "uid", UINT32_MAX - 1, &uid, NULL) < 0)
		return RAMET_EPROTO;
	ret->uid = (uid_t)uid;
	const struct {
		const char *key;
		uint64_t *dst;
	} counts[] = {
		{"instances", &ret->instances},
		{"calls", &ret->stats.calls},
		{"failed", &ret->stats.failed},
		{"warm", &ret->stats.warm},
		{"local_fork", &ret->stats.local_fork},
		{"remote_fork", &ret->stats.remote_fork},
		{"cold", &ret->stats.cold},
	};
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(counts); i++)
		rc = wire_get_uint(map, counts[i].key, UINT64_MAX, counts[i].dst, NULL);
	return rc;
}

int rows_totals_add(struct rows_totals *totals, const struct wire_value *answer)
{
	const struct wire_limits limits = {
		.bytes = BUS_MAX_MESSAGE,
		.depth = BUS_WIRE_DEPTH,
		.items = BUS_WIRE_ITEMS,
	};
	struct buf rows = {0}, array = {0};
	struct wire_msg *msg = NULL;
	struct total total;
	uint32_t count = 0;
	int rc = gather_take_rows(answer, &rows, &count, REGISTRY_MAX_ENTRIES, NULL);
	wire_array(&array, count);
	wire_raw(&array, rows.data, rows.len);
	if (rc == 0)
		rc = wire_end(&array, NULL);
	if (rc == 0)
		rc = wire_parse(array.data, array.len, limits, &msg, NULL);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		rc = parse_total(wire_at(wire_root(msg), i), &total);
		if (rc == 0)
			add(totals, &total);
	}
	wire_free(msg);
	buf_fini(&array);
	buf_fini(&rows);
	return rc;
}

static const struct total *find(
	const struct rows_totals *totals, const struct registry_entry *entry)
{
	static const struct total none;
	list_for_each (total, &totals->list, struct total, link)
		if (total->uid == entry->uid && strcmp(total->name, entry->name) == 0)
			return total;
	return &none;
}

static unsigned holders(struct node *node, const struct app_version *version)
{
	unsigned count = seeds_have(node->seeds, version->uid, version->id);
	for (unsigned i = 0; i < members_count(node->members); i++)
		count += member_holds(members_at(node->members, i), version->id) != NULL;
	return count;
}

void rows_functions(struct node *node, uid_t uid, const struct rows_totals *totals, struct buf *b,
	uint32_t *io_count)
{
	for (struct registry_entry *entry = NULL; (entry = registry_next(node->registry, entry));) {
		const struct total *total = find(totals, entry);
		if (!registry_visible(entry, uid) || *io_count >= CLIENT_MAX_ROWS)
			continue;
		(*io_count)++;
		wire_map(b, 17);
		wire_kstr(b, "function", entry->name);
		wire_kstr(b, "app", entry->version->app);
		wire_kstr(b, "lang", app_version_function(entry->version, entry->name)->lang);
		wire_kstr(b, "version", entry->version->id);
		wire_kuint(b, "generation", entry->generation);
		wire_kuint(b, "uid", entry->uid);
		wire_kstr(b, "handler", app_version_function(entry->version, entry->name)->handler);
		wire_kstr(b, "fresh", app_fresh_name(entry->version->fresh));
		wire_kbool(b, "idempotent", entry->version->idempotent);
		wire_kuint(b, "seeds", holders(node, entry->version));
		wire_kuint(b, "instances", total->instances);
		wire_kuint(b, "calls", total->stats.calls);
		wire_kuint(b, "failed", total->stats.failed);
		wire_kuint(b, "warm", total->stats.warm);
		wire_kuint(b, "local_fork", total->stats.local_fork);
		wire_kuint(b, "remote_fork", total->stats.remote_fork);
		wire_kuint(b, "cold", total->stats.cold);
	}
}

static void pack_version(const struct registry_entry *entry, const struct app_version *version,
	struct buf *b, uint32_t *io_count)
{
	if (*io_count >= CLIENT_MAX_ROWS)
		return;
	(*io_count)++;
	wire_map(b, 7);
	wire_kstr(b, "function", entry->name);
	wire_kstr(b, "app", version->app);
	wire_kuint(b, "uid", entry->uid);
	wire_kstr(b, "version", version->id);
	wire_kstr(b, "handler", app_version_function(version, entry->name)->handler);
	wire_kstr(b, "state", version == entry->version ? "current" : "past");
	wire_kbool(b, "latest", strcmp(entry->latest, version->id) == 0);
}

void rows_versions(struct node *node, uid_t uid, struct buf *b, uint32_t *io_count)
{
	for (struct registry_entry *entry = NULL; (entry = registry_next(node->registry, entry));) {
		if (!registry_visible(entry, uid))
			continue;
		pack_version(entry, entry->version, b, io_count);
		for (unsigned i = 0; i < entry->npast; i++)
			pack_version(entry, entry->past[i], b, io_count);
	}
}
