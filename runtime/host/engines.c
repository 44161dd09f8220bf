/* See engines.h. */
#include "runtime/host/engines.h"

#include "base/err.h"
#include "runtime/host/deadline.h"

#include <dlfcn.h>
#include <string.h>

static bool complete(const struct ramet_engine_ops *ops)
{
	return ops->init && ops->load && ops->call && ops->done && ops->interrupt &&
		ops->before_snapshot && ops->after_clone && !ops->wait_begin == !ops->wait_end;
}

static int check(const struct ramet_engine_ops *ops, struct ramet_err *err)
{
	if (ops->abi != RAMET_ENGINE_ABI)
		return err_set(err, RAMET_EVERSION,
			"engine %s was built for version %u of the interface, this host has %u",
			ops->name, ops->abi, RAMET_ENGINE_ABI);
	if (!complete(ops))
		return err_set(err, RAMET_EINVAL, "engine %s lacks a function of the interface",
			ops->name);
	return 0;
}

int engines_add(struct engines *engines, const struct ramet_engine_ops *ops, struct ramet_err *err)
{
	int rc = check(ops, err);
	if (rc < 0)
		return rc;
	if (engines->count > 0)
		return err_set(err, RAMET_EEXIST, "engine %s: this process has engine %s already",
			ops->name, engines->items[ENGINES_OWN].ops->name);
	engines->items[engines->count++].ops = ops;
	return 0;
}

static int find(const struct engines *engines, const char *name, unsigned *ret_index)
{
	for (unsigned i = 0; i < engines->count; i++) {
		if (strcmp(engines->items[i].ops->name, name) == 0) {
			*ret_index = i;
			return 0;
		}
	}
	return RAMET_ENOTFOUND;
}

/* The file's table. It is never closed again: its code is in use as long as the process. */
static int open_file(const char *name, const char *path, const struct ramet_engine_ops **ret_ops,
	struct ramet_err *err)
{
	void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!file)
		return err_set(
			err, RAMET_ENOTFOUND, "the engine of language %s: %s", name, dlerror());
	const struct ramet_engine_ops *ops = dlsym(file, RAMET_ENGINE_SYMBOL);
	if (!ops)
		return err_set(err, RAMET_EINVAL, "%s has no " RAMET_ENGINE_SYMBOL, path);
	int rc = check(ops, err);
	if (rc < 0)
		return rc;
	if (strcmp(ops->name, name) != 0)
		return err_set(err, RAMET_EINVAL, "%s is the engine of %s, not of %s", path,
			ops->name, name);
	if (ops->wait_begin)
		return err_set(err, RAMET_EINVAL,
			"engine %s has threads of its own: it can only be a process's own", name);
	*ret_ops = ops;
	return 0;
}

int engines_open(struct engines *engines, const char *name, const char *path, unsigned *ret_index,
	struct ramet_err *err)
{
	char detail[128];
	const struct ramet_engine_ops *ops;
	if (find(engines, name, ret_index) == 0)
		return 0;
	if (!path)
		return err_set(
			err, RAMET_ENOTFOUND, "this node has no engine for language %s", name);
	if (engines->count == ENGINES_MAX)
		return err_set(err, RAMET_ELIMIT, "more than %u languages in one application",
			ENGINES_MAX);
	int rc = open_file(name, path, &ops, err);
	struct engines_one *one = &engines->items[engines->count];
	if (rc == 0)
		rc = ops->init(DEADLINE_SIGNAL, detail, sizeof(detail), &one->engine, err);
	if (rc == 0)
		rc = deadline_init(err); /* its signal action goes */
	if (rc < 0)
		return rc;
	one->ops = ops;
	*ret_index = engines->count++;
	return 0;
}

const struct engines_one *engines_of(
	const struct engines *engines, unsigned function, unsigned *ret_index)
{
	const struct engines_one *one = engines->items;
	while (function - one->first >= one->count)
		one++;
	*ret_index = function - one->first;
	return one;
}

int engines_before_snapshot(const struct engines *engines, struct ramet_err *err)
{
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < engines->count; i++)
		rc = engines->items[i].ops->before_snapshot(engines->items[i].engine, err);
	return rc;
}

int engines_after_clone(const struct engines *engines,
	unsigned char seeds[][RAMET_ENGINE_SEED_BYTES], struct ramet_err *err)
{
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < engines->count; i++)
		rc = engines->items[i].ops->after_clone(engines->items[i].engine, seeds[i], err);
	return rc;
}

size_t engines_roots(const struct engines *engines, char *dst, size_t cap)
{
	size_t len = 0;
	for (unsigned i = 0; i < engines->count; i++) {
		const struct engines_one *one = &engines->items[i];
		if (one->ops->roots)
			len += one->ops->roots(one->engine, dst + len, cap - len);
	}
	return len;
}

void engines_secrets(
	const struct engines *engines, const struct ramet_engine_secret *secrets, unsigned count)
{
	for (unsigned i = 0; i < engines->count; i++)
		if (engines->items[i].ops->secrets)
			engines->items[i].ops->secrets(engines->items[i].engine, secrets, count);
}

void engines_wait_begin(const struct engines *engines)
{
	const struct engines_one *own = &engines->items[ENGINES_OWN];
	if (own->ops->wait_begin)
		own->ops->wait_begin(own->engine);
}

void engines_wait_end(const struct engines *engines)
{
	const struct engines_one *own = &engines->items[ENGINES_OWN];
	if (own->ops->wait_end)
		own->ops->wait_end(own->engine);
}
