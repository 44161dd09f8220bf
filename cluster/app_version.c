/* Versions: counting, packing, and parsing with every check that a client's or peer's word needs.
 */
#include "cluster/app_version.h"

#include "cluster/languages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENV_NAME_MAX 255
#define ENV_VALUE_MAX 65536
#define LIMIT_MAX (1ull << 62)

static const char *const fresh_names[] = {
	[FRESH_REUSE] = "reuse",
	[FRESH_RESET] = "reset",
	[FRESH_FRESH] = "fresh",
};

const char *app_fresh_name(enum app_fresh fresh)
{
	return (unsigned)fresh < ARRAY_LEN(fresh_names) ? fresh_names[fresh] : "";
}

int app_fresh_from_name(const char *name, enum app_fresh *ret_fresh)
{
	for (unsigned i = 0; i < ARRAY_LEN(fresh_names); i++) {
		if (strcmp(name, fresh_names[i]) == 0) {
			*ret_fresh = (enum app_fresh)i;
			return 0;
		}
	}
	return RAMET_EINVAL;
}

bool app_name_valid(const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t len = strlen(name);
	if (len == 0 || len > CLIENT_NAME_MAX || name[0] == '.' || name[0] == '-')
		return false;
	return strspn(name, allowed) == len;
}

bool version_valid(const char *id)
{
	return strlen(id) == VERSION_HEX && strspn(id, "0123456789abcdef") == VERSION_HEX;
}

struct app_version *app_version_get(struct app_version *version)
{
	version->refs++;
	return version;
}

void app_version_put(struct app_version *version)
{
	if (!version || --version->refs > 0)
		return;
	for (uint32_t i = 0; i < version->nenv; i++)
		free(version->env[i]);
	free(version->env);
	for (uint32_t i = 0; i < version->nsamples; i++)
		free(version->samples[i].data);
	free(version->samples);
	free(version->functions);
	app_list_fini(&version->modules);
	app_list_fini(&version->path);
	app_list_fini(&version->requirements);
	app_list_fini(&version->data);
	app_list_fini(&version->secrets);
	free(version);
}

static const struct language *language_of(const struct app_version *version, const char *function)
{
	const struct app_function *found = app_version_function(version, function);
	return found ? languages_find(found->lang) : NULL;
}

/* What shares instances can be reset. */
bool app_version_resets(const struct app_version *version, const char *function)
{
	const struct language *language = language_of(version, function);
	bool can = strcmp(function, APP_SHARED) == 0 || (language && language->resets);
	return version->fresh == FRESH_RESET && can;
}

bool app_version_once(const struct app_version *version, const char *function)
{
	return version->fresh != FRESH_REUSE && !app_version_resets(version, function);
}

const char *app_version_pool(const struct app_version *version, const char *function)
{
	const struct language *language = version->shared ? language_of(version, function) : NULL;
	return language && language->isolates ? APP_SHARED : function;
}

/* What the host and its engines need comes out of the same memory. */
uint64_t app_version_heap(const struct app_version *version)
{
	const struct app_limits *limits = &version->limits;
	return limits->heap ? limits->heap : limits->mem / 2;
}

const struct app_function *app_version_function(const struct app_version *version, const char *name)
{
	for (uint32_t i = 0; i < version->nfunctions; i++)
		if (strcmp(version->functions[i].name, name) == 0)
			return &version->functions[i];
	return NULL;
}

static uint32_t count_isolates(const struct app_version *version)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < version->nfunctions; i++) {
		const struct language *language = languages_find(version->functions[i].lang);
		count += language && language->isolates;
	}
	return count;
}

const struct language *app_version_compiled(const struct app_version *version)
{
	for (uint32_t i = 0; i < version->nfunctions; i++) {
		const struct language *language = languages_find(version->functions[i].lang);
		if (language && language->compiles)
			return language;
	}
	return NULL;
}

bool app_version_isolates(const struct app_version *version)
{
	return count_isolates(version) == version->nfunctions;
}

