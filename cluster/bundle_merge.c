/* Merging the versions of an app: see bundle_merge.h. */
#include "cluster/bundle_merge.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int differs(const struct app_version *version, const char *key, const char *old,
	const char *new, struct ramet_err *err)
{
	return err_set(err, RAMET_EEXIST,
		"%s: app %s has \"%.100s\", this deployment \"%.100s\": functions of an app share "
		"it; deploy with the same, or into another app",
		key, version->app, old, new);
}

static int merge_text(const struct app_version *version, const char *key, char *text, size_t cap,
	const char *old, struct ramet_err *err)
{
	if (text[0] && old[0] && strcmp(text, old) != 0)
		return differs(version, key, old, text, err);
	if (!text[0])
		memcpy(text, old, MIN(strlen(old) + 1, cap));
	return 0;
}

static int merge_number(const struct app_version *version, const char *key, uint64_t *number,
	uint64_t old, uint64_t fallback, struct ramet_err *err)
{
	char text[2][24];
	if (*number == fallback || *number == old) {
		*number = old;
		return 0;
	}
	snprintf(text[0], sizeof(text[0]), "%" PRIu64, old);
	snprintf(text[1], sizeof(text[1]), "%" PRIu64, *number);
	return differs(version, key, text[0], text[1], err);
}

static int merge_limits(
	struct app_version *version, const struct app_version *old, struct ramet_err *err)
{
	struct app_limits *limits = &version->limits;
	uint64_t close = version->close_on_fork;
	uint64_t idempotent = version->idempotent;
	const struct {
		const char *key;
		uint64_t *number, old, fallback;
	} all[] = {
		{"limits.mem", &limits->mem, old->limits.mem, 0},
		{"limits.heap", &limits->heap, old->limits.heap, 0},
		{"limits.pids", &limits->pids, old->limits.pids, 0},
		{"limits.cpu", &limits->cpu, old->limits.cpu, 0},
		{"limits.deadline", &limits->deadline_ms, old->limits.deadline_ms, 0},
		{"limits.output", &limits->output, old->limits.output, CLIENT_MAX_PAYLOAD},
		{"close_on_fork", &close, old->close_on_fork, 0},
		{"idempotent", &idempotent, old->idempotent, 0},
	};
	int rc = 0;
	for (size_t i = 0; i < ARRAY_LEN(all) && rc == 0; i++)
		rc = merge_number(
			version, all[i].key, all[i].number, all[i].old, all[i].fallback, err);
	version->close_on_fork = (unsigned)close;
	version->idempotent = idempotent != 0;
	return rc;
}

static bool has(char *const *list, uint32_t count, const char *text, size_t len)
{
	for (uint32_t i = 0; i < count; i++)
		if (strncmp(list[i], text, len) == 0)
			return true;
	return false;
}

/* the old ones first: their order may matter */
static int merge_list(struct app_list *list, const struct app_list *old, uint32_t max,
	const char *key, struct ramet_err *err)
{
	struct app_list all = {.v = calloc(list->count + old->count + 1, sizeof(char *))};
	if (!all.v)
		return err_nomem(err);
	for (uint32_t i = 0; i < old->count + list->count; i++) {
		const char *text = i < old->count ? old->v[i] : list->v[i - old->count];
		if (has(all.v, all.count, text, strlen(text) + 1))
			continue;
		all.v[all.count] = strdup(text);
		if (!all.v[all.count]) {
			app_list_fini(&all);
			return err_nomem(err);
		}
		all.count++;
	}
	app_list_fini(list);
	*list = all;
	return all.count > max ? err_set(err, RAMET_ELIMIT,
					 "%s: more than %u items together with the app's", key, max)
			       : 0;
}

