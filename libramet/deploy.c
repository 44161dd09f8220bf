/* Deploying: what a path and the caller's options mean, the request, and its answers. */
#include "cluster/client_proto.h"
#include "libramet/app_config.h"
#include "libramet/call.h"
#include "libramet/deployment.h"
#include "libramet/files.h"
#include "libramet/result.h"
#include "libramet/samples.h"
#include "libramet/stream.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void deployment_fini(struct deployment *d)
{
	app_config_fini(&d->config);
	free(d->functions);
	files_fini(&d->files);
	samples_fini(&d->samples);
}

static int put(char **dst, const char *value, struct ramet_err *err)
{
	if (!value || !*value)
		return 0;
	char *copy = strdup(value);
	if (!copy)
		return err_nomem(err);
	free(*dst);
	*dst = copy;
	return 0;
}

/* the caller's options go over what ramet.yaml says */
static int put_options(
	struct app_config *config, const struct ramet_deploy_options *o, struct ramet_err *err)
{
	int rc = put(&config->name, o->name, err);
	if (rc == 0)
		rc = put(&config->app, o->app, err);
	if (rc == 0)
		rc = put(&config->lang, o->lang, err);
	if (rc == 0)
		rc = put(&config->handler, o->handler, err);
	if (rc == 0)
		rc = put(&config->python, o->python, err);
	if (rc == 0)
		rc = put(&config->fresh, o->fresh, err);
	for (size_t i = 0; rc == 0 && o->env && o->env[i]; i++)
		rc = app_config_env(config, o->env[i], err);
	if (o->idempotent)
		config->idempotent = true;
	if (o->deadline_ms)
		config->limits.deadline_ms = o->deadline_ms;
	if (o->mem)
		config->limits.mem = o->mem;
	if (o->output)
		config->limits.output = o->output;
	return rc;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* the function's name when nobody gave one: the file's or directory's, without extension */
static int default_name(struct app_config *config, const char *real, struct ramet_err *err)
{
	if (config->name)
		return 0;
	char name[NAME_MAX + 1];
	snprintf(name, sizeof(name), "%.*s", NAME_MAX, base_name(real));
	char *dot = strrchr(name, '.');
	if (dot && dot != name)
		*dot = '\0';
	if (call_check_name(name, NULL) < 0)
		return err_set(err, RAMET_EINVAL,
			"\"%s\" cannot be a function's name: give one with --name (or name: in "
			"ramet.yaml)",
			name);
	return put(&config->name, name, err);
}

static const char *lang_of(const char *file)
{
	static const struct {
		const char *extension, *lang;
	} known[] = {{".py", "python"}, {".so", "native"}, {".lua", "lua"}, {".js", "js"},
		{".mjs", "js"}, {".wasm", "wasm"}};
	const char *dot = strrchr(file, '.');
	for (size_t i = 0; dot && i < ARRAY_LEN(known); i++)
		if (strcmp(dot, known[i].extension) == 0)
			return known[i].lang;
	return NULL;
}

/* given: what ramet.yaml says of this function, over what is said of all of them */
static int find_lang(const struct deployment *d, const char *file, const char *given,
	const char **ret_lang, struct ramet_err *err)
{
	*ret_lang = given ? given : d->config.lang ? d->config.lang : lang_of(file);
	if (*ret_lang)
		return 0;
	return err_set(err, RAMET_EINVAL,
		"%s: no language known by its extension (.py is python, .so native, .lua lua, .js "
		"js, .wasm wasm); say it with --lang",
		file);
}

static const char *lang_of_process(const struct deployment *d)
{
	for (size_t i = 0; i < d->nfunctions; i++)
		if (strcmp(d->functions[i].lang, "python") == 0)
			return d->functions[i].lang;
	return d->functions[0].lang;
}

/* one function; only: the one file deployed, or NULL for a directory */
static int add_function(struct deployment *d, const struct app_function_config *config,
	const char *only, struct ramet_err *err)
{
	const char *name = config->name, *given = config->handler;
	const char *colon = given ? strrchr(given, ':') : NULL;
	char file[CLIENT_PATH_MAX + 1];
	int rc = call_check_name(name, err);
	if (rc < 0)
		return rc;
	if (!colon && !only)
		return err_set(err, RAMET_ECONFIG,
			"%s: a directory needs handler: FILE:SYMBOL, as in app.py:handler", name);
	if (colon)
		snprintf(file, sizeof(file), "%.*s", (int)MIN(colon - given, CLIENT_PATH_MAX),
			given);
	else
		snprintf(file, sizeof(file), "%s", only);
	const char *symbol = colon ? colon + 1 : given ? given : "handler";
	if (!*symbol || strlen(symbol) > 128)
		return err_set(err, RAMET_ECONFIG, "handler \"%s\" names no symbol", given);
	if (!files_find(&d->files, file))
		return err_set(err, RAMET_ECONFIG,
			"handler \"%s\": %s is not among the files deployed", symbol, file);
	struct deployed_function *function = &d->functions[d->nfunctions++];
	snprintf(function->name, sizeof(function->name), "%s", name);
	snprintf(function->handler, sizeof(function->handler), "%s:%s", file, symbol);
	return find_lang(d, file, config->lang, &function->lang, err);
}

static int set_functions(struct deployment *d, const char *only, struct ramet_err *err)
{
	const struct app_config *c = &d->config;
	d->functions = calloc(c->nfunctions + 1, sizeof(*d->functions));
	if (!d->functions)
		return err_nomem(err);
	const struct app_function_config alone = {.name = c->name, .handler = c->handler};
	int rc = c->nfunctions == 0 ? add_function(d, &alone, only, err) : 0;
	for (size_t i = 0; i < c->nfunctions && rc == 0; i++)
		rc = add_function(d, &c->functions[i], NULL, err);
	if (rc == 0)
		d->lang = lang_of_process(d);
	return rc;
}

/* an app that lists its functions has no other name of its own than the directory's */
static int name_app(struct app_config *config, struct ramet_err *err)
{
	if (config->nfunctions == 0 || config->app)
		return 0;
	return put(&config->app, config->name, err);
}

static int load_dir(struct deployment *d, const char *dir, struct ramet_err *err)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/" APP_CONFIG_FILE, dir) >= (int)sizeof(path))
		return err_set(err, RAMET_EINVAL, "path is too long: %s", dir);
	if (access(path, F_OK) == 0)
		return app_config_load(path, &d->config, err);
	return 0; /* the options may say all that is needed */
}

