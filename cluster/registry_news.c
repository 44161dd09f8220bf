/* News: what this node and its peers tell each other of their registries. Packed when something
 * changes here; parsed with every check, and merged, when a peer tells. */
#include "cluster/registry_internal.h"

#include "base/cleanup.h"

#include <string.h>

/* --- changes made here --- */

static void pack_entry(const struct registry_entry *entry, struct buf *b)
{
	wire_map(b, 6);
	wire_kstr(b, "latest", entry->latest);
	wire_kstr(b, "name", entry->name);
	wire_kuint(b, "uid", entry->uid);
	wire_kuint(b, "generation", entry->generation);
	wire_kuint(b, "node", entry->node);
	wire_kstr(b, "version", entry->version ? entry->version->id : "");
}

static void pack_version(const struct app_version *version, struct buf *b)
{
	wire_key(b, version->id);
	app_version_pack(version, b);
}

/* opens both: the entries are to follow, then pack_versions() and the versions */
static void pack_begin(struct buf *b, uint32_t entries)
{
	wire_map(b, 2);
	wire_key(b, "entries");
	wire_array(b, entries);
}

static void pack_versions(struct buf *b, uint32_t versions)
{
	wire_key(b, "versions");
	wire_map(b, versions);
}

static int pack_end(struct buf *b, struct buf *ret_news, struct ramet_err *err)
{
	int rc = wire_end(b, err);
	if (rc == 0)
		*ret_news = *b;
	else
		buf_fini(b);
	return rc;
}

/* room for all before anything changes */
static int add_missing(
	struct registry *registry, const struct app_version *version, struct ramet_err *err)
{
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < version->nfunctions; i++) {
		struct registry_entry *entry;
		const char *name = version->functions[i].name;
		if (!registry_entry_find(registry, version->uid, name))
			rc = registry_entry_add(registry, version->uid, name, &entry, err);
	}
	return rc;
}

/* latest: of a rollback, what was deployed last stays that */
static int point_to(struct registry *registry, struct app_version *version, bool rollback,
	struct buf *ret_news, struct ramet_err *err)
{
	struct buf news = {0};
	uint64_t generation = registry->generation + 1;
	int rc = add_missing(registry, version, err);
	if (rc < 0)
		return rc;
	pack_begin(&news, version->nfunctions);
	for (uint32_t i = 0; i < version->nfunctions; i++) {
		struct registry_entry *entry =
			registry_entry_find(registry, version->uid, version->functions[i].name);
		char latest[VERSION_HEX + 1];
		memcpy(latest, entry->latest, sizeof(latest));
		if (registry_entry_set(registry, entry, generation, registry->node, version) < 0) {
			buf_fini(&news);
			return err_nomem(err);
		}
		if (rollback && latest[0])
			memcpy(entry->latest, latest, sizeof(latest));
		pack_entry(entry, &news);
	}
	pack_versions(&news, 1);
	pack_version(version, &news);
	return pack_end(&news, ret_news, err);
}

int registry_deploy(struct registry *registry, struct app_version *version, struct buf *ret_news,
	struct ramet_err *err)
{
	return point_to(registry, version, false, ret_news, err);
}

int registry_rollback(struct registry *registry, struct app_version *version, struct buf *ret_news,
	struct ramet_err *err)
{
	return point_to(registry, version, true, ret_news, err);
}

int registry_remove(struct registry *registry, struct registry_entry *entry, struct buf *ret_news,
	struct ramet_err *err)
{
	struct buf news = {0};
	registry_entry_set(registry, entry, registry->generation + 1, registry->node, NULL);
	pack_begin(&news, 1);
	pack_entry(entry, &news);
	pack_versions(&news, 0);
	return pack_end(&news, ret_news, err);
}

int registry_pack(const struct registry *registry, struct buf *ret_news, struct ramet_err *err)
{
	struct buf news = {0};
	pack_begin(&news, registry->count);
	list_for_each (entry, &registry->entries, struct registry_entry, link)
		pack_entry(entry, &news);
	pack_versions(&news, registry->nversions);
	for (unsigned i = 0; i < REGISTRY_BUCKETS; i++)
		list_for_each (held, &registry->versions[i], struct registry_version, link)
			pack_version(held->version, &news);
	return pack_end(&news, ret_news, err);
}