struct spawn_limits app_version_limits(const struct app_version *version)
{
	const struct app_limits *limits = &version->limits;
	return (struct spawn_limits){.mem = limits->mem,
		.pids = (uint32_t)limits->pids,
		.cpu = (uint32_t)limits->cpu,
		.isolates = app_version_isolates(version)};
}

static void pack_env(const struct app_version *version, struct buf *b)
{
	wire_map(b, version->nenv);
	for (uint32_t i = 0; i < version->nenv; i++) {
		const char *equals = strchr(version->env[i], '=');
		wire_strn(b, version->env[i], (size_t)(equals - version->env[i]));
		wire_str(b, equals + 1);
	}
}

void app_version_pack(const struct app_version *version, struct buf *b)
{
	wire_map(b, 21 + (version->close_on_fork != 0));
	wire_kstr(b, "app", version->app);
	wire_kstr(b, "lang", version->lang);
	wire_kstr(b, "python", version->python);
	wire_kuint(b, "uid", version->uid);
	wire_kuint(b, "gid", version->gid);
	wire_key(b, "env");
	pack_env(version, b);
	wire_key(b, "limits");
	wire_map(b, 6);
	wire_kuint(b, "heap", version->limits.heap);
	wire_kuint(b, "mem", version->limits.mem);
	wire_kuint(b, "pids", version->limits.pids);
	wire_kuint(b, "cpu", version->limits.cpu);
	wire_kuint(b, "deadline_ms", version->limits.deadline_ms);
	wire_kuint(b, "output", version->limits.output);
	wire_kstr(b, "fresh", app_fresh_name(version->fresh));
	wire_kbool(b, "idempotent", version->idempotent);
	wire_kstr(b, "bind", version->shared ? "shared" : "own");
	if (version->close_on_fork)
		wire_kuint(b, "close_on_fork", version->close_on_fork);
	wire_kstr(b, "init", version->init);
	app_list_pack(&version->modules, "modules", b);
	app_list_pack(&version->path, "path", b);
	app_list_pack(&version->data, "data", b);
	app_list_pack(&version->secrets, "secrets", b);
	app_list_pack(&version->requirements, "requirements", b);
	wire_kstr(b, "requirements_file", version->requirements_file);
	wire_key(b, "functions");
	wire_array(b, version->nfunctions);
	for (uint32_t i = 0; i < version->nfunctions; i++) {
		wire_map(b, 3);
		wire_kstr(b, "name", version->functions[i].name);
		wire_kstr(b, "lang", version->functions[i].lang);
		wire_kstr(b, "handler", version->functions[i].handler);
	}
	wire_key(b, "samples");
	wire_array(b, version->nsamples);
	for (uint32_t i = 0; i < version->nsamples; i++)
		wire_bin(b, version->samples[i].data, version->samples[i].len);
	wire_kuint(b, "format", 1);
	wire_kuint(b, "bundle", version->bundle_bytes);
}

static int env_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int parse_env_item(const char *key, size_t key_len, const struct wire_value *value,
	char **ret_item, struct ramet_err *err)
{
	const char *text;
	size_t len;
	if (key_len == 0 || key_len > ENV_NAME_MAX || memchr(key, '=', key_len) ||
		memchr(key, 0, key_len))
		return err_set(err, RAMET_EINVAL, "env: a name is empty, too long, or holds '='");
	int rc = wire_as_span(value, &text, &len, err);
	if (rc < 0)
		return err_prefix(err, "env %.*s", (int)key_len, key);
	if (len > ENV_VALUE_MAX || memchr(text, 0, len))
		return err_set(err, RAMET_EINVAL, "env %.*s: the value is too long, or holds a NUL",
			(int)key_len, key);
	char *item = malloc(key_len + len + 2);
	if (!item)
		return err_nomem(err);
	memcpy(item, key, key_len);
	item[key_len] = '=';
	memcpy(item + key_len + 1, text, len);
	item[key_len + 1 + len] = 0;
	*ret_item = item;
	return 0;
}

