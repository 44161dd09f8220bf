/* What peers ask of a seed, and what they are told: its descriptor and how to read its pages
 * (seed.get), the latter alone (seed.source), pages themselves (seed.pages), what others touched
 * (seed.set). Whoever asks must know the seed's secret. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bus.h"
#include "cluster/data_paths.h"
#include "cluster/node.h"
#include "cluster/segments.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void pack_ref(
	struct buf *b, const char *key, const struct segment *segment, unsigned way, uint64_t pages)
{
	struct segment_ref ref = {0};
	if (segment)
		ref = segments_ref(segment, way);
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

/* by RDMA if the asker can and the seed is registered with the device */
static unsigned choose_way(const struct seed *seed, const struct wire_value *body)
{
	const struct segments *segments = seed->seeds->node->segments;
	bool verbs = false;
	(void)wire_get_bool_or(body, "verbs", false, &verbs, NULL);
	unsigned way = segments_way_of(segments, "verbs");
	bool can = verbs && way < SEGMENTS_WAYS_MAX && seed->segment &&
		segments_ref(seed->segment, way).id != 0;
	return can ? way : SEGMENTS_FIRST;
}

/* how to read its pages: what seed.source answers */
#define SOURCE_PAIRS 5
static int pack_source(const struct seed *seed, unsigned way, struct buf *b, struct ramet_err *err)
{
	struct segments *segments = seed->seeds->node->segments;
	uint8_t token[SEGMENTS_TOKEN_BYTES];
	int rc = segments_token(segments, seed->app->uid, token, err);
	if (rc < 0)
		return rc;
	pack_ref(b, "image", seed->segment, way, seed->image->npages);
	wire_kstr(b, "transport", segments_provider(segments, way));
	wire_kstr(b, "addr", segments_addr(segments, way));
	wire_kbin(b, "token", token, sizeof(token));
	wire_kbool(b, "copy", !seed->origin);
	return 0;
}

static int pack_answer(const struct seed *seed, unsigned way, struct buf *b, struct ramet_err *err)
{
	struct seed_pack *pack =
		seed->set_packed ? list_entry(seed->packs.prev, struct seed_pack, link) : NULL;
	if (pack && segments_ref(pack->segment, way).id == 0)
		pack = NULL; /* not to be had that way */
	wire_map(b, SOURCE_PAIRS + 5 + (seed->set ? 1 : 0) + (pack ? 1 : 0));
	int rc = pack_source(seed, way, b, err);
	if (rc < 0)
		return rc;
	wire_kbin(b, "descriptor", seed->image->desc_bytes, seed->image->desc.header->total_len);
	wire_kuint(b, "mono", clock_ns(CLOCK_MONOTONIC) + (uint64_t)seed->mono_offset_ns);
	wire_kuint(b, "boot", clock_ns(CLOCK_BOOTTIME) + (uint64_t)seed->boot_offset_ns);
	wire_kstr(b, "boot_id", seed->boot_id);
	wire_kuint(b, "software", seed->software_key);
	if (seed->set)
		rc = pack_set(seed, b, err);
	if (pack) {
		pack->told = true;
		pack_ref(b, "pack", pack->segment, way, pack->pages);
	}
	return rc < 0 ? rc : wire_end(b, err);
}

/* The seed that a peer means, if it may have it: of its tenant, at its epoch, and with its secret.
 */
int seed_find_for_peer(struct seeds *seeds, const struct wire_value *body, struct seed **ret,
	struct ramet_err *err)
{
	char version[VERSION_HEX + 1];
	struct seed_key key = {0};
	uint64_t uid = 0;
	uint32_t node = seeds->node->config.node;
	int rc = wire_get_str(body, "version", version, sizeof(version), err);
	if (rc == 0)
		rc = wire_get_uint(body, "uid", UINT32_MAX, &uid, err);
	if (rc == 0)
		rc = seed_key_parse(body, &key, err);
	if (rc < 0)
		return rc;
	struct seed *seed = seeds_find(seeds, version);
	if (!seed && key.epoch < seeds_epoch(seeds, version))
		return err_set(err, RAMET_EREVOKED, "version %.12s was revoked", version);
	if (!seed || !seed->exposed || seed->app->uid != uid)
		return err_set(err, RAMET_ENOTFOUND, "node %u holds no seed of version %.12s", node,
			version);
	if (!seed_key_same(&key, &seed->key))
		return err_set(err, RAMET_EREVOKED,
			"node %u holds another seed of version %.12s by now", node, version);
	if (!seed_key_opens(&key, &seed->key))
		return err_set(
			err, RAMET_EPERM, "the secret is not that of version %.12s", version);
	*ret = seed;
	return 0;
}