/* --- what peers tell --- */

struct news_entry {
	char name[CLIENT_NAME_MAX + 1];
	char version[VERSION_HEX + 1], latest[VERSION_HEX + 1];
	uint64_t uid, generation, node;
};

static int parse_entry(const struct wire_value *map, struct news_entry *ret, struct ramet_err *err)
{
	if (!map || !wire_is_map(map))
		return err_set(err, RAMET_EPROTO, "entries: a map was expected");
	int rc = wire_get_str(map, "name", ret->name, sizeof(ret->name), err);
	if (rc == 0 && !app_name_valid(ret->name))
		rc = err_set(err, RAMET_EPROTO, "name: not a function's name");
	if (rc == 0)
		rc = wire_get_uint(map, "uid", UINT32_MAX - 1, &ret->uid, err);
	/* a generation near the end of its range would freeze the entry for good */
	if (rc == 0)
		rc = wire_get_uint(map, "generation", 1ull << 56, &ret->generation, err);
	if (rc == 0)
		rc = wire_get_uint(map, "node", UINT32_MAX, &ret->node, err);
	if (rc == 0)
		rc = wire_get_str(map, "version", ret->version, sizeof(ret->version), err);
	if (rc == 0)
		rc = wire_get_str_or(map, "latest", "", ret->latest, sizeof(ret->latest), err);
	if (rc == 0 && ret->version[0] && !version_valid(ret->version))
		rc = err_set(err, RAMET_EPROTO, "version: %u hexadecimal digits were expected",
			VERSION_HEX);
	return rc;
}

static int find_version(struct registry *registry, const struct wire_value *versions,
	const struct news_entry *from, struct app_version **ret_version, struct ramet_err *err)
{
	const struct wire_value *map;
	struct app_version *version = registry_version(registry, from->version);
	if (version) {
		*ret_version = app_version_get(version);
		return 0;
	}
	int rc = wire_get_map(versions, from->version, &map, err);
	if (rc < 0)
		return rc;
	rc = app_version_parse(map, from->version, &version, err);
	if (rc < 0)
		return rc;
	*ret_version = version;
	return 0;
}

static bool newer(const struct news_entry *news, const struct registry_entry *entry)
{
	if (news->generation != entry->generation)
		return news->generation > entry->generation;
	return news->node > entry->node;
}

static int merge_entry(struct registry *registry, const struct wire_value *versions,
	const struct news_entry *news, struct ramet_err *err)
{
	auto_app_version struct app_version *version = NULL;
	struct registry_entry *entry = registry_entry_find(registry, (uid_t)news->uid, news->name);
	if (entry && !newer(news, entry))
		return 0;
	if (news->version[0]) {
		int rc = find_version(registry, versions, news, &version, err);
		if (rc < 0)
			return rc;
		if (version->uid != news->uid || !app_version_function(version, news->name))
			return err_set(
				err, RAMET_EPROTO, "function %s is not in its version", news->name);
	}
	if (!entry) {
		int rc = registry_entry_add(registry, (uid_t)news->uid, news->name, &entry, err);
		if (rc < 0)
			return rc;
	}
	if (registry_entry_set(registry, entry, news->generation, (uint32_t)news->node, version) <
		0)
		return err_nomem(err);
	if (version && version_valid(news->latest))
		memcpy(entry->latest, news->latest, sizeof(entry->latest));
	return 0;
}

int registry_merge(struct registry *registry, const struct wire_value *news, struct ramet_err *err)
{
	const struct wire_value *entries, *versions;
	uint32_t count;
	int rc = wire_get_array(news, "entries", &entries, &count, err);
	if (rc == 0)
		rc = wire_get_map(news, "versions", &versions, err);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		struct news_entry entry = {0};
		rc = parse_entry(wire_at(entries, i), &entry, err);
		if (rc == 0)
			rc = merge_entry(registry, versions, &entry, err);
	}
	return rc;
}
