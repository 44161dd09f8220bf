/* What is deployed: functions, by tenant and name, and the versions they point to. In memory; the
 * same on every node: each deploy and remove goes to all peers, and two nodes that meet exchange
 * everything. The newer of two entries wins, by (generation, node). Tenants (Unix uids) see their
 * own functions; root sees all. Control loop only. */
#ifndef CLUSTER_REGISTRY_H
#define CLUSTER_REGISTRY_H

#include "base/err.h"
#include "base/list.h"
#include "base/wire.h"
#include "cluster/app_version.h"
#include "cluster/client_proto.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define REGISTRY_MAX_ENTRIES 16384
#define REGISTRY_PAST 8 /* versions before the current one that a function can go back to */

struct registry;

struct registry_entry {
	struct list link, bucket;
	char name[CLIENT_NAME_MAX + 1];
	uid_t uid;
	uint64_t generation;
	uint32_t node; /* that wrote it */
	struct app_version
		*version; /* NULL: removed (kept, so that the removal wins over older news) */
	char latest[VERSION_HEX + 1]; /* that was deployed last, whatever it went back to since */
	struct app_version *past[REGISTRY_PAST]; /* as seen by this node, the last one first */
	unsigned npast;
};

struct registry_handler {
	/* an entry is new, points to another version, or was removed; old: the version before, or
	 * NULL */
	void (*on_change)(void *user, const struct registry_entry *entry, struct app_version *old);
	/* no function points to it any more: its seed, templates and idle instances can go. Valid
	 * during the call (and longer for who holds a reference). */
	void (*on_unused)(void *user, struct app_version *version);
	/* no function can go back to it any more, either; it may point to it. NULL is fine. */
	void (*on_forgotten)(void *user, struct app_version *version);
};

int registry_create(uint32_t node, const struct registry_handler *handler, void *user,
	struct registry **ret_registry, struct ramet_err *err);
void registry_destroy(struct registry *registry); /* handlers are not called; NULL is fine */

/* registry_find - the entry a caller means by a name: its own; for root also another tenant's, if
 * only one has it. RAMET_ENOTFOUND names it (and another name that is close). *ret_entry is valid
 * until the control loop's next turn. */
int registry_find(struct registry *registry, uid_t caller, const char *name,
	struct registry_entry **ret_entry, struct ramet_err *err);
bool registry_visible(const struct registry_entry *entry, uid_t caller);
/* the version of that name if some function points to it, or NULL; not a new reference */
struct app_version *registry_version(struct registry *registry, const char *id);

/* registry_deploy - every function of the version now points to it (here); ret_news: the message
 * for the peers */
int registry_deploy(struct registry *registry, struct app_version *version, struct buf *ret_news,
	struct ramet_err *err);
/* registry_rollback - the same, to a version that was deployed before */
int registry_rollback(struct registry *registry, struct app_version *version, struct buf *ret_news,
	struct ramet_err *err);
/* registry_find_past - the version that a function goes back to: NULL or "" the one before,
 * "latest", or the beginning of its name. RAMET_ENOTFOUND: there is none; RAMET_EINVAL: several
 * begin so. Not a new reference. */
int registry_find_past(const struct registry_entry *entry, const char *which,
	struct app_version **ret_version, struct ramet_err *err);
/* whether some function may go back to it: its files are kept */
bool registry_keeps(const struct registry *registry, const char *id);
int registry_remove(struct registry *registry, struct registry_entry *entry, struct buf *ret_news,
	struct ramet_err *err);
/* registry_pack - everything, as such a message (for a peer that was just met) */
int registry_pack(const struct registry *registry, struct buf *ret_news, struct ramet_err *err);
/* registry_merge - take in a peer's news; entries that are older than ours change nothing */
int registry_merge(struct registry *registry, const struct wire_value *news, struct ramet_err *err);

/* registry_digest - equal on two nodes whose registries are equal (removals included); 0 when
 * nothing was ever deployed */
uint64_t registry_digest(const struct registry *registry);

unsigned registry_count(const struct registry *registry); /* functions, without removed ones */
/* walk: NULL for the first; removed entries are left out; NULL at the end. Nothing may change
 * meanwhile. */
struct registry_entry *registry_next(struct registry *registry, struct registry_entry *after);

#endif