static void answer(struct bus_request *request, struct buf *b, int rc, const struct ramet_err *err)
{
	if (rc == 0) {
		bus_reply(request, b);
		return;
	}
	if (err->code == RAMET_EPERM)
		log_warn("seed.refused", "node=%u msg=\"%s\"", bus_request_node(request), err->msg);
	bus_reply_err(request, err);
}

void seeds_on_get(struct seeds *seeds, struct bus_request *request, const struct wire_value *body)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct ramet_err err = {0};
	struct seed *seed = NULL;
	int rc = seed_find_for_peer(seeds, body, &seed, &err);
	if (rc == 0)
		rc = pack_answer(seed, choose_way(seed, body), &b, &err);
	answer(request, &b, rc, &err);
}

void seeds_on_source(
	struct seeds *seeds, struct bus_request *request, const struct wire_value *body)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct ramet_err err = {0};
	struct seed *seed = NULL;
	int rc = seed_find_for_peer(seeds, body, &seed, &err);
	wire_map(&b, SOURCE_PAIRS);
	if (rc == 0)
		rc = pack_source(seed, choose_way(seed, body), &b, &err);
	if (rc == 0)
		rc = wire_end(&b, &err);
	answer(request, &b, rc, &err);
}

/* --- pages by message: slow, bounded, for those who can have them in no other way --- */

#define PAGES_BURST 2048u /* that a node may ask for at once */
#define PAGES_NS (NSEC_PER_SEC / 4096) /* and after each of these, one more */
#define PAGES_NODES 256u

static struct seed_allowance *allowance_of(struct seeds *seeds, uint32_t node)
{
	unsigned n = 0;
	list_for_each (a, &seeds->allowances, struct seed_allowance, link) {
		if (a->node == node)
			return a;
		n++;
	}
	struct seed_allowance *a = n < PAGES_NODES ? calloc(1, sizeof(*a)) : NULL;
	if (!a)
		return NULL;
	*a = (struct seed_allowance){.node = node, .pages = PAGES_BURST, .at_ns = now_ns()};
	list_append(&seeds->allowances, &a->link);
	return a;
}

static int allow(struct seeds *seeds, uint32_t node, unsigned pages, struct ramet_err *err)
{
	struct seed_allowance *a = allowance_of(seeds, node);
	uint64_t now = now_ns();
	if (!a)
		return err_nomem(err);
	uint64_t more = (now - a->at_ns) / PAGES_NS;
	a->at_ns += more * PAGES_NS;
	a->pages = MIN(a->pages + more, (uint64_t)PAGES_BURST);
	if (a->pages < pages)
		return err_set(err, RAMET_EAGAIN, "too many pages are asked for by message");
	a->pages -= pages;
	return 0;
}

static int pack_pages(const struct image *image, const unsigned char *list, unsigned count,
	struct buf *b, struct ramet_err *err)
{
	auto_free unsigned char *bytes = malloc(MAX(count, 1u) * RFORK_PAGE);
	if (!bytes)
		return err_nomem(err);
	for (unsigned i = 0; i < count; i++) {
		uint32_t page;
		memcpy(&page, list + i * sizeof(page), sizeof(page));
		if (page >= image->npages + image->nblocks)
			return err_set(err, RAMET_EPROTO, "pages: there is no page %u", page);
		memcpy(bytes + i * RFORK_PAGE, image->base + page * RFORK_PAGE, RFORK_PAGE);
	}
	wire_map(b, 1);
	wire_kbin(b, "data", bytes, count * RFORK_PAGE);
	return wire_end(b, err);
}