static int load_files(struct deployment *d, const char *dir, struct ramet_err *err)
{
	int rc = 0;
	if (d->config.files.count == 0)
		rc = files_add_all(&d->files, dir, err);
	for (size_t i = 0; rc == 0 && i < d->config.files.count; i++) {
		rc = files_add(&d->files, dir, d->config.files.v[i], err);
		if (rc < 0)
			err_prefix(err, APP_CONFIG_FILE ": files");
	}
	files_sort(&d->files);
	return rc;
}

/* the option's path is the caller's, that of ramet.yaml lies beside it */
static int load_samples(
	struct deployment *d, const char *dir, const char *given, struct ramet_err *err)
{
	char path[PATH_MAX];
	if (given && *given)
		return samples_load(&d->samples, given, err);
	if (!d->config.samples)
		return 0;
	if (snprintf(path, sizeof(path), "%s/%s", dir, d->config.samples) >= (int)sizeof(path))
		return err_set(err, RAMET_EINVAL, "path is too long: %s", d->config.samples);
	int rc = samples_load(&d->samples, path, err);
	return rc < 0 ? err_prefix(err, APP_CONFIG_FILE ": samples") : 0;
}

static int load(struct deployment *d, const char *path, const struct ramet_deploy_options *o,
	struct ramet_err *err)
{
	char real[PATH_MAX];
	struct stat st;
	if (!realpath(path, real) || stat(real, &st) < 0)
		return err_errno(
			err, errno == ENOENT ? RAMET_ENOTFOUND : RAMET_EIO, "deploy %s", path);
	bool is_dir = S_ISDIR(st.st_mode);
	int rc = is_dir ? load_dir(d, real, err) : 0;
	if (rc == 0)
		rc = put_options(&d->config, o, err);
	if (rc == 0 && d->config.nfunctions > 0 && (o->name || o->handler))
		rc = err_set(err, RAMET_EINVAL,
			"%s lists functions: their names and handlers are given there",
			APP_CONFIG_FILE);
	if (rc == 0)
		rc = default_name(&d->config, real, err);
	if (rc == 0)
		rc = name_app(&d->config, err);
	if (rc == 0)
		rc = call_check_name(d->config.name, err);
	if (rc == 0 && d->config.app)
		rc = call_check_name(d->config.app, err);
	if (rc < 0)
		return rc;
	if (is_dir) {
		rc = load_files(d, real, err);
	} else {
		char *slash = strrchr(real, '/');
		*slash = '\0';
		rc = files_add(&d->files, *real ? real : "/", slash + 1, err);
	}
	if (rc == 0)
		rc = set_functions(d, is_dir ? NULL : d->files.v[0].path, err);
	if (rc == 0)
		rc = load_samples(d, real, o->samples, err);
	d->node = o->node;
	return rc;
}

