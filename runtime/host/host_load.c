/* load: what the engine is to load, copied to memory that lives as long as the process. */
#include "runtime/host/host_internal.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "runtime/host_proto.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOAD_MAX_FUNCTIONS 1024
#define LOAD_MAX_ENV 4096
#define LOAD_MAX_LIST 1024

static char *keep(struct message_span span)
{
	if (memchr(span.data, 0, span.len))
		return NULL;
	return strndup(span.data, span.len);
}

static int read_function(struct message_reader *r, struct engine_function *ret)
{
	uint32_t pairs;
	int rc = message_read_map(r, &pairs);
	for (uint32_t i = 0; rc == 0 && i < pairs; i++) {
		struct message_span key;
		struct message_span value;
		rc = message_read_str(r, &key);
		if (rc < 0)
			break;
		const char **field = message_is(key, "name") ? &ret->name
			: message_is(key, "handler")	     ? &ret->handler
							     : NULL;
		rc = field ? message_read_str(r, &value) : message_skip(r);
		if (rc == 0 && field && !*field)
			*field = keep(value);
	}
	return rc == 0 && (!ret->name || !ret->handler) ? RAMET_EPROTO : rc;
}

static int read_functions(struct host *host, struct message_reader r)
{
	uint32_t count;
	if (message_read_array(&r, &count) < 0 || count > LOAD_MAX_FUNCTIONS)
		return RAMET_EPROTO;
	host->functions = calloc(count + 1, sizeof(*host->functions));
	if (!host->functions)
		return RAMET_ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		int rc = read_function(&r, &host->functions[i]);
		if (rc < 0)
			return rc;
		host->nfunctions++;
	}
	return 0;
}

static int read_env(struct message_reader r, struct engine_env **ret_env, unsigned *ret_count)
{
	uint32_t pairs = 0;
	if (r.at == r.end)
		return 0;
	if (message_read_map(&r, &pairs) < 0 || pairs > LOAD_MAX_ENV)
		return RAMET_EPROTO;
	struct engine_env *env = calloc(pairs + 1, sizeof(*env));
	if (!env)
		return RAMET_ENOMEM;
	*ret_env = env;
	*ret_count = pairs;
	for (uint32_t i = 0; i < pairs; i++) {
		struct message_span name;
		struct message_span value;
		if (message_read_str(&r, &name) < 0 || message_read_str(&r, &value) < 0)
			return RAMET_EPROTO;
		env[i] = (struct engine_env){keep(name), keep(value)};
		if (!env[i].name || !env[i].value || setenv(env[i].name, env[i].value, 1) < 0)
			return RAMET_EPROTO;
	}
	return 0;
}

static int read_list(struct message_reader *r, const char *const **ret_list, unsigned *ret_count)
{
	uint32_t count = 0;
	if (*ret_list || message_read_array(r, &count) < 0 || count > LOAD_MAX_LIST)
		return RAMET_EPROTO;
	const char **list = calloc(count + 1, sizeof(*list));
	if (!list)
		return RAMET_ENOMEM;
	*ret_list = list;
	for (uint32_t i = 0; i < count; i++) {
		struct message_span item;
		if (message_read_str(r, &item) < 0)
			return RAMET_EPROTO;
		list[i] = keep(item);
		if (!list[i])
			return RAMET_EPROTO;
	}
	*ret_count = count;
	return 0;
}

static int read_config(struct message_reader r, struct engine_load *load)
{
	uint32_t pairs = 0;
	int rc = r.at == r.end ? 0 : message_read_map(&r, &pairs);
	for (uint32_t i = 0; rc == 0 && i < pairs; i++) {
		struct message_span key;
		struct message_span value;
		rc = message_read_str(&r, &key);
		if (rc == 0 && message_is(key, "modules")) {
			rc = read_list(&r, &load->modules, &load->nmodules);
		} else if (rc == 0 && message_is(key, "path")) {
			rc = read_list(&r, &load->path, &load->npath);
		} else if (rc == 0 && message_is(key, "reset")) {
			rc = message_read_bool(&r, &load->resets);
		} else if (rc == 0 && message_is(key, "init")) {
			rc = load->init ? RAMET_EPROTO : message_read_str(&r, &value);
			if (rc == 0 && value.len > 0)
				load->init = keep(value);
		} else if (rc == 0) {
			rc = message_skip(&r);
		}
	}
	return rc;
}

/* terminated paths one after the other, as an array */
static void write_roots(struct message_writer *w, const char *roots, size_t len)
{
	uint32_t count = 0;
	for (size_t i = 0; i < len; i++)
		count += roots[i] == 0;
	message_str(w, "roots");
	message_array(w, MIN(count, (uint32_t)HOST_ROOTS_MAX));
	for (uint32_t i = 0; i < count && i < HOST_ROOTS_MAX; i++) {
		size_t n = strlen(roots);
		message_text(w, roots, n, n);
		roots += n + 1;
	}
}

