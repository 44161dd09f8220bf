/* Loading shared objects and calling their handlers. */
#include "runtime/native/native_engine.h"

#include "base/err.h"
#include "runtime/native/native_internal.h"
#include "runtime/native/native_pages.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_CAP 4096
#define CALL_BYTES 1024 /* of the engine, at its front, that a call writes */

struct native_object {
	char path[PATH_CAP];
	void *handle;
	struct native_range ranges[NATIVE_RANGES]; /* where it lies */
	unsigned nranges;
	int (*before_snapshot)(void);
	int (*after_clone)(const unsigned char *seed);
};

struct ramet_engine {
	struct native_object *objects; /* each once, in the order of the functions */
	unsigned nobjects;
	int (**handlers)(struct ramet_invocation *call); /* of each function */
	struct native_object **object_of; /* of each function: where its handler is */
	bool is_child; /* of the host: a handler forked */
	struct ramet_invocation call;
	struct ramet_err err; /* why loading failed */
};
_Static_assert(offsetof(struct ramet_engine, call.message) < CALL_BYTES, "on one page");

/* aligned, so that a call writes to one page of it */
static struct ramet_engine the_engine __attribute__((aligned(CALL_BYTES)));

static void forked(void)
{
	the_engine.is_child = true;
	native_emit_forked();
}

/* Objects of functions look up what they call (include/ramet/function.h) among all that the process
 * shows: in ramet-host that is the program; elsewhere this object, which shows itself. */
static int show_interface(struct ramet_err *err)
{
	Dl_info self;
	void *process = dlopen(NULL, RTLD_LAZY);
	if (process && dlsym(process, "ramet_input"))
		return 0;
	if (dladdr(&the_engine, &self) == 0 ||
		!dlopen(self.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD))
		return err_set(
			err, RAMET_EINTERNAL, "functions would not find the engine: %s", dlerror());
	return 0;
}

static int engine_init(int deadline_signal, char *detail, size_t cap,
	struct ramet_engine **ret_engine, struct ramet_err *err)
{
	(void)deadline_signal;
	int rc = show_interface(err);
	if (rc < 0)
		return rc;
	if (pthread_atfork(NULL, NULL, forked) != 0)
		return err_nomem(err);
	setvbuf(stdout, NULL, _IOLBF, 0); /* what was printed before a crash is in the log */
	snprintf(detail, cap, "native, shared objects (interface 1)");
	*ret_engine = &the_engine;
	return 0;
}

/* --- loading --- */

/* dlsym's results are functions here; ISO C has no cast for that */
static void find_symbol(void *handle, const char *name, void *ret_function)
{
	void *symbol = dlsym(handle, name);
	memcpy(ret_function, &symbol, sizeof(symbol));
}

static int init_object(struct native_object *object, struct ramet_err *err)
{
	int (*init)(void) = NULL;
	find_symbol(object->handle, "ramet_init", &init);
	find_symbol(object->handle, "ramet_before_snapshot", &object->before_snapshot);
	find_symbol(object->handle, "ramet_after_clone", &object->after_clone);
	int rc = init ? init() : 0;
	if (rc != 0)
		return err_set(
			err, RAMET_EUSER, "ramet_init() of %s returned %d", object->path, rc);
	return 0;
}

static int open_object(struct ramet_engine *engine, const char *path, struct native_object **ret,
	struct ramet_err *err)
{
	for (unsigned i = 0; i < engine->nobjects; i++) {
		if (strcmp(engine->objects[i].path, path) == 0) {
			*ret = &engine->objects[i];
			return 0;
		}
	}
	struct native_object *object = &engine->objects[engine->nobjects];
	snprintf(object->path, sizeof(object->path), "%s", path);
	object->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object->handle)
		return err_set(err, RAMET_EUSER, "cannot load %s: %s", path, dlerror());
	object->nranges = native_find_ranges(object->handle, object->ranges);
	engine->nobjects++;
	*ret = object;
	return init_object(object, err);
}

