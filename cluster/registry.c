/* Functions by tenant and name, and which of two entries is newer: see registry.h. */
#include "cluster/registry_internal.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a */
#define HASH_BEGIN 0xcbf29ce484222325ull

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	return hash;
}

static unsigned bucket_of(const char *text)
{
	return mix(HASH_BEGIN, text, strlen(text)) % REGISTRY_BUCKETS;
}

/* --- versions that entries point to --- */

static struct registry_version *find_version(const struct registry *registry, const char *id)
{
	list_for_each (version, &registry->versions[bucket_of(id)], struct registry_version, link)
		if (strcmp(version->version->id, id) == 0)
			return version;
	return NULL;
}

static int version_hold(struct registry *registry, struct app_version *version)
{
	struct registry_version *held = find_version(registry, version->id);
	if (!held) {
		held = calloc(1, sizeof(*held));
		if (!held)
			return RAMET_ENOMEM;
		held->version = app_version_get(version);
		list_append(&registry->versions[bucket_of(version->id)], &held->link);
		registry->nversions++;
	}
	held->entries++;
	return 0;
}

/* true: that was the last entry that pointed to it */
static bool version_release(struct registry *registry, const struct app_version *version)
{
	struct registry_version *held = find_version(registry, version->id);
	if (--held->entries > 0)
		return false;
	list_remove(&held->link);
	registry->nversions--;
	app_version_put(held->version);
	free(held);
	return true;
}

struct app_version *registry_version(struct registry *registry, const char *id)
{
	struct registry_version *held = find_version(registry, id);
	return held ? held->version : NULL;
}

/* --- entries --- */

struct registry_entry *registry_entry_find(
	const struct registry *registry, uid_t uid, const char *name)
{
	list_for_each (entry, &registry->buckets[bucket_of(name)], struct registry_entry, bucket)
		if (entry->uid == uid && strcmp(entry->name, name) == 0)
			return entry;
	return NULL;
}

int registry_entry_add(struct registry *registry, uid_t uid, const char *name,
	struct registry_entry **ret_entry, struct ramet_err *err)
{
	if (registry->count >= REGISTRY_MAX_ENTRIES)
		return err_set(err, RAMET_ELIMIT, "more than %u functions are deployed",
			REGISTRY_MAX_ENTRIES);
	struct registry_entry *entry = calloc(1, sizeof(*entry));
	if (!entry)
		return err_nomem(err);
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->uid = uid;
	list_append(&registry->entries, &entry->link);
	list_append(&registry->buckets[bucket_of(name)], &entry->bucket);
	registry->count++;
	*ret_entry = entry;
	return 0;
}

/* entries' digests are summed, so that order does not matter; one that was never set counts nothing
 */
static uint64_t digest_of(const struct registry_entry *entry)
{
	if (entry->generation == 0)
		return 0;
	uint64_t hash = mix(HASH_BEGIN, entry->name, strlen(entry->name));
	hash = mix(hash, &entry->uid, sizeof(entry->uid));
	hash = mix(hash, &entry->generation, sizeof(entry->generation));
	hash = mix(hash, &entry->node, sizeof(entry->node));
	return entry->version ? mix(hash, entry->version->id, VERSION_HEX) : hash;
}

/* --- what a function was before --- */

static void forget(struct registry *registry, struct registry_entry *entry, unsigned index)
{
	struct app_version *version = entry->past[index];
	entry->npast--;
	for (unsigned i = index; i < entry->npast; i++)
		entry->past[i] = entry->past[i + 1];
	if (registry->handler && registry->handler->on_forgotten &&
		!registry_keeps(registry, version->id))
		registry->handler->on_forgotten(registry->user, version);
	app_version_put(version);
}

