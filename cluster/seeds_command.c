/* Command lines of hosts: see seeds_command.h. */
#include "cluster/seeds_command.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND_MAX_ARGS 16
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

/* Only single-threaded hosts can be captured, and libraries of numerics start threads when they are
 * imported. */
static const char *const defaults[] = {
	"PATH=/usr/local/bin:/usr/bin:/bin",
	"HOME=/tmp",
	"LANG=C.UTF-8",
	"OMP_NUM_THREADS=1",
	"OPENBLAS_NUM_THREADS=1",
	"MKL_NUM_THREADS=1",
	"NUMEXPR_NUM_THREADS=1",
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

/* ramet-host: beside this program, or where an installation has it */
static int find_host(char *dst, size_t cap, struct ramet_err *err)
{
	static const char *const places[] = {
		"ramet-host", "../libexec/ramet/ramet-host", "../bin/ramet-host"};
	char self[PATH_MAX];
	const char *given = getenv("RAMET_HOST");
	if (given && *given) {
		snprintf(dst, cap, "%s", given);
		return 0;
	}
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return err_errno(err, RAMET_EIO, "read /proc/self/exe");
	self[n] = '\0';
	const char *dir = dirname(self);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		int len = snprintf(dst, cap, "%s/%s", dir, places[i]);
		if (len > 0 && (size_t)len < cap && access(dst, X_OK) == 0)
			return 0;
	}
	return err_set(err, RAMET_ENOTFOUND,
		"ramet-host is not in %s: install it, or say where it is with RAMET_HOST", dir);
}

static int native_argv(struct command *c, struct ramet_err *err)
{
	char path[PATH_MAX];
	int rc = find_host(path, sizeof(path), err);
	return rc < 0 ? rc : add_arg(c, path, err);
}

int command_create(
	const struct app_version *app, struct command **ret_command, struct ramet_err *err)
{
	AUTO(command_destroy) struct command *c = calloc(1, sizeof(*c));
	if (!c)
		return err_nomem(err);
	if (strcmp(app->lang, "native") != 0)
		return err_set(err, RAMET_ENOTSUP,
			"language %s: this build of rametd has no engine for it", app->lang);
	int rc = native_argv(c, err);
	if (rc == 0)
		rc = fill_env(c, app, err);
	if (rc < 0)
		return rc;
	*ret_command = steal_ptr(&c);
	return 0;
}

int command_pack_load(
	const struct app_version *app, const char *dir, struct buf *b, struct ramet_err *err)
{
	wire_map(b, 5);
	wire_kstr(b, "t", "load");
	wire_kstr(b, "dir", dir);
	wire_key(b, "functions");
	wire_array(b, app->nfunctions);
	for (uint32_t i = 0; i < app->nfunctions; i++) {
		wire_map(b, 2);
		wire_kstr(b, "name", app->functions[i].name);
		wire_kstr(b, "handler", app->functions[i].handler);
	}
	wire_key(b, "env");
	wire_map(b, app->nenv);
	for (uint32_t i = 0; i < app->nenv; i++) {
		const char *variable = app->env[i];
		const char *value = strchr(variable, '=');
		wire_strn(b, variable, value ? (size_t)(value - variable) : strlen(variable));
		wire_str(b, value ? value + 1 : "");
	}
	wire_key(b, "config");
	wire_map(b, 0);
	return wire_end(b, err);
}
