/* See image_clone.h. */
#include "cluster/image_clone.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/node.h"
#include "cluster/seeds_internal.h"
#include "rfork/layer.h"

#include <stdlib.h>
#include <unistd.h>

#define BUILD_NS (5000 * NSEC_PER_MSEC)

struct image_clone {
	struct instance_parent parent; /* first */
	struct list link; /* seeds->image_clones */
	struct seeds *seeds;
	struct image *image; /* NULL: it is born */
	struct app_version *app;
	struct files_check *check;
	uint64_t tmpl, request;
	bool built;
	bool *gone; /* to be set when it is freed */
	struct loop_timer timer;
	image_built_fn *fn;
	void *user;
};

static void clone_free(struct image_clone *clone)
{
	loop_timer_cancel(&clone->timer);
	if (clone->gone)
		*clone->gone = true;
	list_remove(&clone->link);
	image_put(clone->image);
	app_version_put(clone->app);
	free(clone);
}

/* it has done its work, or nobody wants it */
static void drop_template(struct image_clone *clone)
{
	if (clone->request != 0)
		spawn_forget(clone->seeds->node->spawn, clone->request);
	else if (clone->built)
		spawn_drop(clone->seeds->node->spawn, clone->tmpl);
	clone->request = 0;
	clone->built = false;
}

static int on_begun(struct instance_parent *parent, struct instance *inst, struct ramet_err *err)
{
	(void)parent;
	(void)inst;
	(void)err;
	return 0;
}

static void on_born(struct instance_parent *parent, struct instance *inst, int uffd)
{
	struct image_clone *clone = container_of(parent, struct image_clone, parent);
	(void)inst;
	close_keep_errno(uffd);
	drop_template(clone);
	image_put(steal_ptr(&clone->image));
}

static void on_gone(struct instance_parent *parent, struct instance *inst)
{
	struct image_clone *clone = container_of(parent, struct image_clone, parent);
	(void)inst;
	drop_template(clone);
	clone_free(clone);
}

static const struct instance_parent clone_parent = {
	.on_begun = on_begun, .on_born = on_born, .on_gone = on_gone};

static void tell(struct image_clone *clone, const struct ramet_err *error)
{
	loop_timer_cancel(&clone->timer);
	clone->fn(clone->user, error);
}

static void on_built(void *user, struct spawn_result *result)
{
	struct image_clone *clone = user;
	clone->request = 0;
	clone->built = result->err.code == 0;
	tell(clone, clone->built ? NULL : &result->err);
}

static void not_built(struct loop_timer *timer)
{
	struct image_clone *clone = container_of(timer, struct image_clone, timer);
	struct ramet_err err = {0};
	err_set(&err, RAMET_ETIMEOUT, "no template of the image was built in time");
	drop_template(clone);
	tell(clone, &err);
}

static int build(
	struct image_clone *clone, const char *const *paths, uint32_t count, struct ramet_err *err)
{
	struct node *node = clone->seeds->node;
	const struct app_version *app = clone->app;
	const struct image *image = clone->image;
	char tenant[INSTANCE_TENANT_MAX];
	char group[SPAWN_NAME_MAX];
	instance_host_group(app, group, sizeof(group));
	struct spawn_template request = {
		.tmpl = clone->tmpl,
		.desc_fd = image->desc_fd,
		.image_fd = image->fd,
		.layered = image->layer != NULL,
		.base_fd = image->layer ? image->layer->fd : -1,
		.files = paths,
		.nfiles = count,
		.tenant = instance_tenant(node, app, tenant),
		.group = group,
		.limits = app_version_limits(app),
	};
	int rc = spawn_template(node->spawn, &request, on_built, clone, &clone->request, err);
	if (rc == 0 &&
		loop_timer_set(node->loop, &clone->timer, now_ns() + BUILD_NS, not_built) < 0)
		rc = err_nomem(err);
	return rc;
}

static void on_files(void *user, const char *const *paths, uint32_t count, bool fetched,
	const struct ramet_err *error)
{
	struct image_clone *clone = user;
	struct ramet_err err = {0};
	(void)fetched;
	clone->check = NULL;
	if (error || build(clone, paths, count, &err) < 0)
		tell(clone, error ? error : &err);
}

int image_clone_begin(struct seeds *seeds, struct image *image, struct app_version *app,
	image_built_fn *fn, void *user, struct image_clone **ret_clone, struct ramet_err *err)
{
	struct image_clone *clone = calloc(1, sizeof(*clone));
	if (!clone)
		return err_nomem(err);
	clone->parent = clone_parent;
	clone->seeds = seeds;
	clone->image = image_get(image);
	clone->app = app_version_get(app);
	clone->tmpl = ++seeds->next_template;
	clone->fn = fn;
	clone->user = user;
	list_append(&seeds->image_clones, &clone->link);
	int rc = files_check_here(seeds, image, on_files, clone, &clone->check, err);
	if (rc < 0) {
		clone_free(clone);
		return rc;
	}
	*ret_clone = clone;
	return 0;
}

int image_clone_start(struct image_clone *clone, const struct instance_handler *handler, void *user,
	struct instance **ret_inst, struct ramet_err *err)
{
	const struct instance_clone request = {
		.app = clone->app,
		.tmpl = clone->tmpl,
		.parent = &clone->parent,
		.kind = START_LOCAL_FORK,
		.host = true,
	};
	struct node *node = clone->seeds->node;
	bool gone = false;
	clone->gone = &gone;
	int rc = instance_start_clone(node->instances, &request, handler, user, ret_inst, err);
	if (rc < 0 && !gone)
		image_clone_forget(clone);
	else if (rc == 0)
		clone->gone = NULL;
	return rc;
}

void image_clone_forget(struct image_clone *clone)
{
	if (!clone)
		return;
	files_check_forget(clone->check);
	drop_template(clone);
	clone_free(clone);
}

void image_clones_fini(struct seeds *seeds)
{
	list_for_each_safe (clone, &seeds->image_clones, struct image_clone, link)
		clone_free(clone);
}
