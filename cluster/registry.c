/* Functions by tenant and name, and which of two entries is newer: see registry.h. */
#include "cluster/registry.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct registry {
	uint32_t node;
	const struct registry_handler *handler;
	void *user;
	struct list entries;
	unsigned count; /* with removed ones */
	uint64_t generation; /* the highest seen */
};

/* --- entries --- */

static struct registry_entry *find(const struct registry *registry, uid_t uid, const char *name)
{
	list_for_each (entry, &registry->entries, struct registry_entry, link)
		if (entry->uid == uid && strcmp(entry->name, name) == 0)
			return entry;
	return NULL;
}

static struct registry_entry *entry_add(struct registry *registry, uid_t uid, const char *name)
{
	struct registry_entry *entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->uid = uid;
	list_append(&registry->entries, &entry->link);
	registry->count++;
	return entry;
}

static bool version_used(const struct registry *registry, const struct app_version *version)
{
	list_for_each (entry, &registry->entries, struct registry_entry, link)
		if (entry->version && strcmp(entry->version->id, version->id) == 0)
			return true;
	return false;
}

/* version NULL: removed. The entry takes its own reference. */
static void entry_set(struct registry *registry, struct registry_entry *entry, uint64_t generation,
	uint32_t node, struct app_version *version)
{
	struct app_version *old = entry->version;
	entry->version = version ? app_version_get(version) : NULL;
	entry->generation = generation;
	entry->node = node;
	if (generation > registry->generation)
		registry->generation = generation;
	if (registry->handler && registry->handler->on_change)
		registry->handler->on_change(registry->user, entry, old);
	if (old && registry->handler && registry->handler->on_unused &&
		!version_used(registry, old))
		registry->handler->on_unused(registry->user, old);
	app_version_put(old);
}

bool registry_visible(const struct registry_entry *entry, uid_t caller)
{
	return caller == 0 || entry->uid == caller;
}

/* how many characters differ at most, for "did you mean" */
static bool close_to(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), head = 0, tail = 0;
	while (head < la && head < lb && a[head] == b[head])
		head++;
	while (tail < la - head && tail < lb - head && a[la - 1 - tail] == b[lb - 1 - tail])
		tail++;
	return MAX(la, lb) - head - tail <= 2 && head + tail >= 2;
}

static int not_found(
	struct registry *registry, uid_t caller, const char *name, struct ramet_err *err)
{
	list_for_each (entry, &registry->entries, struct registry_entry, link)
		if (entry->version && registry_visible(entry, caller) &&
			close_to(entry->name, name))
			return err_set(err, RAMET_ENOTFOUND, "no function %s; did you mean %s?",
				name, entry->name);
	return err_set(err, RAMET_ENOTFOUND,
		"no function %s; `ramet functions` lists those that are deployed", name);
}

int registry_find(struct registry *registry, uid_t caller, const char *name,
	struct registry_entry **ret_entry, struct ramet_err *err)
{
	struct registry_entry *found = find(registry, caller, name);
	if (found && found->version) {
		*ret_entry = found;
		return 0;
	}
	found = NULL;
	if (caller != 0 || !app_name_valid(name))
		return not_found(
			registry, caller, app_name_valid(name) ? name : "of that name", err);
	list_for_each (entry, &registry->entries, struct registry_entry, link) {
		if (!entry->version || strcmp(entry->name, name) != 0)
			continue;
		if (found)
			return err_set(err, RAMET_EINVAL,
				"function %s belongs to users %u and %u: call it as one of them",
				name, found->uid, entry->uid);
		found = entry;
	}
	if (!found)
		return not_found(registry, caller, name, err);
	*ret_entry = found;
	return 0;
}

struct app_version *registry_version(struct registry *registry, const char *id)
{
	list_for_each (entry, &registry->entries, struct registry_entry, link)
		if (entry->version && strcmp(entry->version->id, id) == 0)
			return entry->version;
	return NULL;
}

unsigned registry_count(const struct registry *registry)
{
	unsigned count = 0;
	list_for_each (entry, &registry->entries, struct registry_entry, link)
		count += entry->version != NULL;
	return count;
}

struct registry_entry *registry_next(struct registry *registry, struct registry_entry *after)
{
	struct list *next = after ? after->link.next : registry->entries.next;
	for (; next != &registry->entries; next = next->next) {
		struct registry_entry *entry = list_entry(next, struct registry_entry, link);
		if (entry->version)
			return entry;
	}
	return NULL;
}

/* FNV-1a over what makes an entry, summed over all, so that order does not matter */
static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	return hash;
}

