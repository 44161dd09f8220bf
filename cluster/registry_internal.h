/* What registry*.c share. */
#ifndef CLUSTER_REGISTRY_INTERNAL_H
#define CLUSTER_REGISTRY_INTERNAL_H

#include "cluster/registry.h"

#define REGISTRY_BUCKETS 1024

/* a version that entries point to */
struct registry_version {
	struct list link; /* registry->versions */
	struct app_version *version;
	unsigned entries;
};

struct registry {
	uint32_t node;
	const struct registry_handler *handler;
	void *user;
	struct list entries;
	struct list buckets[REGISTRY_BUCKETS]; /* of entries, by name */
	struct list versions[REGISTRY_BUCKETS]; /* by the first digits of their names */
	unsigned count, nversions; /* entries with removed ones; versions pointed to */
	uint64_t generation; /* the highest seen */
	uint64_t digest;
};

struct registry_entry *registry_entry_find(
	const struct registry *registry, uid_t uid, const char *name);
/* a new one, as if removed before anything was known; RAMET_ELIMIT, RAMET_ENOMEM */
int registry_entry_add(struct registry *registry, uid_t uid, const char *name,
	struct registry_entry **ret_entry, struct ramet_err *err);
/* version NULL: removed, which cannot fail. The entry takes its own reference. 0 or RAMET_ENOMEM.
 */
int registry_entry_set(struct registry *registry, struct registry_entry *entry, uint64_t generation,
	uint32_t node, struct app_version *version);

#endif