static int tell_progress(
	const struct message *message, const struct ramet_deploy_options *o, struct ramet_err *err)
{
	char stage[32], text[512];
	double fraction;
	int rc = wire_get_str(message->root, "stage", stage, sizeof(stage), err);
	if (rc == 0)
		rc = wire_get_str_or(message->root, "text", "", text, sizeof(text), err);
	if (rc == 0)
		rc = wire_get_double_or(message->root, "fraction", 0, &fraction, err);
	if (rc == 0 && o->progress)
		o->progress(o->user, stage, text, fraction);
	return rc;
}

static int follow(struct stream *stream, const char *function, const struct ramet_deploy_options *o,
	struct ramet_result **ret_result, struct ramet_err *err)
{
	auto_result struct ramet_result *result = NULL;
	for (;;) {
		auto_message struct message *message = NULL;
		int rc = stream_next(stream, DEADLINE_NONE, &message, err);
		if (rc < 0)
			return rc;
		if (message_is(message, "progress")) {
			rc = tell_progress(message, o, err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (!message_is(message, "error"))
			rc = stream_expect(message, "deployed", err);
		if (rc == 0)
			rc = result_parse(message, function, &result, err);
		if (rc < 0)
			return rc;
		rc = result_status(result, err);
		if (ret_result)
			*ret_result = steal_ptr(&result);
		return rc;
	}
}

static int whole_options(const struct ramet_deploy_options *options,
	struct ramet_deploy_options *ret_options, struct ramet_err *err)
{
	struct ramet_deploy_options ours = ramet_deploy_options_default();
	if (options && options->size < sizeof(options->size))
		return err_set(err, RAMET_EINVAL,
			"deploy options have no size: use ramet_deploy_options_default()");
	if (options)
		memcpy(&ours, options, MIN(options->size, sizeof(ours)));
	ours.size = sizeof(ours);
	*ret_options = ours;
	return 0;
}

int ramet_deploy(struct ramet *ramet, const char *path, const struct ramet_deploy_options *options,
	struct ramet_result **ret_result, struct ramet_err *err)
{
	struct ramet_deploy_options ours;
	CLEANUP(deployment_fini) struct deployment d = {0};
	auto_stream struct stream *stream = NULL;
	if (ret_result)
		*ret_result = NULL;
	int rc = whole_options(options, &ours, err);
	if (rc == 0)
		rc = load(&d, path, &ours, err);
	if (rc == 0)
		rc = stream_open(
			ramet, "deploy", DEPLOYMENT_PAIRS, deployment_pack, &d, &stream, err);
	return rc < 0 ? rc : follow(stream, d.functions[0].name, &ours, ret_result, err);
}

struct rollback {
	const char *function, *version;
};

static void pack_rollback(struct buf *b, const void *arg)
{
	const struct rollback *rollback = arg;
	wire_kstr(b, "name", rollback->function);
	wire_kstr(b, "version", rollback->version);
}

int ramet_rollback(struct ramet *ramet, const char *function, const char *version,
	struct ramet_result **ret_result, struct ramet_err *err)
{
	const struct ramet_deploy_options options = ramet_deploy_options_default();
	const struct rollback rollback = {function, version};
	auto_stream struct stream *stream = NULL;
	if (ret_result)
		*ret_result = NULL;
	int rc = call_check_name(function, err);
	if (rc == 0)
		rc = stream_open(ramet, "rollback", 2, pack_rollback, &rollback, &stream, err);
	return rc < 0 ? rc : follow(stream, function, &options, ret_result, err);
}

static void pack_remove(struct buf *b, const void *arg)
{
	wire_kstr(b, "name", arg);
}

int ramet_remove(struct ramet *ramet, const char *function, struct ramet_err *err)
{
	int rc = call_check_name(function, err);
	if (rc < 0)
		return rc;
	return stream_request(
		ramet, "remove", 1, pack_remove, function, DEADLINE_NONE, "removed", NULL, err);
}