uint64_t registry_digest(const struct registry *registry)
{
	uint64_t sum = 0;
	list_for_each (entry, &registry->entries, struct registry_entry, link) {
		uint64_t hash = mix(0xcbf29ce484222325ull, entry->name, strlen(entry->name));
		hash = mix(hash, &entry->uid, sizeof(entry->uid));
		hash = mix(hash, &entry->generation, sizeof(entry->generation));
		hash = mix(hash, &entry->node, sizeof(entry->node));
		if (entry->version)
			hash = mix(hash, entry->version->id, VERSION_HEX);
		sum += hash;
	}
	return sum;
}

/* --- changes made here --- */

static void pack_entry(const struct registry_entry *entry, struct buf *b)
{
	wire_map(b, 5);
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

int registry_deploy(struct registry *registry, struct app_version *version, struct buf *ret_news,
	struct ramet_err *err)
{
	/* room for all before anything changes */
	for (uint32_t i = 0; i < version->nfunctions; i++) {
		if (find(registry, version->uid, version->functions[i].name))
			continue;
		if (registry->count >= REGISTRY_MAX_ENTRIES)
			return err_set(err, RAMET_ELIMIT, "more than %u functions are deployed",
				REGISTRY_MAX_ENTRIES);
		if (!entry_add(registry, version->uid, version->functions[i].name))
			return err_nomem(err);
	}
	uint64_t generation = registry->generation + 1;
	struct buf news = {0};
	wire_map(&news, 2);
	wire_key(&news, "entries");
	wire_array(&news, version->nfunctions);
	for (uint32_t i = 0; i < version->nfunctions; i++) {
		struct registry_entry *entry =
			find(registry, version->uid, version->functions[i].name);
		entry_set(registry, entry, generation, registry->node, version);
		pack_entry(entry, &news);
	}
	wire_key(&news, "versions");
	wire_map(&news, 1);
	pack_version(version, &news);
	int rc = wire_end(&news, err);
	if (rc < 0)
		return rc;
	*ret_news = news;
	return 0;
}

int registry_remove(struct registry *registry, struct registry_entry *entry, struct buf *ret_news,
	struct ramet_err *err)
{
	struct buf news = {0};
	entry_set(registry, entry, registry->generation + 1, registry->node, NULL);
	wire_map(&news, 2);
	wire_key(&news, "entries");
	wire_array(&news, 1);
	pack_entry(entry, &news);
	wire_key(&news, "versions");
	wire_map(&news, 0);
	int rc = wire_end(&news, err);
	if (rc < 0)
		return rc;
	*ret_news = news;
	return 0;
}

/* an entry's version is packed with the first entry that has it */
static bool first_with_version(const struct registry *registry, const struct registry_entry *entry)
{
	list_for_each (other, &registry->entries, struct registry_entry, link) {
		if (other == entry)
			return true;
		if (other->version && strcmp(other->version->id, entry->version->id) == 0)
			return false;
	}
	return false;
}

int registry_pack(const struct registry *registry, struct buf *ret_news, struct ramet_err *err)
{
	struct buf news = {0};
	uint32_t versions = 0;
	wire_map(&news, 2);
	wire_key(&news, "entries");
	wire_array(&news, registry->count);
	list_for_each (entry, &registry->entries, struct registry_entry, link) {
		pack_entry(entry, &news);
		versions += entry->version && first_with_version(registry, entry);
	}
	wire_key(&news, "versions");
	wire_map(&news, versions);
	list_for_each (entry, &registry->entries, struct registry_entry, link)
		if (entry->version && first_with_version(registry, entry))
			pack_version(entry->version, &news);
	int rc = wire_end(&news, err);
	if (rc < 0)
		return rc;
	*ret_news = news;
	return 0;
}

/* --- news of peers --- */

struct news_entry {
	char name[CLIENT_NAME_MAX + 1];
	char version[VERSION_HEX + 1];
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
	struct registry_entry *entry = find(registry, (uid_t)news->uid, news->name);
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
	if (!entry && registry->count >= REGISTRY_MAX_ENTRIES)
		return err_set(err, RAMET_ELIMIT, "more than %u functions are deployed",
			REGISTRY_MAX_ENTRIES);
	if (!entry)
		entry = entry_add(registry, (uid_t)news->uid, news->name);
	if (!entry)
		return err_nomem(err);
	entry_set(registry, entry, news->generation, (uint32_t)news->node, version);
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

/* --- making and ending --- */

int registry_create(uint32_t node, const struct registry_handler *handler, void *user,
	struct registry **ret_registry, struct ramet_err *err)
{
	struct registry *registry = calloc(1, sizeof(*registry));
	if (!registry)
		return err_nomem(err);
	registry->node = node;
	registry->handler = handler;
	registry->user = user;
	list_init(&registry->entries);
	*ret_registry = registry;
	return 0;
}

void registry_destroy(struct registry *registry)
{
	if (!registry)
		return;
	list_for_each_safe (entry, &registry->entries, struct registry_entry, link) {
		app_version_put(entry->version);
		free(entry);
	}
	free(registry);
}