static int parse_env(
	const struct wire_value *map, struct app_version *version, struct ramet_err *err)
{
	const struct wire_value *env, *value;
	const char *key;
	size_t key_len;
	version->env = calloc(CLIENT_MAX_ENV + 1, sizeof(char *));
	if (!version->env)
		return err_nomem(err);
	if (!wire_has(map, "env"))
		return 0;
	int rc = wire_get_map(map, "env", &env, err);
	for (uint32_t i = 0; rc == 0 && wire_pair(env, i, &key, &key_len, &value); i++) {
		if (i == CLIENT_MAX_ENV)
			return err_set(
				err, RAMET_ELIMIT, "env: more than %u variables", CLIENT_MAX_ENV);
		rc = parse_env_item(key, key_len, value, &version->env[version->nenv], err);
		if (rc == 0)
			version->nenv++;
	}
	/* the version's name must not depend on the order in which a client sends them */
	qsort(version->env, version->nenv, sizeof(char *), env_compare);
	return rc;
}

static int parse_limits(
	const struct wire_value *map, struct app_limits *limits, struct ramet_err *err)
{
	const struct wire_value *from;
	limits->output = CLIENT_MAX_PAYLOAD;
	if (!wire_has(map, "limits"))
		return 0;
	int rc = wire_get_map(map, "limits", &from, err);
	if (rc == 0)
		rc = wire_get_uint_or(from, "mem", LIMIT_MAX, 0, &limits->mem, err);
	if (rc == 0)
		rc = wire_get_uint_or(from, "heap", LIMIT_MAX, 0, &limits->heap, err);
	if (rc == 0)
		rc = wire_get_uint_or(from, "pids", UINT32_MAX, 0, &limits->pids, err);
	if (rc == 0)
		rc = wire_get_uint_or(from, "cpu", CLIENT_MAX_CPU, 0, &limits->cpu, err);
	if (rc == 0)
		rc = wire_get_uint_or(
			from, "deadline_ms", UINT32_MAX, 0, &limits->deadline_ms, err);
	if (rc == 0)
		rc = wire_get_uint_or(from, "output", CLIENT_MAX_PAYLOAD, CLIENT_MAX_PAYLOAD,
			&limits->output, err);
	if (rc == 0 && limits->cpu > 0 && limits->cpu < CLIENT_MIN_CPU)
		rc = err_set(err, RAMET_EINVAL, "limits.cpu: at least %u thousandths of a core",
			CLIENT_MIN_CPU);
	return rc;
}

/* "FILE:SYMBOL" */
static bool names_symbol(const char *handler)
{
	const char *colon = strrchr(handler, ':');
	return colon && colon != handler && colon[1];
}

static int parse_function(
	const struct wire_value *map, struct app_version *version, struct ramet_err *err)
{
	struct app_function *function = &version->functions[version->nfunctions];
	if (!map || !wire_is_map(map))
		return err_set(err, RAMET_EPROTO, "functions: a map was expected");
	int rc = wire_get_str(map, "name", function->name, sizeof(function->name), err);
	if (rc == 0)
		rc = wire_get_str(
			map, "handler", function->handler, sizeof(function->handler), err);
	if (rc == 0)
		rc = wire_get_str_or(
			map, "lang", version->lang, function->lang, sizeof(function->lang), err);
	if (rc < 0)
		return rc;
	if (!app_name_valid(function->name))
		return err_set(err, RAMET_EINVAL,
			"a function cannot be called \"%s\": use letters, digits, _ . -",
			function->name);
	if (app_version_function(version, function->name))
		return err_set(err, RAMET_EINVAL, "function %s is there twice", function->name);
	if (!names_symbol(function->handler))
		return err_set(err, RAMET_EINVAL,
			"handler of %s is \"%s\": FILE:SYMBOL was expected", function->name,
			function->handler);
	version->nfunctions++;
	return 0;
}

/* an interpreter is the process of its app; what is in it besides are engines */
static int check_languages(const struct app_version *version, struct ramet_err *err)
{
	const char *only = version->shared ? "bind: shared"
		: version->limits.heap	   ? "limits.heap"
					   : NULL;
	if (only && count_isolates(version) == 0)
		return err_set(err, RAMET_EINVAL,
			"%s is for functions that run in isolates, and this app has none (%s)",
			only, version->lang);
	if (strcmp(version->lang, "python") == 0)
		return 0;
	for (uint32_t i = 0; i < version->nfunctions; i++)
		if (strcmp(version->functions[i].lang, "python") == 0)
			return err_set(err, RAMET_EINVAL,
				"function %s is in Python, and the app's language is %s: an app "
				"with a function in Python is a Python app",
				version->functions[i].name, version->lang);
	return 0;
}