/* version: what it is now */
static void remember(struct registry *registry, struct registry_entry *entry,
	struct app_version *old, const struct app_version *version)
{
	for (unsigned i = entry->npast; i-- > 0;)
		if (!version || strcmp(entry->past[i]->id, version->id) == 0 ||
			(old && strcmp(entry->past[i]->id, old->id) == 0))
			forget(registry, entry, i);
	if (!version || !old || strcmp(old->id, version->id) == 0)
		return;
	if (entry->npast == REGISTRY_PAST)
		forget(registry, entry, REGISTRY_PAST - 1);
	for (unsigned i = entry->npast; i > 0; i--)
		entry->past[i] = entry->past[i - 1];
	entry->past[0] = app_version_get(old);
	entry->npast++;
}

bool registry_keeps(const struct registry *registry, const char *id)
{
	list_for_each (entry, &registry->entries, struct registry_entry, link)
		for (unsigned i = 0; i < entry->npast; i++)
			if (strcmp(entry->past[i]->id, id) == 0)
				return true;
	return false;
}

int registry_find_past(const struct registry_entry *entry, const char *which,
	struct app_version **ret_version, struct ramet_err *err)
{
	const char *wanted = which && strcmp(which, "latest") == 0 ? entry->latest : which;
	struct app_version *found = NULL;
	unsigned matches = 0;
	for (unsigned i = 0; i < entry->npast; i++) {
		if (wanted && strncmp(entry->past[i]->id, wanted, strlen(wanted)) != 0)
			continue;
		found = found ? found : entry->past[i];
		matches++;
	}
	if (wanted && wanted[0] && matches > 1)
		return err_set(err, RAMET_EINVAL, "%u earlier versions of %s begin with %s",
			matches, entry->name, wanted);
	if (!found && wanted && wanted[0] &&
		strncmp(entry->version->id, wanted, strlen(wanted)) == 0)
		return err_set(err, RAMET_ENOTFOUND, "%s is at version %.12s already", entry->name,
			entry->version->id);
	if (!found)
		return err_set(err, RAMET_ENOTFOUND,
			"no earlier version%s%s of %s is known on this node; `ramet functions "
			"--versions` lists them",
			which && *which ? " " : "", which ? which : "", entry->name);
	*ret_version = found;
	return 0;
}

int registry_entry_set(struct registry *registry, struct registry_entry *entry, uint64_t generation,
	uint32_t node, struct app_version *version)
{
	struct app_version *old = entry->version;
	if (version && version_hold(registry, version) < 0)
		return RAMET_ENOMEM;
	registry->digest -= digest_of(entry);
	entry->version = version ? app_version_get(version) : NULL;
	entry->generation = generation;
	entry->node = node;
	registry->digest += digest_of(entry);
	registry->generation = MAX(registry->generation, generation);
	bool unused = old && version_release(registry, old);
	snprintf(entry->latest, sizeof(entry->latest), "%s", version ? version->id : "");
	remember(registry, entry, old, version);
	if (registry->handler && registry->handler->on_change)
		registry->handler->on_change(registry->user, entry, old);
	if (unused && registry->handler && registry->handler->on_unused)
		registry->handler->on_unused(registry->user, old);
	app_version_put(old);
	return 0;
}

uint64_t registry_digest(const struct registry *registry)
{
	return registry->digest;
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
	struct registry_entry *found = registry_entry_find(registry, caller, name);
	if (found && found->version) {
		*ret_entry = found;
		return 0;
	}
	found = NULL;
	if (caller != 0 || !app_name_valid(name))
		return not_found(
			registry, caller, app_name_valid(name) ? name : "of that name", err);
	list_for_each (entry, &registry->buckets[bucket_of(name)], struct registry_entry, bucket) {
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
	for (unsigned i = 0; i < REGISTRY_BUCKETS; i++) {
		list_init(&registry->buckets[i]);
		list_init(&registry->versions[i]);
	}
	*ret_registry = registry;
	return 0;
}

void registry_destroy(struct registry *registry)
{
	if (!registry)
		return;
	list_for_each_safe (entry, &registry->entries, struct registry_entry, link) {
		if (entry->version)
			version_release(registry, entry->version);
		app_version_put(entry->version);
		while (entry->npast > 0)
			app_version_put(entry->past[--entry->npast]);
		free(entry);
	}
	free(registry);
}
