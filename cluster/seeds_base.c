/* The table of bases: see seeds_base.h. */
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

struct seed_base {
	struct list link; /* seeds->bases */
	struct seeds *seeds;
	unsigned refs;
	bool retired;
	struct buf key;
	struct image *image;
	struct layer *layer;
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

struct image *base_image(const struct seed_base *base)
{
	return base->image;
}

struct layer *base_layer(const struct seed_base *base)
{
	return base->layer;
}

void bases_fini(struct seeds *seeds)
{
	/* workers may have some yet, whose captures end later */
	list_for_each_safe (base, &seeds->bases, struct seed_base, link) {
		list_remove(&base->link);
		list_init(&base->link);
	}
}
