/* What the host of an app is told to load, and with which engines: see seeds_command.h. */
#include "cluster/languages.h"
#include "cluster/seeds_command.h"

#include <limits.h>
#include <string.h>

static int find_language(
	const char *name, const struct language **ret_language, struct ramet_err *err)
{
	char names[128];
	*ret_language = languages_find(name);
	if (*ret_language)
		return 0;
	languages_names(names, sizeof(names));
	return err_set(err, RAMET_ENOTSUP, "language %s: this rametd runs %s", name, names);
}

/* where the engine of a function is, "" where it is the host's own */
static int engine_of(const struct app_version *app, const struct app_function *function,
	char path[PATH_MAX], struct ramet_err *err)
{
	const struct language *own, *language;
	int rc = find_language(app->lang, &own, err);
	if (rc == 0)
		rc = find_language(function->lang, &language, err);
	return rc < 0 ? rc : languages_engine(language, own, path, PATH_MAX, err);
}

int command_check_languages(const struct app_version *app, struct ramet_err *err)
{
	char path[PATH_MAX];
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < app->nfunctions; i++)
		rc = engine_of(app, &app->functions[i], path, err);
	return rc;
}

static bool is_first_of_language(const struct app_version *app, uint32_t function)
{
	for (uint32_t i = 0; i < function; i++)
		if (strcmp(app->functions[i].lang, app->functions[function].lang) == 0)
			return false;
	return true;
}

static int pack_functions(const struct app_version *app, struct buf *b, struct ramet_err *err)
{
	char path[PATH_MAX];
	wire_key(b, "functions");
	wire_array(b, app->nfunctions);
	for (uint32_t i = 0; i < app->nfunctions; i++) {
		int rc = engine_of(app, &app->functions[i], path, err);
		if (rc < 0)
			return rc;
		wire_map(b, path[0] ? 3 : 2);
		if (path[0])
			wire_kstr(b, "lang", app->functions[i].lang);
		wire_kstr(b, "name", app->functions[i].name);
		wire_kstr(b, "handler", app->functions[i].handler);
	}
	return 0;
}

static void pack_env(const struct app_version *app, struct buf *b)
{
	wire_key(b, "env");
	wire_map(b, app->nenv);
	for (uint32_t i = 0; i < app->nenv; i++) {
		const char *variable = app->env[i];
		const char *value = strchr(variable, '=');
		wire_strn(b, variable, value ? (size_t)(value - variable) : strlen(variable));
		wire_str(b, value ? value + 1 : "");
	}
}

/* {language: path of its engine} */
static int pack_languages(const struct app_version *app, struct buf *b, struct ramet_err *err)
{
	char path[PATH_MAX];
	uint32_t count = 0;
	for (int write = 0; write < 2; write++) {
		if (write) {
			wire_key(b, "languages");
			wire_map(b, count);
		}
		for (uint32_t i = 0; i < app->nfunctions; i++) {
			int rc = engine_of(app, &app->functions[i], path, err);
			if (rc < 0)
				return rc;
			if (!path[0] || !is_first_of_language(app, i))
				continue;
			if (write)
				wire_kstr(b, app->functions[i].lang, path);
			else
				count++;
		}
	}
	return 0;
}

/* instances of none are brought back: then nothing need be kept for that */
static bool any_resets(const struct app_version *app)
{
	for (uint32_t i = 0; i < app->nfunctions; i++)
		if (app_version_resets(app, app->functions[i].name))
			return true;
	return false;
}

int command_pack_load(const struct app_version *app, const char *type, const char *dir,
	const char *compiled, struct buf *b, struct ramet_err *err)
{
	wire_map(b, 5);
	wire_kstr(b, "t", type);
	wire_kstr(b, "dir", dir);
	int rc = pack_functions(app, b, err);
	if (rc < 0)
		return rc;
	pack_env(app, b);
	wire_key(b, "config");
	wire_map(b, compiled ? 9 : 8);
	if (compiled)
		wire_kstr(b, "compiled", compiled);
	rc = pack_languages(app, b, err);
	if (rc < 0)
		return rc;
	wire_kstr(b, "lang", app->lang);
	wire_kbool(b, "reset", any_resets(app));
	wire_kbool(b, "isolates", app_version_isolates(app));
	wire_kuint(b, "heap", app_version_heap(app));
	wire_kstr(b, "init", app->init);
	app_list_pack(&app->modules, "modules", b);
	app_list_pack(&app->path, "path", b);
	return wire_end(b, err);
}
