/* Command lines of hosts: see seeds_command.h. */
#include "cluster/seeds_command.h"

#include "cluster/installed.h"
#include "cluster/languages.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_MAX_ARGS (CLIENT_MAX_REQUIREMENTS + 16)
#define COMMAND_MAX_ENV (CLIENT_MAX_ENV + 16)

struct command {
	char *argv[COMMAND_MAX_ARGS + 1];
	char *env[COMMAND_MAX_ENV + 1];
	unsigned argc, envc;
};

void command_destroy(struct command *command)
{
	if (!command)
		return;
	for (unsigned i = 0; i < command->argc; i++)
		free(command->argv[i]);
	for (unsigned i = 0; i < command->envc; i++)
		free(command->env[i]);
	free(command);
}

const char *const *command_argv(const struct command *command)
{
	return (const char *const *)command->argv;
}

const char *const *command_env(const struct command *command)
{
	return (const char *const *)command->env;
}

static int add(char **list, unsigned *count, unsigned max, const char *text, struct ramet_err *err)
{
	if (*count == max)
		return err_set(
			err, RAMET_ELIMIT, "more than %u arguments or variables for a host", max);
	list[*count] = strdup(text);
	if (!list[*count])
		return err_nomem(err);
	(*count)++;
	return 0;
}

static int add_arg(struct command *c, const char *text, struct ramet_err *err)
{
	return add(c->argv, &c->argc, COMMAND_MAX_ARGS, text, err);
}

static bool has_variable(const struct command *c, const char *variable)
{
	size_t len = strcspn(variable, "=") + 1;
	for (unsigned i = 0; i < c->envc; i++)
		if (strncmp(c->env[i], variable, len) == 0)
			return true;
	return false;
}

/* the deployment's own variables go before ours */
static int add_env(struct command *c, const char *variable, struct ramet_err *err)
{
	return has_variable(c, variable) ? 0
					 : add(c->env, &c->envc, COMMAND_MAX_ENV, variable, err);
}

/* Libraries of numerics start threads when they are imported; a node runs many instances, which one
 * thread each serves best. */
static const char *const defaults[] = {
	"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8", "OMP_NUM_THREADS=1",
	"OPENBLAS_NUM_THREADS=1", "MKL_NUM_THREADS=1", "NUMEXPR_NUM_THREADS=1",
	"LD_BIND_NOW=1", /* symbols are looked up once, by the host, and not by each clone */
};

static int fill_env(struct command *c, const struct app_version *app, struct ramet_err *err)
{
	int rc = 0;
	for (uint32_t i = 0; i < app->nenv && rc == 0; i++)
		rc = add_env(c, app->env[i], err);
	for (size_t i = 0; i < ARRAY_LEN(defaults) && rc == 0; i++)
		rc = add_env(c, defaults[i], err);
	return rc;
}

static int native_argv(struct command *c, struct ramet_err *err)
{
	static const char *const places[] = {
		"ramet-host", "../libexec/ramet/ramet-host", "../bin/ramet-host"};
	char path[PATH_MAX];
	const char *given = getenv("RAMET_HOST"); /* another one, for tests */
	if (given && *given)
		return add_arg(c, given, err);
	int rc = installed_find(places, ARRAY_LEN(places), "ramet-host", path, sizeof(path), err);
	return rc < 0 ? rc : add_arg(c, path, err);
}

/* The interpreter that the app names runs the engine. Preloaded, libramet-host's madvise() comes
 * before libc's for every library of the process (runtime/host/interpose.h). */
static int python_argv(struct command *c, const char *python, struct ramet_err *err)
{
	static const char *const engines[] = {"../python/ramet_host/__main__.py",
		"../" RAMET_LIBDIR "/ramet/python/ramet_host/__main__.py"};
	static const char *const libraries[] = {
		"../lib/libramet-host.so.0", "../" RAMET_LIBDIR "/libramet-host.so.0"};
	char path[PATH_MAX];
	char preload[PATH_MAX + 16];
	int rc = add_arg(c, python, err);
	if (rc == 0)
		rc = installed_find(
			engines, ARRAY_LEN(engines), "the Python engine", path, sizeof(path), err);
	if (rc == 0)
		rc = add_arg(c, path, err);
	if (rc == 0)
		rc = installed_find(libraries, ARRAY_LEN(libraries), "libramet-host.so", path,
			sizeof(path), err);
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", path);
	return rc < 0 ? rc : add_env(c, preload, err);
}

