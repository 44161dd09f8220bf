/* The files of a seed beyond those it maps: its manifest, their hashes, and the view of a node that
 * lacks some. Shared by seeds_manifest.c, seeds_software.c,
 * seeds_hashes.c and seeds_view.c only. */
#ifndef CLUSTER_SEEDS_FILES_H
#define CLUSTER_SEEDS_FILES_H

#include "base/hash.h"
#include "cluster/manifest_collect.h"
#include "cluster/node_config.h"
#include "cluster/seeds_internal.h"
#include "runtime/files/manifest.h"

#define SEED_HASHES_MAX 256u /* asked for at once */

struct hashes_want;

/* Counted: jobs of workers read the blob's bytes. */
struct seed_manifest {
	unsigned refs;
	struct work work;
	struct seed *seed; /* NULL: it was dropped */
	struct node *node;
	bool working; /* one job at a time */
	bool collecting; /* collected, len, manifest and err are a worker's */
	uid_t uid;
	gid_t gid;
	char **roots; /* to collect; of one allocation each */
	unsigned nroots;
	char store_dir[NODE_PATH_MAX + 16];

	void *collected; /* len bytes: what a worker has made, until they are a blob */
	size_t len;
	struct blob *blob; /* NULL: not yet */
	struct manifest manifest;
	struct sha256 *hashes; /* by entry, where hashed is set */
	uint8_t *hashed;
	struct lacking lacking; /* elsewhere than where the seed was made */
	uint32_t asked; /* entries about which it was asked whether they are the same */
	struct hashes_want *want;
	struct list askers;
	uint64_t bus_id;
	struct loop_timer again, patience;
	bool late; /* forks have waited long enough */
	unsigned tries; /* after the first */
	uint64_t begun_ns;
	struct ramet_err err;
};
/* seeds_manifest.c */
struct seed_manifest *seed_manifest_new(struct seed *seed); /* NULL: no memory */
/* seed_manifest_submit - a job of these workers; done puts the reference that it holds */
void seed_manifest_submit(struct seed_manifest *manifest, struct workers *workers,
	void (*run)(struct work *work), void (*done)(struct work *work));
/* seed_manifest_keep - malloc'ed bytes that were opened: taken over, to be the same as those of
 * other seeds that are alike */
int seed_manifest_keep(
	struct seed_manifest *manifest, void *bytes, size_t len, struct ramet_err *err);
struct seed_manifest *seed_manifest_get(struct seed_manifest *manifest);
void seed_manifest_put(struct seed_manifest *manifest);

/* seeds_hashes.c */
int seed_hashes_init(struct seed_manifest *manifest, struct ramet_err *err); /* none is known */
/* error: none could be had. Those that cannot be hashed any more stay unknown without one. */
typedef void hashes_done_fn(void *user, const struct ramet_err *error);
/* seed_hashes_want - have hashes of at most SEED_HASHES_MAX entries told by where the seed comes
 * from; fn is called later, once, unless forgotten before */
int seed_hashes_want(struct seed *seed, const uint32_t *entries, uint32_t count, hashes_done_fn *fn,
	void *user, struct hashes_want **ret_want, struct ramet_err *err);
void seed_hashes_forget(struct hashes_want *want); /* NULL is fine */

#endif
