/* load: what the engine is to load, copied to memory that lives as long as the process. */
#include "runtime/host/host_internal.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "runtime/host/host_confine.h"
#include "runtime/host_proto.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOAD_MAX_ENV 4096
#define LOAD_MAX_LIST 1024

static int read_pairs(
	struct message_reader r, const struct ramet_engine_env **ret_items, unsigned *ret_count)
{
	uint32_t pairs = 0;
	if (r.at == r.end)
		return 0;
	if (*ret_items || message_read_map(&r, &pairs) < 0 || pairs > LOAD_MAX_ENV)
		return RAMET_EPROTO;
	struct ramet_engine_env *items = calloc(pairs + 1, sizeof(*items));
	if (!items)
		return RAMET_ENOMEM;
	*ret_items = items;
	for (uint32_t i = 0; i < pairs; i++) {
		struct message_span name;
		struct message_span value;
		if (message_read_str(&r, &name) < 0 || message_read_str(&r, &value) < 0)
			return RAMET_EPROTO;
		items[i] = (struct ramet_engine_env){host_keep(name), host_keep(value)};
		if (!items[i].name || !items[i].value)
			return RAMET_EPROTO;
	}
	*ret_count = pairs;
	return 0;
}

static int read_env(struct message_reader r, struct ramet_engine_load *load)
{
	int rc = read_pairs(r, &load->env, &load->nenv);
	for (unsigned i = 0; rc == 0 && i < load->nenv; i++)
		if (setenv(load->env[i].name, load->env[i].value, 1) < 0)
			rc = RAMET_EPROTO;
	return rc;
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
		list[i] = host_keep(item);
		if (!list[i])
			return RAMET_EPROTO;
	}
	*ret_count = count;
	return 0;
}

/* {language: path of its engine} */
static int read_languages(struct message_reader *r, struct host_languages *languages)
{
	struct message_reader items = *r;
	int rc = message_skip(r);
	items.end = r->at;
	return rc < 0 ? rc : read_pairs(items, &languages->items, &languages->count);
}

static int read_config(
	struct message_reader r, struct ramet_engine_load *load, struct host_languages *languages)
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
		} else if (rc == 0 && message_is(key, "isolates")) {
			rc = message_read_bool(&r, &languages->isolates);
		} else if (rc == 0 && message_is(key, "heap")) {
			rc = message_read_uint(&r, &load->heap);
		} else if (rc == 0 && message_is(key, "compiled")) {
			rc = load->compiled ? RAMET_EPROTO : message_read_str(&r, &value);
			if (rc == 0)
				load->compiled = host_keep(value);
		} else if (rc == 0 && message_is(key, "languages")) {
			rc = read_languages(&r, languages);
		} else if (rc == 0 && message_is(key, "lang")) {
			rc = languages->of_app ? RAMET_EPROTO : message_read_str(&r, &value);
			if (rc == 0)
				languages->of_app = host_keep(value);
		} else if (rc == 0 && message_is(key, "init")) {
			rc = load->init ? RAMET_EPROTO : message_read_str(&r, &value);
			if (rc == 0 && value.len > 0)
				load->init = host_keep(value);
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
	size_t len = engines_roots(&host->engines, roots, HOST_ROOTS_BYTES);
	struct message_writer w = {bytes, bytes + cap, false};
	message_map(&w, 3);
	message_kstr(&w, "t", "loaded");
	message_kuint(&w, "us", us);
	write_roots(&w, roots, len);
	host_answer(host, &w, bytes, NULL, 0);
}

/* What is to be loaded, of a message: all but the functions. It may be kept. After a failure the
 * host ends, and what was read goes with it. */