int command_create(const struct app_version *app, const char *python, struct command **ret_command,
	struct ramet_err *err)
{
	AUTO(command_destroy) struct command *c = calloc(1, sizeof(*c));
	if (!c)
		return err_nomem(err);
	const struct language *language = languages_find(app->lang);
	int rc = command_check_languages(app, err);
	if (rc == 0)
		rc = language->is_python ? python_argv(c, python, err) : native_argv(c, err);
	if (rc == 0)
		rc = fill_env(c, app, err);
	if (rc < 0)
		return rc;
	*ret_command = steal_ptr(&c);
	return 0;
}

/* pip's settings are the user's own: HOME is found by the program */
static int environment_env(struct command *c, const struct app_version *app, struct ramet_err *err)
{
	int rc = 0;
	for (uint32_t i = 0; i < app->nenv && rc == 0; i++)
		rc = add_env(c, app->env[i], err);
	if (rc == 0)
		rc = add_env(c, "PATH=/usr/local/bin:/usr/bin:/bin", err);
	return rc < 0 ? rc : add_env(c, "LANG=C.UTF-8", err);
}

int command_create_environment(const struct app_version *app, const char *python, const char *root,
	struct command **ret_command, struct ramet_err *err)
{
	static const char *const places[] = {"../python/ramet_host/environment.py",
		"../" RAMET_LIBDIR "/ramet/python/ramet_host/environment.py"};
	char path[PATH_MAX];
	AUTO(command_destroy) struct command *c = calloc(1, sizeof(*c));
	if (!c)
		return err_nomem(err);
	int rc = installed_find(
		places, ARRAY_LEN(places), "environment.py", path, sizeof(path), err);
	if (rc == 0)
		rc = add_arg(c, app->python[0] ? app->python : python, err);
	const char *const fixed[] = {"-B", path, root};
	for (size_t i = 0; i < ARRAY_LEN(fixed) && rc == 0; i++)
		rc = add_arg(c, fixed[i], err);
	if (rc == 0 && app->requirements_file[0])
		rc = add_arg(c, "--file", err);
	if (rc == 0 && app->requirements_file[0])
		rc = add_arg(c, app->requirements_file, err);
	for (uint32_t i = 0; i < app->requirements.count && rc == 0; i++)
		rc = add_arg(c, app->requirements.v[i], err);
	if (rc == 0)
		rc = environment_env(c, app, err);
	if (rc < 0)
		return rc;
	*ret_command = steal_ptr(&c);
	return 0;
}

/* the file of a handler, once */
static int add_file(struct command *c, unsigned first, const char *handler, struct ramet_err *err)
{
	char file[APP_HANDLER_MAX + 1];
	const char *colon = strrchr(handler, ':');
	if (!colon || colon == handler)
		return 0; /* the engine says what is wrong with it */
	snprintf(file, sizeof(file), "%.*s", (int)(colon - handler), handler);
	for (unsigned i = first; i < c->argc; i++)
		if (strcmp(c->argv[i], file) == 0)
			return 0;
	return add_arg(c, file, err);
}

int command_create_compiler(const struct app_version *app, const char *root,
	struct command **ret_command, struct ramet_err *err)
{
	char name[32];
	char installed[64];
	char path[PATH_MAX];
	char below[PATH_MAX];
	const struct language *language = app_version_compiled(app);
	if (!language)
		return err_set(err, RAMET_EINVAL, "nothing of %s is to be compiled", app->app);
	snprintf(name, sizeof(name), "ramet-%s", language->name);
	snprintf(installed, sizeof(installed), "../libexec/ramet/%s", name);
	const char *const places[] = {name, installed};
	AUTO(command_destroy) struct command *c = calloc(1, sizeof(*c));
	if (!c)
		return err_nomem(err);
	int rc = installed_find(places, ARRAY_LEN(places), name, path, sizeof(path), err);
	snprintf(below, sizeof(below), "%s/%s", root, language->name);
	const char *const fixed[] = {path, "--host", below};
	for (size_t i = 0; i < ARRAY_LEN(fixed) && rc == 0; i++)
		rc = add_arg(c, fixed[i], err);
	unsigned first = c->argc;
	for (uint32_t i = 0; i < app->nfunctions && rc == 0; i++)
		if (strcmp(app->functions[i].lang, language->name) == 0)
			rc = add_file(c, first, app->functions[i].handler, err);
	if (rc == 0 && strcmp(app->lang, language->name) == 0)
		rc = add_file(c, first, app->init, err);
	/* nothing of the app's: the same files become the same objects */
	if (rc == 0)
		rc = add_env(c, "PATH=/usr/local/bin:/usr/bin:/bin", err);
	if (rc == 0)
		rc = add_env(c, "LANG=C.UTF-8", err);
	if (rc < 0)
		return rc;
	*ret_command = steal_ptr(&c);
	return 0;
}
