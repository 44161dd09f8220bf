/* Bases: processes that have imported what the files of an app import from elsewhere, captured
 * before anything of the app's own was loaded. Seeds of the app's versions are layered on them
 * (rfork/layer.h), and a redeploy begins as a clone of one. A base is this node's own: peers can
 * neither find nor fetch it, and need not, since a layered seed has all its pages. It lives as long
 * as a seed that was made from it here. Control loop only. */
#ifndef CLUSTER_SEEDS_BASE_H
#define CLUSTER_SEEDS_BASE_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/wire.h"
#include "cluster/instances.h"

#include <stdbool.h>

struct command;
struct image;
struct layer;
struct seed_base;
struct seeds;

/* base_key - what versions must have in common to begin from one base: all that the process knows
 * before it sees their files. False: such an app has none, *ret_why says so */
bool base_key(const struct app_version *app, const struct command *command, struct buf *key,
	const char **ret_why);
/* base_find - the base for a key, referenced, or NULL */
struct seed_base *base_find(const struct seeds *seeds, const struct buf *key);
/* base_add - a base that was captured here; takes what key holds, and the image, also on failure */
int base_add(struct seeds *seeds, struct buf *key, struct image *image, struct seed_base **ret_base,
	struct ramet_err *err);
struct seed_base *base_get(struct seed_base *base);
void base_put(struct seed_base *base); /* NULL is fine */
DEFINE_CLEANUP(struct seed_base, base_put)
/* base_retire - no other version begins from it: what it has imported is not what is wanted now */
void base_retire(struct seed_base *base);
struct image *base_image(const struct seed_base *base);
struct layer *base_layer(const struct seed_base *base);

/* bases_fini - at the end of seeds, when no instance is left */
void bases_fini(struct seeds *seeds);

#endif
