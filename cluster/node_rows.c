/* Rows about nodes, instances and seeds: see node_rows.h. */
#include "cluster/node_rows.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/client_proto.h"
#include "cluster/instances.h"
#include "cluster/node.h"
#include "cluster/seeds.h"

#include <string.h>

static const char *const kind_names[] = {
	[ROWS_PS] = "ps",
	[ROWS_NODES] = "nodes",
	[ROWS_FUNCTIONS] = "functions",
	[ROWS_SEEDS] = "seeds",
	[ROWS_VERSIONS] = "versions",
};

int rows_kind_from_name(const char *name, enum rows_kind *ret_kind)
{
	for (unsigned i = 0; i < ARRAY_LEN(kind_names); i++) {
		if (strcmp(kind_names[i], name) == 0) {
			*ret_kind = (enum rows_kind)i;
			return 0;
		}
	}
	return RAMET_EINVAL;
}

const char *rows_kind_name(enum rows_kind kind)
{
	return kind_names[kind];
}

struct packing {
	struct node *node;
	uid_t uid;
	struct buf *b;
	uint32_t *count;
};

static bool wanted(const struct packing *packing, uid_t owner)
{
	if (*packing->count >= CLIENT_MAX_ROWS || (packing->uid != 0 && packing->uid != owner))
		return false;
	(*packing->count)++;
	return true;
}

static void pack_instance(void *user, const struct instance_info *info)
{
	struct packing *packing = user;
	struct buf *b = packing->b;
	if (!wanted(packing, info->app->uid))
		return;
	wire_map(b, 14);
	wire_kuint(b, "node", packing->node->config.node);
	wire_kuint(b, "instance", info->id);
	wire_kuint(b, "pid", (uint64_t)info->pid);
	wire_kstr(b, "function", info->function);
	wire_kstr(b, "version", info->app->id);
	wire_kstr(b, "state", instance_state_name(info));
	wire_kstr(b, "start", start_kind_name(info->kind));
	wire_kuint(b, "source_node", info->source_node);
	wire_kstr(b, "call", info->call);
	wire_kuint(b, "rank", info->rank);
	wire_kuint(b, "calls", info->calls);
	wire_kuint(b, "rss", instance_rss(info));
	wire_kuint(b, "uptime_ms", (now_ns() - info->created_ns) / NSEC_PER_MSEC);
	wire_kuint(b, "uid", info->app->uid);
}

static void pack_seed(void *user, const struct seed_info *info)
{
	struct packing *packing = user;
	struct buf *b = packing->b;
	if (!wanted(packing, info->tenant))
		return;
	wire_map(b, 15);
	wire_kstr(b, "seed", info->seed);
	wire_kstr(b, "app", info->app);
	wire_kstr(b, "version", info->version);
	wire_kuint(b, "generation", 1);
	wire_kuint(b, "epoch", info->epoch);
	wire_kuint(b, "node", packing->node->config.node);
	wire_kstr(b, "role", info->copy ? "copy" : "origin");
	wire_kuint(b, "source_node", info->source_node);
	wire_kuint(b, "image_bytes", info->image_bytes);
	wire_kuint(b, "cached_bytes", info->cached_bytes);
	wire_kuint(b, "own_bytes", info->own_bytes);
	wire_kuint(b, "working_set_bytes", info->working_set_bytes);
	wire_kbool(b, "template", info->templates > 0);
	wire_kuint(b, "instances", instances_count(packing->node->instances, info->version));
	wire_kstr(b, "class", info->class_text);
}

void rows_pack(struct node *node, enum rows_kind kind, uid_t uid, struct buf *b, uint32_t *io_count)
{
	struct packing packing = {.node = node, .uid = uid, .b = b, .count = io_count};
	if (kind == ROWS_PS)
		instances_each(node->instances, pack_instance, &packing);
	else if (kind == ROWS_SEEDS)
		seeds_each(node->seeds, pack_seed, &packing);
}

static void pack_node(
	const struct member_info *info, const struct member_load *load, bool up, struct buf *b)
{
	uint64_t now = clock_ns(CLOCK_REALTIME);
	uint64_t uptime =
		up && now > info->started_ns ? (now - info->started_ns) / NSEC_PER_MSEC : 0;
	wire_map(b, 18);
	wire_kuint(b, "node", info->node);
	wire_kstr(b, "name", info->name);
	wire_kstr(b, "state", up ? "up" : "down");
	wire_kstr(b, "listen", info->listen);
	wire_kstr(b, "data", info->data);
	wire_kstr(b, "transport", info->transport);
	wire_kstr(b, "class", info->class_text);
	wire_kuint(b, "cores", info->cores);
	wire_kuint(b, "mem", info->mem);
	wire_kstr(b, "pager", info->eager ? "eager" : "uffd");
	wire_kuint(b, "instances", load->instances);
	wire_kuint(b, "templates", load->templates);
	wire_kuint(b, "seeds", load->seeds);
	wire_kuint(b, "cache_bytes", load->cache_bytes);
	wire_kuint(b, "calls", load->calls);
	wire_kstr(b, "version", info->version);
	wire_kuint(b, "pid", info->pid);
	wire_kuint(b, "uptime_ms", uptime);
}

void rows_nodes(struct node *node, uint32_t only, struct buf *b, uint32_t *io_count)
{
	const struct member_load *own = members_load(node->members);
	if (!only || only == node->config.node) {
		pack_node(&node->self, own, true, b);
		(*io_count)++;
	}
	for (unsigned i = 0; i < members_count(node->members); i++) {
		const struct member *member = members_at(node->members, i);
		if (only && only != member->info.node)
			continue;
		/* up: calls can be placed there */
		pack_node(&member->info, &member->load, member->alive && member->sees_us, b);
		(*io_count)++;
	}
}
