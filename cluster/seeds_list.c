/* What others see of the seeds: which there are, what they take, whose files they name. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "cluster/calls.h"
#include "cluster/file_transfer.h"
#include "cluster/members.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool seeds_uses(const struct seeds *seeds, const char *version)
{
	return seeds_find(seeds, version) != NULL;
}

bool seeds_have(const struct seeds *seeds, uint32_t tenant, const char *version)
{
	const struct seed *seed = seeds_find(seeds, version);
	return seed && seed->state == SEED_READY && seed->app->uid == tenant;
}

void seeds_publish(struct seeds *seeds)
{
	struct node *node = seeds->node;
	auto_free struct holding *holdings = calloc(seeds_count(seeds) + 1, sizeof(*holdings));
	uint32_t n = 0;
	if (!holdings)
		return;
	list_for_each (seed, &seeds->list, struct seed, link) {
		if (!seed->exposed || seed->retired || n == MEMBER_MAX_HOLDINGS)
			continue;
		struct holding *h = &holdings[n++];
		snprintf(h->version, sizeof(h->version), "%s", seed->app->id);
		h->key = seed->key;
		h->idle = calls_idle(node->calls, seed->app->id);
		h->origin = seed->origin;
	}
	struct ramet_err err = {0};
	if (members_set_holdings(node->members, holdings, n, &err) < 0)
		log_err(LOG_WARN, "seeds.publish", &err);
}

static uint64_t pack_bytes(const struct seed *seed)
{
	return seed->set ? working_set_pages(seed->set) * RFORK_PAGE : 0;
}

static unsigned count_templates(const struct seed *seed)
{
	unsigned n = 0;
	list_for_each (tmpl, &seed->templates, struct seed_template, link)
		n += tmpl->state == TEMPLATE_READY;
	return n;
}

void seeds_each(
	const struct seeds *seeds, void (*fn)(void *user, const struct seed_info *info), void *user)
{
	list_for_each (seed, &seeds->list, struct seed, link) {
		if (seed->state != SEED_READY)
			continue;
		const struct descriptor_header *header = seed->image->desc.header;
		struct seed_info info = {
			.tenant = seed->app->uid,
			.epoch = header->epoch,
			.copy = !seed->origin,
			.source_node = seed->source_node,
			.image_bytes = seed->image->npages * RFORK_PAGE,
			.own_bytes = image_resident(seed->image),
			.cached_bytes = atomic_load(&seed->image->npresent) * RFORK_PAGE,
			.working_set_bytes = pack_bytes(seed),
			.templates = count_templates(seed),
		};
		hex_encode(header->seed_id, SEED_ID_BYTES, info.seed);
		snprintf(info.app, sizeof(info.app), "%s", seed->app->app);
		snprintf(info.version, sizeof(info.version), "%s", seed->app->id);
		snprintf(info.class_text, sizeof(info.class_text), "%s", header->class_text);
		fn(user, &info);
	}
}

unsigned seeds_count(const struct seeds *seeds)
{
	unsigned n = 0;
	list_for_each (seed, &seeds->list, struct seed, link)
		n += seed->state == SEED_READY;
	return n;
}

unsigned seeds_templates(const struct seeds *seeds)
{
	unsigned n = 0;
	list_for_each (seed, &seeds->list, struct seed, link)
		n += count_templates(seed);
	return n;
}

/* whether a seed before this one in the table has its base's pages, too */
static bool shares_layer(const struct seeds *seeds, const struct seed *seed)
{
	list_for_each (other, &seeds->list, struct seed, link) {
		if (other == seed)
			break;
		if (other->image && seed->image->layer && other->image->layer == seed->image->layer)
			return true;
	}
	return false;
}

uint64_t seeds_cache_bytes(const struct seeds *seeds)
{
	uint64_t pages = 0;
	list_for_each (seed, &seeds->list, struct seed, link) {
		if (!seed->image)
			continue;
		uint64_t present = atomic_load(&seed->image->npresent);
		pages += shares_layer(seeds, seed) ? MIN(present, seed->image->nown) : present;
	}
	return pages * RFORK_PAGE;
}

unsigned seed_sources(const struct seed *seed, uint32_t *nodes, unsigned max)
{
	const struct members *members = seed->seeds->node->members;
	unsigned n = 0;
	if (seed->source_node && max > 0)
		nodes[n++] = seed->source_node;
	for (unsigned i = 0; i < members_count(members) && n < max; i++) {
		const struct member *m = members_at(members, i);
		if (m->alive && m->info.node != seed->source_node && member_holds(m, seed->app->id))
			nodes[n++] = m->info.node;
	}
	return n;
}

static bool descriptor_names(
	const struct seed *seed, const uint8_t sha256[32], char *path, size_t cap)
{
	const struct descriptor_view *desc = seed->image ? &seed->image->desc : NULL;
	for (uint32_t i = 0; desc && i < desc->nfiles; i++)
		if (memcmp(desc->files[i].sha256, sha256, 32) == 0)
			return spawn_path_outside(seed->seeds->node->spawn,
				       descriptor_string(desc, desc->files[i].path), path, cap,
				       NULL) == 0;
	return false;
}

/* A copy's files are in the store, or here under their own names. */
int seeds_find_file(
	const struct seeds *seeds, uint32_t uid, const uint8_t sha256[32], char *path, size_t cap)
{
	list_for_each (seed, &seeds->list, struct seed, link) {
		if (seed->app->uid != uid ||
			(!descriptor_names(seed, sha256, path, cap) &&
				!seed_manifest_names(seed, sha256, path, cap)))
			continue;
		struct file_want want = {.sha256 = sha256, .uid = uid};
		for (int everybodys = 0; !seed->origin && everybodys < 2; everybodys++) {
			char stored[NODE_PATH_MAX + 128];
			want.everybodys = everybodys;
			file_store_path(seeds->node->files, &want, stored, sizeof(stored));
			if (access(stored, R_OK) == 0) {
				snprintf(path, cap, "%s", stored);
				break;
			}
		}
		return 0;
	}
	return RAMET_ENOTFOUND;
}