static int merge_lists(
	struct app_version *version, const struct app_version *old, struct ramet_err *err)
{
	int rc = merge_list(&version->modules, &old->modules, CLIENT_MAX_MODULES, "modules", err);
	if (rc == 0)
		rc = merge_list(&version->path, &old->path, CLIENT_MAX_PATH, "path", err);
	if (rc == 0)
		rc = merge_list(&version->data, &old->data, CLIENT_MAX_DATA, "data", err);
	if (rc == 0)
		rc = merge_list(
			&version->secrets, &old->secrets, CLIENT_MAX_SECRETS, "secrets", err);
	if (rc == 0)
		rc = merge_list(&version->requirements, &old->requirements, CLIENT_MAX_REQUIREMENTS,
			"requirements", err);
	return rc;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int merge_env(
	struct app_version *version, const struct app_version *old, struct ramet_err *err)
{
	for (uint32_t i = 0; i < old->nenv; i++) {
		const char *item = old->env[i];
		size_t name = strcspn(item, "=") + 1;
		if (has(version->env, version->nenv, item, strlen(item) + 1))
			continue;
		if (has(version->env, version->nenv, item, name))
			return err_set(err, RAMET_EEXIST,
				"env: app %s and this deployment differ in %.*s: functions of an "
				"app share it",
				version->app, (int)name - 1, item);
		if (version->nenv == CLIENT_MAX_ENV)
			return err_set(err, RAMET_ELIMIT,
				"env: more than %u variables together with the app's",
				CLIENT_MAX_ENV);
		version->env[version->nenv] = strdup(item);
		if (!version->env[version->nenv])
			return err_nomem(err);
		version->nenv++;
	}
	qsort(version->env, version->nenv, sizeof(char *), compare);
	return 0;
}

static int merge_functions(
	struct app_version *version, const struct app_version *old, struct ramet_err *err)
{
	struct app_function *all = reallocarray(
		version->functions, version->nfunctions + old->nfunctions, sizeof(*all));
	if (!all)
		return err_nomem(err);
	version->functions = all;
	uint32_t deployed = version->nfunctions;
	for (uint32_t i = 0; i < old->nfunctions; i++) {
		bool replaced = false;
		for (uint32_t j = 0; j < deployed; j++)
			replaced = replaced || strcmp(all[j].name, old->functions[i].name) == 0;
		if (!replaced)
			all[version->nfunctions++] = old->functions[i];
	}
	if (version->nfunctions > CLIENT_MAX_FUNCTIONS)
		return err_set(err, RAMET_ELIMIT, "app %s would have more than %u functions",
			version->app, CLIENT_MAX_FUNCTIONS);
	return 0;
}

/* every function is called with every sample */
static int merge_samples(
	struct app_version *version, const struct app_version *old, struct ramet_err *err)
{
	if (old->nsamples == 0)
		return 0;
	bool same = version->nsamples == old->nsamples;
	for (uint32_t i = 0; same && i < old->nsamples; i++)
		same = version->samples[i].len == old->samples[i].len &&
			memcmp(version->samples[i].data, old->samples[i].data,
				old->samples[i].len) == 0;
	if (same)
		return 0;
	return err_set(err, RAMET_EEXIST,
		"samples: app %s has others than this deployment, and all functions of an app are "
		"called with them",
		version->app);
}

/* An app with a function in Python is a Python app; init is a handler in the app's language. */
static int merge_lang(
	struct app_version *version, const struct app_version *old, struct ramet_err *err)
{
	bool python = strcmp(version->lang, "python") == 0;
	const struct app_version *other = python ? old : version;
	if (strcmp(version->lang, old->lang) == 0)
		return 0;
	if (other->init[0])
		return err_set(err, RAMET_EEXIST,
			"init: %s is %s, and the language of app %s with this deployment is %s",
			other->init, other->lang, version->app, python ? version->lang : old->lang);
	if (!python)
		memcpy(version->lang, old->lang, sizeof(version->lang));
	return 0;
}

int bundle_merge_version(
	struct app_version *version, const struct app_version *old, struct ramet_err *err)
{
	version->shared = version->shared || old->shared;
	int rc = merge_lang(version, old, err);
	if (rc == 0)
		rc = merge_text(version, "python", version->python, sizeof(version->python),
			old->python, err);
	if (rc == 0)
		rc = merge_text(
			version, "init", version->init, sizeof(version->init), old->init, err);
	if (rc == 0)
		rc = merge_text(version, "requirements", version->requirements_file,
			sizeof(version->requirements_file), old->requirements_file, err);
	if (rc == 0 && version->fresh == FRESH_REUSE)
		version->fresh = old->fresh;
	if (rc == 0 && version->fresh != old->fresh)
		rc = differs(version, "fresh", app_fresh_name(old->fresh),
			app_fresh_name(version->fresh), err);
	if (rc == 0)
		rc = merge_limits(version, old, err);
	if (rc == 0)
		rc = merge_lists(version, old, err);
	if (rc == 0)
		rc = merge_env(version, old, err);
	if (rc == 0)
		rc = merge_samples(version, old, err);
	if (rc == 0)
		rc = merge_functions(version, old, err);
	return rc;
}