static void say_loaded(struct host *host, uint64_t us)
{
	size_t cap = 2 * HOST_ROOTS_BYTES;
	auto_free unsigned char *bytes = malloc(cap);
	auto_free char *roots = malloc(HOST_ROOTS_BYTES);
	struct ramet_err err;
	if (!bytes || !roots) {
		(void)err_nomem(&err);
		host_lost(host, &err);
		return;
	}
	size_t len = host->ops->roots ? host->ops->roots(host->engine, roots, HOST_ROOTS_BYTES) : 0;
	struct message_writer w = {bytes, bytes + cap, false};
	message_map(&w, 3);
	message_kstr(&w, "t", "loaded");
	message_kuint(&w, "us", us);
	write_roots(&w, roots, len);
	host_answer(host, &w, bytes, NULL, 0);
}

/* what the engine is to load, of a message; after a failure the host ends */
static int read_load(
	struct host *host, const struct host_message *message, struct engine_load **ret_load)
{
	auto_free char *dir = message->dir.len ? keep(message->dir) : NULL;
	auto_free struct engine_env *env = NULL;
	auto_free struct engine_load *load = malloc(sizeof(*load));
	unsigned nenv = 0;
	int rc = dir ? read_functions(host, message->functions) : RAMET_EPROTO;
	if (rc == 0)
		rc = read_env(message->env, &env, &nenv);
	if (rc == 0 && !load)
		rc = RAMET_ENOMEM;
	if (rc < 0)
		return rc;
	*load = (struct engine_load){
		.dir = dir,
		.functions = host->functions,
		.nfunctions = host->nfunctions,
		.env = env,
		.nenv = nenv,
	};
	rc = read_config(message->config, load);
	if (rc < 0)
		return rc; /* the process ends: what it has read of the lists goes with it */
	steal_ptr(&dir);
	steal_ptr(&env);
	*ret_load = steal_ptr(&load);
	return 0;
}

static void say_based(struct host *host, uint64_t us)
{
	unsigned char bytes[64];
	struct message_writer w = {bytes, bytes + sizeof(bytes), false};
	message_map(&w, 2);
	message_kstr(&w, "t", "based");
	message_kuint(&w, "us", us);
	host_answer(host, &w, bytes, NULL, 0);
}

/* The engine's base(), in the root directory: nothing is found, or kept, in that of the version.
 * After a failure the process stands where it stood; RAMET_EIO: it does not. */
static int make_base(struct host *host, const struct engine_load *load, bool *ret_based,
	struct engine_error *ret_error)
{
	static const char none[] = "this language has no bases";
	static const char nowhere[] = "the host cannot leave its directory";
	const struct engine_error refused = {.code = RAMET_ENOTSUP, .kind = ENGINE_REFUSED};
	auto_close int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret_based = false;
	*ret_error = refused;
	ret_error->message = (struct engine_text){none, sizeof(none) - 1};
	if (!host->ops->base)
		return 0;
	ret_error->message = (struct engine_text){nowhere, sizeof(nowhere) - 1};
	if (here < 0 || chdir("/") < 0)
		return 0;
	*ret_error = (struct engine_error){.code = RAMET_EINTERNAL, .kind = ENGINE_SYSTEM};
	*ret_based = host->ops->base(host->engine, load, ret_error) == 0;
	return *ret_based || fchdir(here) == 0 ? 0 : RAMET_EIO;
}

/* A base is of no version: it keeps no functions, and does not stand in the directory of one. */
int host_base(struct host *host, const struct host_message *message)
{
	struct engine_error error;
	struct engine_load *load; /* the engine may keep it */
	if (host->loaded || host->based)
		return RAMET_EPROTO;
	uint64_t begin = host_now_ns();
	int rc = read_load(host, message, &load);
	if (rc < 0)
		return rc;
	host->functions = NULL;
	host->nfunctions = 0;
	rc = make_base(host, load, &host->based, &error);
	if (rc < 0)
		return rc;
	if (host->based)
		say_based(host, (host_now_ns() - begin) / 1000);
	else
		host_answer_error(host, "nobase", NULL, &error);
	return 0;
}

int host_load(struct host *host, const struct host_message *message)
{
	struct engine_error error = {.code = RAMET_EINTERNAL, .kind = ENGINE_SYSTEM};
	struct engine_load *load; /* the engine may keep it */
	if (host->loaded)
		return RAMET_EPROTO;
	uint64_t begin = host_now_ns();
	int rc = read_load(host, message, &load);
	if (rc < 0)
		return rc;
	host->captured = false; /* as a base only */
	if (host->based && chdir(load->dir) < 0)
		return RAMET_EPROTO;
	if (host->ops->load(host->engine, load, &error) < 0) {
		host_answer_error(host, "failed", NULL, &error);
		host_stop(host, RAMET_HOST_LOAD);
		return 0;
	}
	host->loaded = true;
	say_loaded(host, (host_now_ns() - begin) / 1000);
	return 0;
}