/* ret_function: a pointer to a pointer to a function. what: for messages. */
static int find_handler(struct ramet_engine *engine, const struct ramet_engine_load *load,
	const char *what, const char *handler, void *ret_function,
	struct native_object **ret_object, struct ramet_err *err)
{
	const char *colon = strrchr(handler, ':');
	char path[PATH_CAP];
	struct native_object *object = NULL;
	void *found = NULL;
	if (!colon || colon == handler || colon[1] == '\0')
		return err_set(err, RAMET_EINVAL, "%s: %s is not of the form \"libname.so:symbol\"",
			what, handler);
	int len =
		snprintf(path, sizeof(path), "%s/%.*s", load->dir, (int)(colon - handler), handler);
	if (len >= (int)sizeof(path))
		return err_set(err, RAMET_ELIMIT, "%s: the path is too long", what);
	int rc = open_object(engine, path, &object, err);
	if (rc < 0)
		return err_prefix(err, "%s", what);
	find_symbol(object->handle, colon + 1, &found);
	if (!found)
		return err_set(err, RAMET_ENOTFOUND, "%s: %.*s has no symbol %s", what,
			(int)(colon - handler), handler, colon + 1);
	memcpy(ret_function, &found, sizeof(found));
	*ret_object = object;
	return 0;
}

static int load_function(struct ramet_engine *engine, const struct ramet_engine_load *load,
	unsigned index, struct ramet_err *err)
{
	const struct ramet_engine_function *function = &load->functions[index];
	char what[160];
	snprintf(what, sizeof(what), "function %s", function->name);
	return find_handler(engine, load, what, function->handler, &engine->handlers[index],
		&engine->object_of[index], err);
}

/* once, when all objects are there */
static int run_init(
	struct ramet_engine *engine, const struct ramet_engine_load *load, struct ramet_err *err)
{
	int (*init)(void) = NULL;
	struct native_object *object = NULL;
	int rc = find_handler(engine, load, "init", load->init, &init, &object, err);
	int code = rc == 0 && init ? init() : 0;
	if (code != 0)
		rc = err_set(err, RAMET_EUSER, "init %s returned %d", load->init, code);
	return rc;
}

static int engine_load(struct ramet_engine *engine, const struct ramet_engine_load *load,
	struct ramet_engine_error *ret_error)
{
	struct ramet_err *err = &engine->err;
	int rc = 0;
	engine->objects = calloc(load->nfunctions + 1, sizeof(*engine->objects));
	engine->handlers = calloc(load->nfunctions + 1, sizeof(*engine->handlers));
	engine->object_of = calloc(load->nfunctions + 1, sizeof(void *));
	if (!engine->objects || !engine->handlers || !engine->object_of)
		rc = err_nomem(err);
	for (unsigned i = 0; rc == 0 && i < load->nfunctions; i++)
		rc = load_function(engine, load, i, err);
	if (rc == 0 && load->init)
		rc = run_init(engine, load, err);
	if (rc < 0)
		*ret_error = (struct ramet_engine_error){.code = err->code,
			.kind = RAMET_ENGINE_USER,
			.message = {err->msg, strlen(err->msg)}};
	return rc;
}

/* --- calls --- */

static int call_failed(struct ramet_invocation *call, int rc, struct ramet_engine_error *ret_error)
{
	if (!call->code && !call->failed)
		snprintf(call->message, sizeof(call->message), "the handler returned %d%s", rc,
			call->cancelled ? " after its deadline" : "");
	*ret_error = (struct ramet_engine_error){
		.code = call->code ? call->code : RAMET_EUSER,
		.kind = call->code == RAMET_ELIMIT || call->code == RAMET_EDEADLINE
			? RAMET_ENGINE_LIMIT
			: call->code ? RAMET_ENGINE_SYSTEM
				     : RAMET_ENGINE_USER,
		.type = {call->type, strlen(call->type)},
		.message = {call->message, strlen(call->message)},
	};
	return ret_error->code;
}