static int parse_functions(
	const struct wire_value *map, struct app_version *version, struct ramet_err *err)
{
	const struct wire_value *list;
	uint32_t count;
	int rc = wire_get_array(map, "functions", &list, &count, err);
	if (rc < 0)
		return rc;
	if (count == 0 || count > CLIENT_MAX_FUNCTIONS)
		return err_set(err, RAMET_ELIMIT, "%u functions: 1 to %u can be deployed at once",
			count, CLIENT_MAX_FUNCTIONS);
	version->functions = calloc(count, sizeof(*version->functions));
	if (!version->functions)
		return err_nomem(err);
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = parse_function(wire_at(list, i), version, err);
	return rc < 0 ? rc : check_languages(version, err);
}

static int parse_samples(
	const struct wire_value *map, struct app_version *version, struct ramet_err *err)
{
	const struct wire_value *list;
	uint32_t count;
	size_t total = 0;
	if (!wire_has(map, "samples"))
		return 0;
	int rc = wire_get_array(map, "samples", &list, &count, err);
	if (rc < 0)
		return rc;
	if (count > CLIENT_MAX_SAMPLES)
		return err_set(err, RAMET_ELIMIT, "%u samples: at most %u are allowed", count,
			CLIENT_MAX_SAMPLES);
	version->samples = calloc(count ? count : 1, sizeof(*version->samples));
	if (!version->samples)
		return err_nomem(err);
	for (uint32_t i = 0; i < count; i++) {
		const void *data;
		size_t len;
		rc = wire_as_bin(wire_at(list, i), &data, &len, err);
		if (rc < 0)
			return err_prefix(err, "samples");
		total += len;
		if (total > APP_SAMPLES_BYTES)
			return err_set(err, RAMET_ELIMIT,
				"the samples have more than %u bytes together", APP_SAMPLES_BYTES);
		struct app_sample *sample = &version->samples[i];
		sample->data = malloc(len ? len : 1);
		if (!sample->data)
			return err_nomem(err);
		memcpy(sample->data, data, len);
		sample->len = len;
		version->nsamples++;
	}
	return 0;
}

static int parse_names(
	const struct wire_value *map, struct app_version *version, struct ramet_err *err)
{
	char fresh[16];
	char bind[16];
	uint64_t close = 0;
	int rc = wire_get_str(map, "app", version->app, sizeof(version->app), err);
	if (rc == 0 && !app_name_valid(version->app))
		rc = err_set(err, RAMET_EINVAL,
			"an app cannot be called \"%s\": use letters, digits, _ . -", version->app);
	if (rc == 0)
		rc = wire_get_str(map, "lang", version->lang, sizeof(version->lang), err);
	if (rc == 0)
		rc = wire_get_str_or(
			map, "python", "", version->python, sizeof(version->python), err);
	if (rc == 0 && version->python[0] && version->python[0] != '/')
		rc = err_set(err, RAMET_EINVAL, "python: \"%s\" is not an absolute path",
			version->python);
	if (rc == 0)
		rc = wire_get_str_or(map, "fresh", "reuse", fresh, sizeof(fresh), err);
	if (rc == 0 && app_fresh_from_name(fresh, &version->fresh) < 0)
		rc = err_set(
			err, RAMET_EINVAL, "fresh: \"%s\" is none of reuse, reset, fresh", fresh);
	if (rc == 0)
		rc = wire_get_str_or(map, "bind", "own", bind, sizeof(bind), err);
	if (rc == 0 && strcmp(bind, "own") != 0 && strcmp(bind, "shared") != 0)
		rc = err_set(err, RAMET_EINVAL, "bind: \"%s\" is none of own, shared", bind);
	if (rc == 0)
		version->shared = strcmp(bind, "shared") == 0;
	if (rc == 0)
		rc = wire_get_bool_or(map, "idempotent", false, &version->idempotent, err);
	if (rc == 0)
		rc = wire_get_uint_or(map, "close_on_fork", CLIENT_CLOSE_ALL, 0, &close, err);
	version->close_on_fork = (unsigned)close;
	return rc;
}

