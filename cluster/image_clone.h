/* One clone of an image that is no seed's, or not yet: of a base, to be the host of a version; of
 * one of the generations that a seed is chosen from. A template is built for it alone, in the
 * version's control group, and dropped when it is born. Control loop only. */
#ifndef CLUSTER_IMAGE_CLONE_H
#define CLUSTER_IMAGE_CLONE_H

#include "base/err.h"
#include "cluster/app_version.h"
#include "cluster/instances.h"

struct image;
struct image_clone;
struct seeds;

/* error NULL: it can be started */
typedef void image_built_fn(void *user, const struct ramet_err *error);
/* image_clone_begin - the image is one that was made here; it and app are referenced as long as
 * needed. fn comes later, once, unless forgotten */
int image_clone_begin(struct seeds *seeds, struct image *image, struct app_version *app,
	image_built_fn *fn, void *user, struct image_clone **ret_clone, struct ramet_err *err);
/* image_clone_start - from within fn, or later. The clone is not the caller's any more, also after
 * a failure; the instance is, which may be initialised on */
int image_clone_start(struct image_clone *clone, const struct instance_handler *handler, void *user,
	struct instance **ret_inst, struct ramet_err *err);
void image_clone_forget(struct image_clone *clone); /* NULL is fine */
/* image_clones_fini - at the end of seeds, when no instance is left */
void image_clones_fini(struct seeds *seeds);

#endif
