/* What peers may read of a seed: its image, and the pack of its working set, as segments; and what
 * they are told when they ask for it (seed.get). */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bus.h"
#include "cluster/calls.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/segments.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PACK_PAGES_MAX 8192u /* 32 MiB: a larger working set is read from the image */

static void on_exposed(void *user, const struct ramet_err *err)
{
	struct seed *seed = user;
	const struct node *node = seed->seeds->node;
	if (err->code < 0) {
		log_err(LOG_WARN, "seed.expose", err);
	} else {
		seed->exposed = true;
		calls_touch(node->calls);
		if (node->members) { /* now: who gets a call for it before the next news starts it
					cold */
			seeds_publish(seed->seeds);
			members_flush(node->members);
			if (seed->origin)
				seed_foretell(seed);
		}
	}
	seed_makers_done(seed);
}

void seed_expose(struct seed *seed)
{
	struct ramet_err err = {0};
	if (seed->segment || seed->exposed)
		return;
	if (seed->image->npages == 0) {
		seed->exposed = true;
		return;
	}
	if (segments_add(seed->seeds->node->segments, seed->app->uid, seed->image->base,
		    image_bytes(seed->image), on_exposed, seed, &seed->segment, &err) < 0)
		log_err(LOG_WARN, "seed.expose", &err);
}

static void image_drained(void *user)
{
	image_put(user);
}

static void pack_free(void *user)
{
	struct seed_pack *pack = user;
	free(pack->memory);
	free(pack);
}

void seed_unexpose(struct seed *seed)
{
	seed->exposed = false;
	if (seed->segment)
		segments_remove(steal_ptr(&seed->segment), image_drained, image_get(seed->image));
	list_for_each_safe (pack, &seed->packs, struct seed_pack, link) {
		list_remove(&pack->link);
		segments_remove(pack->segment, pack_free, pack);
	}
}

static void on_pack_exposed(void *user, const struct ramet_err *err)
{
	struct seed_pack *pack = user;
	struct seed *seed = pack->seed;
	if (err->code < 0)
		log_err(LOG_WARN, "seed.pack", err);
	else if (seed->packs.prev == &pack->link)
		seed->set_packed = true;
}

static int make_pack(struct seed *seed, struct ramet_err *err)
{
	uint64_t pages = working_set_pages(seed->set);
	if (pages == 0 || pages > PACK_PAGES_MAX || !image_complete(seed->image))
		return 0;
	struct seed_pack *pack = calloc(1, sizeof(*pack));
	if (!pack)
		return err_nomem(err);
	pack->seed = seed;
	pack->pages = pages;
	pack->len = pages * RFORK_PAGE;
	pack->memory = aligned_alloc(RFORK_PAGE, pack->len);
	int rc = pack->memory ? working_set_pack(seed->set, seed->image, pack->memory, err)
			      : err_nomem(err);
	if (rc == 0)
		rc = segments_add(seed->seeds->node->segments, seed->app->uid, pack->memory,
			pack->len, on_pack_exposed, pack, &pack->segment, err);
	if (rc < 0) {
		pack_free(pack);
		return rc;
	}
	list_append(&seed->packs, &pack->link);
	return 0;
}

int seed_take_set(struct seed *seed, struct working_set *set, struct ramet_err *err)
{
	auto_working_set struct working_set *owned = set;
	seed->set_packed = false;
	if (seed->set) {
		int rc = working_set_merge(seed->set, set, err);
		if (rc < 0)
			return rc;
	} else {
		seed->set = steal_ptr(&owned);
	}
	return make_pack(seed, err);
}

/* --- answering peers --- */

static void pack_ref(struct buf *b, const char *key, const struct segment *segment, uint64_t pages)
{
	struct segment_ref ref = {0};
	if (segment)
		ref = segments_ref(segment);
	wire_key(b, key);
	wire_map(b, 3);
	wire_kuint(b, "id", ref.id);
	wire_kuint(b, "key", ref.key);
	wire_kuint(b, "pages", pages);
}

static int pack_set(const struct seed *seed, struct buf *b, struct ramet_err *err)
{
	auto_free void *bytes = NULL;
	size_t len = 0;
	int rc = working_set_encode(seed->set, &bytes, &len, err);
	if (rc == 0)
		wire_kbin(b, "set", bytes, len);
	return rc;
}

static int pack_answer(const struct seed *seed, struct buf *b, struct ramet_err *err)
{
	const struct seeds *seeds = seed->seeds;
	struct segments *segments = seeds->node->segments;
	uint8_t token[SEGMENTS_TOKEN_BYTES];
	int rc = segments_token(segments, seed->app->uid, token, err);
	if (rc < 0)
		return rc;
	const struct seed_pack *pack =
		seed->set_packed ? list_entry(seed->packs.prev, struct seed_pack, link) : NULL;
	wire_map(b, 8 + (seed->set ? 1 : 0) + (pack ? 1 : 0));
	wire_kbin(b, "descriptor", seed->image->desc_bytes, seed->image->desc.header->total_len);
	pack_ref(b, "image", seed->segment, seed->image->npages);
	wire_kstr(b, "addr", segments_addr(segments));
	wire_kbin(b, "token", token, sizeof(token));
	wire_kuint(b, "mono", clock_ns(CLOCK_MONOTONIC) + (uint64_t)seed->mono_offset_ns);
	wire_kuint(b, "boot", clock_ns(CLOCK_BOOTTIME) + (uint64_t)seed->boot_offset_ns);
	wire_kstr(b, "boot_id", seed->boot_id);
	wire_kbool(b, "copy", !seed->origin);
	if (seed->set)
		rc = pack_set(seed, b, err);
	if (pack)
		pack_ref(b, "pack", pack->segment, pack->pages);
	return rc < 0 ? rc : wire_end(b, err);
}

/* the seed a peer means; tenants are checked here too */
static int find_for_peer(const struct seeds *seeds, const struct wire_value *body,
	struct seed **ret, struct ramet_err *err)
{
	char version[VERSION_HEX + 1];
	uint64_t uid = 0;
	int rc = wire_get_str(body, "version", version, sizeof(version), err);
	if (rc == 0)
		rc = wire_get_uint(body, "uid", UINT32_MAX, &uid, err);
	if (rc < 0)
		return rc;
	struct seed *seed = seeds_find(seeds, version);
	if (!seed || !seed->exposed || seed->app->uid != uid)
		return err_set(err, RAMET_ENOTFOUND, "node %u holds no seed of version %.12s",
			seeds->node->config.node, version);
	*ret = seed;
	return 0;
}

void seeds_on_get(struct seeds *seeds, struct bus_request *request, const struct wire_value *body)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct ramet_err err = {0};
	struct seed *seed = NULL;
	int rc = find_for_peer(seeds, body, &seed, &err);
	if (rc == 0)
		rc = pack_answer(seed, &b, &err);
	if (rc == 0)
		bus_reply(request, &b);
	else
		bus_reply_err(request, &err);
}

void seeds_on_set(struct seeds *seeds, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	struct seed *seed = NULL;
	const void *bytes = NULL;
	size_t len = 0;
	struct working_set *set = NULL;
	int rc = find_for_peer(seeds, body, &seed, &err);
	if (rc == 0)
		rc = wire_get_bin(body, "set", &bytes, &len, &err);
	if (rc == 0 && !seed->set) {
		rc = working_set_decode(bytes, len, seed->image->npages, &set, &err);
		if (rc == 0)
			rc = seed_take_set(seed, set, &err);
	}
	if (rc == 0)
		bus_reply(request, NULL);
	else
		bus_reply_err(request, &err);
}