static int read_load(const struct host_message *message, struct ramet_engine_load **ret_load,
	struct host_languages *languages)
{
	struct ramet_engine_load *load = calloc(1, sizeof(*load));
	if (!load)
		return RAMET_ENOMEM;
	*ret_load = load;
	load->dir = message->dir.len ? host_keep(message->dir) : NULL;
	int rc = load->dir ? read_env(message->env, load) : RAMET_EPROTO;
	return rc < 0 ? rc : read_config(message->config, load, languages);
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
static int make_base(struct host *host, const struct ramet_engine_load *load, bool *ret_based,
	struct ramet_engine_error *ret_error)
{
	static const char none[] = "this language has no bases";
	static const char nowhere[] = "the host cannot leave its directory";
	const struct ramet_engine_error refused = {
		.code = RAMET_ENOTSUP, .kind = RAMET_ENGINE_REFUSED};
	auto_close int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret_based = false;
	*ret_error = refused;
	ret_error->message = (struct ramet_engine_text){none, sizeof(none) - 1};
	const struct engines_one *own = &host->engines.items[ENGINES_OWN];
	if (!own->ops->base)
		return 0;
	ret_error->message = (struct ramet_engine_text){nowhere, sizeof(nowhere) - 1};
	if (here < 0 || chdir("/") < 0)
		return 0;
	*ret_error =
		(struct ramet_engine_error){.code = RAMET_EINTERNAL, .kind = RAMET_ENGINE_SYSTEM};
	*ret_based = own->ops->base(own->engine, load, ret_error) == 0;
	return *ret_based || fchdir(here) == 0 ? 0 : RAMET_EIO;
}

/* A base is of no version: it keeps no functions, and does not stand in the directory of one. It
 * has the process's own engine alone. */
int host_base(struct host *host, const struct host_message *message)
{
	struct host_languages languages = {0};
	struct ramet_engine_error error;
	struct ramet_engine_load *load; /* the engine may keep it */
	struct ramet_err err;
	if (host->loaded || host->based)
		return RAMET_EPROTO;
	uint64_t begin = host_now_ns();
	int rc = read_load(message, &load, &languages);
	if (rc == 0)
		rc = host_read_functions(host, message->functions, NULL, &err);
	if (rc < 0)
		return rc;
	load->functions = host->functions;
	load->nfunctions = host->nfunctions;
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

/* whose are init, modules and path */
static unsigned app_engine(const struct host *host, const struct host_languages *languages)
{
	for (unsigned i = 0; languages->of_app && i < host->engines.count; i++)
		if (strcmp(host->engines.items[i].ops->name, languages->of_app) == 0)
			return i;
	return ENGINES_OWN;
}

/* Each engine gets its own functions. */
static int load_one(struct host *host, unsigned index, const struct ramet_engine_load *all,
	bool of_app, struct ramet_engine_error *ret_error)
{
	const struct engines_one *one = &host->engines.items[index];
	struct ramet_engine_load *load = malloc(sizeof(*load)); /* it may keep it */
	if (!load)
		return RAMET_ENOMEM;
	*load = *all;
	load->functions = host->functions + one->first;
	load->nfunctions = one->count;
	if (!of_app) {
		load->init = NULL;
		load->modules = load->path = NULL;
		load->nmodules = load->npath = 0;
	}
	return one->ops->load(one->engine, load, ret_error);
}

static int load_all(struct host *host, const struct host_languages *languages,
	const struct ramet_engine_load *load, struct ramet_engine_error *ret_error)
{
	unsigned of_app = app_engine(host, languages);
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < host->engines.count; i++)
		rc = load_one(host, i, load, i == of_app, ret_error);
	return rc;
}

int host_load(struct host *host, const struct host_message *message)
{
	struct host_languages languages = {0};
	struct ramet_engine_error error = {.code = RAMET_EINTERNAL, .kind = RAMET_ENGINE_SYSTEM};
	struct ramet_engine_load *load; /* the engines may keep what it points to */
	struct ramet_err err;
	if (host->loaded)
		return RAMET_EPROTO;
	uint64_t begin = host_now_ns();
	int rc = read_load(message, &load, &languages);
	if (rc < 0)
		return rc;
	host->captured = false; /* as a base only */
	if (host->based && chdir(load->dir) < 0)
		return RAMET_EPROTO;
	rc = host_read_functions(host, message->functions, &languages, &err);
	if (rc == RAMET_EPROTO)
		return rc;
	if (rc == 0 && languages.isolates)
		rc = host_confine(&err);
	if (rc < 0) {
		host_answer_err(host, "failed", NULL, RAMET_ENGINE_SYSTEM, &err);
		host_stop(host, RAMET_HOST_LOAD);
		return 0;
	}
	if (load_all(host, &languages, load, &error) < 0) {
		host_answer_error(host, "failed", NULL, &error);
		host_stop(host, RAMET_HOST_LOAD);
		return 0;
	}
	host->loaded = true;
	say_loaded(host, (host_now_ns() - begin) / 1000);
	return 0;
}