static int engine_call(struct ramet_engine *engine, const struct ramet_engine_call *call,
	struct ramet_engine_result *ret_result, struct ramet_engine_error *ret_error)
{
	struct ramet_invocation *invocation = &engine->call;
	invocation->call = call;
	invocation->len = 0;
	invocation->code = 0;
	invocation->binary = invocation->failed = false;
	invocation->cancelled = 0;
	invocation->type[0] = invocation->message[0] = '\0';
	int rc = engine->handlers[call->function](invocation);
	if (engine->is_child)
		_exit(0); /* the answer is its parent's to give */
	if (rc != 0 || invocation->code || invocation->failed)
		return call_failed(invocation, rc, ret_error);
	if (invocation->output)
		*ret_result = (struct ramet_engine_result){
			invocation->output, invocation->len, invocation->binary};
	else
		*ret_result = (struct ramet_engine_result){"null", 4, false};
	return 0;
}

/* as a rule there is nothing, and fflush() takes its time to see it */
static void flush_printed(void)
{
	if (__fpending(stdout) > 0)
		fflush(stdout);
	if (__fpending(stderr) > 0)
		fflush(stderr);
}

static void engine_done(struct ramet_engine *engine)
{
	if (engine->call.output && !engine->call.borrowed)
		free(engine->call.output);
	engine->call.borrowed = false;
	engine->call.output = NULL;
	flush_printed();
}

static void engine_ready(struct ramet_engine *engine, unsigned function)
{
	const struct native_object *object = engine->object_of[function];
	native_populate(object->ranges, object->nranges);
	flush_printed(); /* for its pages: it comes between the answer and the caller */
}

static void engine_interrupt(struct ramet_engine *engine)
{
	engine->call.cancelled = 1;
}

/* --- snapshots --- */

static int engine_before_snapshot(struct ramet_engine *engine, struct ramet_err *err)
{
	for (unsigned i = 0; i < engine->nobjects; i++) {
		const struct native_object *object = &engine->objects[i];
		int rc = object->before_snapshot ? object->before_snapshot() : 0;
		if (rc != 0)
			return err_set(err, RAMET_EREFUSED,
				"ramet_before_snapshot() of %s returned %d", object->path, rc);
	}
	return 0;
}

/* the C library's own generators: what they were seeded with is the same in every clone */
static void seed_libc(const unsigned char seed[RAMET_ENGINE_SEED_BYTES])
{
	unsigned number;
	unsigned short words[3];
	memcpy(&number, seed, sizeof(number));
	memcpy(words, seed + sizeof(number), sizeof(words));
	srandom(number); /* rand(), too */
	(void)seed48(words);
}

static int engine_after_clone(struct ramet_engine *engine,
	const unsigned char seed[RAMET_ENGINE_SEED_BYTES], struct ramet_err *err)
{
	seed_libc(seed);
	for (unsigned i = 0; i < engine->nobjects; i++) {
		const struct native_object *object = &engine->objects[i];
		int rc = object->after_clone ? object->after_clone(seed) : 0;
		if (rc != 0)
			return err_set(err, RAMET_EUSER, "ramet_after_clone() of %s returned %d",
				object->path, rc);
	}
	return 0;
}

static void engine_secrets(
	struct ramet_engine *engine, const struct ramet_engine_secret *secrets, unsigned count)
{
	engine->call.secrets = secrets;
	engine->call.nsecrets = count;
}

const struct ramet_engine_ops ramet_engine = {
	.name = "native",
	.abi = RAMET_ENGINE_ABI,
	.init = engine_init,
	.load = engine_load,
	.call = engine_call,
	.ready = engine_ready,
	.done = engine_done,
	.interrupt = engine_interrupt,
	.before_snapshot = engine_before_snapshot,
	.after_clone = engine_after_clone,
	.secrets = engine_secrets,
};
