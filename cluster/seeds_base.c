/* The table of bases, and clones of them that become hosts: see seeds_base.h. */
#include "cluster/seeds_base.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/node.h"
#include "cluster/seeds_command.h"
#include "cluster/seeds_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUILD_NS (5000 * NSEC_PER_MSEC)

struct seed_base {
	struct list link; /* seeds->bases */
	struct seeds *seeds;
	unsigned refs;
	bool retired;
	struct buf key;
	struct image *image;
	struct layer *layer;
};

struct base_clone {
	struct instance_parent parent; /* first */
	struct list link; /* seeds->base_clones */
	struct seeds *seeds;
	struct seed_base *base; /* NULL: it is born */
	struct app_version *app;
	struct files_check *check;
	uint64_t tmpl, request;
	bool built;
	bool *gone; /* to be set when it is freed */
	struct loop_timer timer;
	base_built_fn *fn;
	void *user;
};

/* --- the table --- */

static void put_texts(struct buf *key, const char *const *texts)
{
	for (unsigned i = 0; texts && texts[i]; i++)
		wire_str(key, texts[i]);
	wire_bool(key, false);
}

bool base_key(const struct app_version *app, const struct command *command, struct buf *key,
	const char **ret_why)
{
	if (strcmp(app->lang, "python") != 0) {
		*ret_why = "its language has no bases";
		return false;
	}
	if (app->data.count > 0) {
		*ret_why = "its processes see files that others do not (data)";
		return false;
	}
	wire_uint(key, app->uid);
	wire_uint(key, app->gid);
	wire_str(key, app->app);
	wire_uint(key, app->close_on_fork);
	put_texts(key, command_argv(command));
	put_texts(key, command_env(command));
	put_texts(key, (const char *const *)app->modules.v);
	put_texts(key, (const char *const *)app->path.v);
	*ret_why = "out of memory";
	return !key->oom;
}

struct seed_base *base_find(const struct seeds *seeds, const struct buf *key)
{
	list_for_each (base, &seeds->bases, struct seed_base, link)
		if (!base->retired && base->key.len == key->len &&
			memcmp(base->key.data, key->data, key->len) == 0)
			return base_get(base);
	return NULL;
}

int base_add(struct seeds *seeds, struct buf *key, struct image *image, struct seed_base **ret_base,
	struct ramet_err *err)
{
	AUTO(base_put) struct seed_base *base = calloc(1, sizeof(*base));
	if (!base) {
		image_put(image);
		return err_nomem(err);
	}
	base->seeds = seeds;
	base->refs = 1;
	base->image = image;
	base->key = *key;
	*key = (struct buf){0};
	list_append(&seeds->bases, &base->link);
	int rc = layer_of(&image->desc, image->fd, &base->layer, err);
	if (rc < 0)
		return rc;
	*ret_base = steal_ptr(&base);
	return 0;
}

struct seed_base *base_get(struct seed_base *base)
{
	base->refs++;
	return base;
}

void base_put(struct seed_base *base)
{
	if (!base || --base->refs > 0)
		return;
	log_debug("base.gone", "pages=%llu", (unsigned long long)base->image->npages);
	list_remove(&base->link);
	buf_fini(&base->key);
	layer_put(base->layer);
	image_put(base->image);
	free(base);
}

void base_retire(struct seed_base *base)
{
	base->retired = true;
}

const struct image *base_image(const struct seed_base *base)
{
	return base->image;
}

struct layer *base_layer(const struct seed_base *base)
{
	return base->layer;
}

/* --- clones --- */

static void clone_free(struct base_clone *clone)
{
	loop_timer_cancel(&clone->timer);
	if (clone->gone)
		*clone->gone = true;
	list_remove(&clone->link);
	base_put(clone->base);
	app_version_put(clone->app);
	free(clone);
}

/* it has done its work, or nobody wants it */
static void drop_template(struct base_clone *clone)
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
	struct base_clone *clone = container_of(parent, struct base_clone, parent);
	(void)inst;
	close_keep_errno(uffd);
	drop_template(clone);
	base_put(steal_ptr(&clone->base));
}

static void on_gone(struct instance_parent *parent, struct instance *inst)
{
	struct base_clone *clone = container_of(parent, struct base_clone, parent);
	(void)inst;
	drop_template(clone);
	clone_free(clone);
}

static const struct instance_parent clone_parent = {
	.on_begun = on_begun, .on_born = on_born, .on_gone = on_gone};

static void tell(struct base_clone *clone, const struct ramet_err *error)
{
	loop_timer_cancel(&clone->timer);
	clone->fn(clone->user, error);
}

static void on_built(void *user, struct spawn_result *result)
{
	struct base_clone *clone = user;
	clone->request = 0;
	clone->built = result->err.code == 0;
	tell(clone, clone->built ? NULL : &result->err);
}

static void not_built(struct loop_timer *timer)
{
	struct base_clone *clone = container_of(timer, struct base_clone, timer);
	struct ramet_err err = {0};
	err_set(&err, RAMET_ETIMEOUT, "no template of the base was built in time");
	drop_template(clone);
	tell(clone, &err);
}

static int build(
	struct base_clone *clone, const char *const *paths, uint32_t count, struct ramet_err *err)
{
	struct node *node = clone->seeds->node;
	const struct app_version *app = clone->app;
	const struct image *image = clone->base->image;
	char tenant[INSTANCE_TENANT_MAX];
	char group[SPAWN_NAME_MAX];
	instance_host_group(app, group, sizeof(group));
	struct spawn_template request = {
		.tmpl = clone->tmpl,
		.desc_fd = image->desc_fd,
		.image_fd = image->fd,
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
	struct base_clone *clone = user;
	struct ramet_err err = {0};
	(void)fetched;
	clone->check = NULL;
	if (error || build(clone, paths, count, &err) < 0)
		tell(clone, error ? error : &err);
}

int base_clone_begin(struct seed_base *base, struct app_version *app, base_built_fn *fn, void *user,
	struct base_clone **ret_clone, struct ramet_err *err)
{
	struct base_clone *clone = calloc(1, sizeof(*clone));
	if (!clone)
		return err_nomem(err);
	clone->parent = clone_parent;
	clone->seeds = base->seeds;
	clone->base = base_get(base);
	clone->app = app_version_get(app);
	clone->tmpl = ++base->seeds->next_template;
	clone->fn = fn;
	clone->user = user;
	list_append(&base->seeds->base_clones, &clone->link);
	int rc = files_check_here(base->seeds, base->image, on_files, clone, &clone->check, err);
	if (rc < 0) {
		clone_free(clone);
		return rc;
	}
	*ret_clone = clone;
	return 0;
}

int base_clone_start(struct base_clone *clone, const struct instance_handler *handler, void *user,
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
		base_clone_forget(clone);
	else if (rc == 0)
		clone->gone = NULL;
	return rc;
}

void base_clone_forget(struct base_clone *clone)
{
	if (!clone)
		return;
	files_check_forget(clone->check);
	drop_template(clone);
	clone_free(clone);
}

void bases_fini(struct seeds *seeds)
{
	list_for_each_safe (clone, &seeds->base_clones, struct base_clone, link)
		clone_free(clone);
	/* workers may have some yet, whose captures end later */
	list_for_each_safe (base, &seeds->bases, struct seed_base, link) {
		list_remove(&base->link);
		list_init(&base->link);
	}
}