/* what is done before the capture, and what instances see */
static int parse_setup(
	const struct wire_value *map, struct app_version *version, struct ramet_err *err)
{
	static const struct app_list_rule modules = {
		"modules", CLIENT_MAX_MODULES, app_check_module};
	static const struct app_list_rule requirements = {
		"requirements", CLIENT_MAX_REQUIREMENTS, app_check_requirement};
	static const struct app_list_rule secrets = {
		"secrets", CLIENT_MAX_SECRETS, app_check_secret};
	static const struct app_list_rule path = {"path", CLIENT_MAX_PATH, app_check_path};
	static const struct app_list_rule data = {"data", CLIENT_MAX_DATA, app_check_data};
	int rc = wire_get_str_or(map, "init", "", version->init, sizeof(version->init), err);
	if (rc == 0 && version->init[0] && !names_symbol(version->init))
		rc = err_set(err, RAMET_EINVAL, "init is \"%s\": FILE:SYMBOL was expected",
			version->init);
	if (rc == 0)
		rc = app_list_parse(map, &modules, &version->modules, err);
	if (rc == 0)
		rc = app_list_parse(map, &path, &version->path, err);
	if (rc == 0)
		rc = app_list_parse(map, &data, &version->data, err);
	if (rc == 0)
		rc = app_list_parse(map, &secrets, &version->secrets, err);
	if (rc == 0)
		rc = app_list_parse(map, &requirements, &version->requirements, err);
	if (rc == 0)
		rc = wire_get_str_or(map, "requirements_file", "", version->requirements_file,
			sizeof(version->requirements_file), err);
	if (rc < 0 || strcmp(version->lang, "python") == 0)
		return rc;
	bool requires = version->requirements.count || version->requirements_file[0];
	const char *only = version->modules.count ? "modules"
		: version->path.count		  ? "path"
		: requires			  ? "requirements"
						  : NULL;
	if (only)
		return err_set(err, RAMET_EINVAL, "%s: only Python has that, and this app is %s",
			only, version->lang);
	return 0;
}

static int parse_owner(
	const struct wire_value *map, struct app_version *version, struct ramet_err *err)
{
	uint64_t uid, gid;
	int rc = wire_get_uint_or(map, "uid", UINT32_MAX - 1, 0, &uid, err);
	if (rc == 0)
		rc = wire_get_uint_or(map, "gid", UINT32_MAX - 1, 0, &gid, err);
	if (rc == 0)
		rc = wire_get_uint_or(map, "bundle", LIMIT_MAX, 0, &version->bundle_bytes, err);
	if (rc == 0) {
		version->uid = (uid_t)uid;
		version->gid = (gid_t)gid;
	}
	return rc;
}

int app_version_parse(const struct wire_value *map, const char *id,
	struct app_version **ret_version, struct ramet_err *err)
{
	if (!version_valid(id))
		return err_set(err, RAMET_EPROTO, "a version is named by %u hexadecimal digits",
			VERSION_HEX);
	auto_app_version struct app_version *version = calloc(1, sizeof(*version));
	if (!version)
		return err_nomem(err);
	version->refs = 1;
	memcpy(version->id, id, VERSION_HEX + 1);
	int rc = parse_names(map, version, err);
	if (rc == 0)
		rc = parse_owner(map, version, err);
	if (rc == 0)
		rc = parse_env(map, version, err);
	if (rc == 0)
		rc = parse_limits(map, &version->limits, err);
	if (rc == 0)
		rc = parse_functions(map, version, err);
	if (rc == 0)
		rc = parse_setup(map, version, err);
	if (rc == 0)
		rc = parse_samples(map, version, err);
	if (rc < 0)
		return rc;
	*ret_version = steal_ptr(&version);
	return 0;
}