void seeds_on_pages(struct seeds *seeds, struct bus_request *request, const struct wire_value *body)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct ramet_err err = {0};
	struct seed *seed = NULL;
	const void *list = NULL;
	size_t len = 0;
	int rc = seed_find_for_peer(seeds, body, &seed, &err);
	if (rc == 0)
		rc = wire_get_bin(body, "pages", &list, &len, &err);
	if (rc == 0 && (len % sizeof(uint32_t) || len > PAGE_READ_MAX * sizeof(uint32_t)))
		rc = err_set(&err, RAMET_EPROTO, "pages: a list of %zu bytes", len);
	unsigned count = (unsigned)(len / sizeof(uint32_t));
	if (rc == 0)
		rc = allow(seeds, bus_request_node(request), count, &err);
	if (rc == 0)
		rc = pack_pages(seed->image, list, count, &b, &err);
	answer(request, &b, rc, &err);
}

void seeds_on_set(struct seeds *seeds, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	struct seed *seed = NULL;
	const void *bytes = NULL;
	size_t len = 0;
	struct working_set *set = NULL;
	int rc = seed_find_for_peer(seeds, body, &seed, &err);
	if (rc == 0)
		rc = wire_get_bin(body, "set", &bytes, &len, &err);
	if (rc == 0 && !seed->set) {
		rc = working_set_decode(bytes, len, seed->image->npages, &set, &err);
		if (rc == 0)
			rc = seed_take_set(seed, set, &err);
	}
	answer(request, NULL, rc, &err);
}

/* --- asking --- */

void seed_source_request(const struct seed *seed, uint32_t node, struct buf *b)
{
	seed_key_request(seed, 1, b);
	wire_kbool(b, "verbs", data_paths_verbs(seed->seeds->node->paths, node, DATA_MEMORY));
}

void seed_key_request(const struct seed *seed, unsigned pairs, struct buf *b)
{
	wire_map(b, 2 + SEED_KEY_PAIRS + pairs);
	wire_kstr(b, "version", seed->app->id);
	wire_kuint(b, "uid", seed->app->uid);
	seed_key_pack(&seed->key, b);
}

static int parse_ref(const struct wire_value *body, const char *key, struct segment_ref *ret_ref,
	uint64_t *ret_pages, struct ramet_err *err)
{
	const struct wire_value *map = NULL;
	int rc = wire_get_map(body, key, &map, err);
	if (rc == 0)
		rc = wire_get_uint(map, "id", UINT64_MAX, &ret_ref->id, err);
	if (rc == 0)
		rc = wire_get_uint(map, "key", UINT64_MAX, &ret_ref->key, err);
	if (rc == 0)
		rc = wire_get_uint(map, "pages", DESCRIPTOR_MAX_IMAGE_PAGES, ret_pages, err);
	return rc;
}

static int parse_token(
	const struct wire_value *body, struct page_peer_spec *spec, struct ramet_err *err)
{
	const void *token = NULL;
	int rc = wire_get_bin(body, "token", &token, &spec->token_len, err);
	if (rc < 0)
		return rc;
	if (spec->token_len > sizeof(spec->token))
		return err_set(err, RAMET_EPROTO, "token: %zu bytes", spec->token_len);
	memcpy(spec->token, token, spec->token_len);
	return 0;
}

int seed_answer_parse(
	const struct wire_value *body, struct page_peer_spec *ret_spec, struct ramet_err *err)
{
	struct page_peer_spec spec = {0};
	uint64_t pages = 0;
	int rc = parse_ref(body, "image", &spec.image, &pages, err);
	if (rc == 0 && wire_has(body, "pack"))
		rc = parse_ref(body, "pack", &spec.pack, &spec.pack_pages, err);
	if (rc == 0)
		rc = wire_get_str(body, "transport", spec.provider, sizeof(spec.provider), err);
	if (rc == 0)
		rc = wire_get_str(body, "addr", spec.addr, sizeof(spec.addr), err);
	if (rc == 0)
		rc = parse_token(body, &spec, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "copy", false, &spec.copy, err);
	spec.rank = spec.copy ? SEED_RANK_COPY : SEED_RANK_ORIGIN;
	if (rc == 0)
		*ret_spec = spec;
	return rc;
}
