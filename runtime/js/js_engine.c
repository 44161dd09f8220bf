/* The JavaScript engine: V8 without Node.js, a context for each function, one call at a time. See
 * docs/engines.md for what functions may use. */
#include "runtime/js/js_internal.h"

#include "base/err.h"
#include "base/splitmix.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct ramet_engine {
	const struct ramet_engine_load *load;
	struct js_context **contexts; /* of each function */
	uint64_t *epochs; /* of the random bytes that each was given last */
	unsigned count;
	unsigned char seed[RAMET_ENGINE_SEED_BYTES];
	uint64_t epoch;
	uint64_t given; /* how often a context got random bytes: each gets others */
	const struct ramet_engine_secret *secrets; /* the host's */
	unsigned nsecrets;
	/* the call that runs, or the last one */
	bool running;
	unsigned function;
	bool renewed; /* its context is new: nothing ran in it yet */
	struct js_context *replaced; /* its answer has not been sent yet */
	/* where V8 is left when it has no memory to go on with */
	sigjmp_buf out;
	bool guarded, abandoned;
	bool trims; /* the call has filled the heap: it is emptied behind the answer */
	struct js_failure failure;
};

static struct ramet_engine the_engine;

static int engine_init(int deadline_signal, char *detail, size_t cap,
	struct ramet_engine **ret_engine, struct ramet_err *err)
{
	(void)deadline_signal;
	setvbuf(stdout, NULL, _IOLBF, 0); /* what was printed before a crash is in the log */
	if (getrandom(the_engine.seed, sizeof(the_engine.seed), 0) !=
		(ssize_t)sizeof(the_engine.seed))
		return err_set(err, RAMET_EIO, "no random bytes for JavaScript");
	the_engine.epoch = 1;
	js_vm_init(getenv("RAMET_JS_FLAGS"));
	snprintf(detail, cap, "V8 %s", js_vm_version());
	*ret_engine = &the_engine;
	return 0;
}

void js_vm_abandon(void)
{
	if (!the_engine.guarded)
		abort();
	the_engine.guarded = false;
	siglongjmp(the_engine.out, 1);
}

/* V8 was left in its midst, and is never entered again: the process ends behind this answer. */
static int abandoned(struct ramet_engine *engine)
{
	engine->abandoned = true;
	engine->failure = (struct js_failure){.code = RAMET_ELIMIT, .type = "RangeError"};
	snprintf(engine->failure.message, sizeof(engine->failure.message), "not enough memory");
	return RAMET_ELIMIT;
}

static int failed(struct ramet_engine *engine, struct ramet_engine_error *ret_error)
{
	const struct js_failure *failure = &engine->failure;
	bool user = failure->code == RAMET_EUSER || failure->code == RAMET_EINVAL;
	*ret_error = (struct ramet_engine_error){
		.code = failure->code,
		.kind = user				? RAMET_ENGINE_USER
			: failure->code == RAMET_ELIMIT ? RAMET_ENGINE_LIMIT
							: RAMET_ENGINE_SYSTEM,
		.type = {failure->type, strlen(failure->type)},
		.message = {failure->message, strlen(failure->message)},
		.traceback = {failure->traceback, strlen(failure->traceback)},
		.leaves = engine->abandoned,
	};
	return failure->code;
}

/* --- contexts --- */

static void give_random(struct ramet_engine *engine, unsigned function)
{
	uint32_t words[JS_RANDOM_WORDS];
	if (engine->epochs[function] == engine->epoch)
		return;
	engine->epochs[function] = engine->epoch;
	uint64_t given = ++engine->given;
	for (size_t i = 0; i < JS_RANDOM_WORDS / 2; i++) {
		uint64_t part;
		memcpy(&part, engine->seed + i * sizeof(part), sizeof(part));
		part = splitmix(splitmix(part) ^ given);
		words[2 * i] = (uint32_t)part;
		words[2 * i + 1] = (uint32_t)(part >> 32);
	}
	words[JS_RANDOM_WORDS - 1] |= 1; /* not all are zeros */
	js_context_random(engine->contexts[function], words);
}

static int make_context(struct ramet_engine *engine, unsigned function)
{
	const struct js_source source = {
		engine->load->dir, engine->load->functions[function].handler, engine->load->init};
	int rc = js_context_create(&source, &engine->contexts[function], &engine->failure);
	engine->epochs[function] = 0;
	return rc;
}

/* Another context for the function that was called last. */
static int renew(struct ramet_engine *engine)
{
	struct js_context *old = engine->contexts[engine->function];
	int rc = make_context(engine, engine->function);
	if (rc < 0)
		return rc;
	engine->renewed = true;
	if (engine->running)
		engine->replaced = old; /* its answer may lie in it */
	else
		js_context_destroy(old);
	return 0;
}

static int load_all(struct ramet_engine *engine)
{
	int rc = js_vm_create(engine->load->heap);
	for (; rc == 0 && engine->count < engine->load->nfunctions; engine->count++)
		rc = make_context(engine, engine->count);
	return rc;
}

static int engine_load(struct ramet_engine *engine, const struct ramet_engine_load *load,
	struct ramet_engine_error *ret_error)
{
	char message[JS_MESSAGE_MAX];
	engine->load = load;
	engine->contexts = calloc(load->nfunctions + 1, sizeof(void *));
	engine->epochs = calloc(load->nfunctions + 1, sizeof(uint64_t));
	if (!engine->contexts || !engine->epochs)
		return RAMET_ENOMEM;
	int rc;
	if (sigsetjmp(engine->out, 1) != 0) {
		rc = abandoned(engine);
	} else {
		engine->guarded = true;
		rc = load_all(engine);
		engine->guarded = false;
	}
	if (rc == 0)
		return 0;
	snprintf(message, sizeof(message), "%s", engine->failure.message);
	snprintf(engine->failure.message, sizeof(engine->failure.message), "function %s: %.4000s",
		load->functions[engine->count ? engine->count - 1 : 0].name, message);
	return failed(engine, ret_error);
}

/* --- calls --- */

static int run(
	struct ramet_engine *engine, const struct ramet_engine_call *call, struct js_output *output)
{
	if (sigsetjmp(engine->out, 1) != 0)
		return abandoned(engine);
	engine->guarded = true;
	int rc = js_context_call(engine->contexts[call->function], call, engine->secrets,
		engine->nsecrets, output, &engine->failure);
	engine->guarded = false;
	return rc;
}

/* What filled the heap may be in variables of the function's: the next call has another context. */
static void replace_full(struct ramet_engine *engine, struct ramet_engine_error *error)
{
	struct js_failure why = engine->failure;
	js_vm_calm();
	engine->trims = true;
	error->leaves = error->leaves || renew(engine) < 0;
	engine->failure = why;
}

static int engine_call(struct ramet_engine *engine, const struct ramet_engine_call *call,
	struct ramet_engine_result *ret_result, struct ramet_engine_error *ret_error)
{
	struct js_output output = {0};
	engine->failure.code = 0;
	engine->failure.type[0] = engine->failure.message[0] = engine->failure.traceback[0] = '\0';
	engine->function = call->function;
	engine->renewed = false;
	engine->trims = false;
	engine->running = true;
	give_random(engine, call->function);
	int rc = run(engine, call, &output);
	if (rc < 0) {
		rc = failed(engine, ret_error);
		if (!engine->abandoned && js_vm_is_full())
			replace_full(engine, ret_error);
		return rc;
	}
	*ret_result = (struct ramet_engine_result){output.data, output.len, output.binary};
	return 0;
}

static void engine_done(struct ramet_engine *engine)
{
	engine->running = false;
	if (!engine->abandoned) {
		js_vm_calm();
		js_context_rest(
			engine->replaced ? engine->replaced : engine->contexts[engine->function]);
		if (engine->replaced) {
			js_context_destroy(engine->replaced);
			engine->replaced = NULL;
			if (engine->trims) /* the largest process of a function is the first to be
					      killed */
				js_vm_collect();
		}
	}
	if (__fpending(stdout) > 0)
		fflush(stdout);
	if (__fpending(stderr) > 0)
		fflush(stderr);
}

static void engine_interrupt(struct ramet_engine *engine)
{
	if (engine->running)
		js_vm_interrupt();
}

/* --- between calls --- */

static int engine_reset(struct ramet_engine *engine)
{
	if (engine->abandoned || engine->renewed)
		return 0;
	js_vm_calm();
	return renew(engine);
}

static int engine_before_snapshot(struct ramet_engine *engine, struct ramet_err *err)
{
	(void)engine;
	(void)err;
	js_vm_collect();
	return 0;
}

/* A context takes what it needs of them at its next call. */
static int engine_after_clone(struct ramet_engine *engine,
	const unsigned char seed[RAMET_ENGINE_SEED_BYTES], struct ramet_err *err)
{
	(void)err;
	memcpy(engine->seed, seed, RAMET_ENGINE_SEED_BYTES);
	engine->epoch++;
	return 0;
}

static void engine_secrets(
	struct ramet_engine *engine, const struct ramet_engine_secret *secrets, unsigned count)
{
	engine->secrets = secrets;
	engine->nsecrets = count;
}

static void engine_stats(const struct ramet_engine *engine, struct ramet_engine_stats *ret_stats)
{
	*ret_stats = (struct ramet_engine_stats){.functions = engine->count, .bytes = js_vm_used()};
}

__attribute__((visibility("default"))) extern const struct ramet_engine_ops ramet_engine;
const struct ramet_engine_ops ramet_engine = {
	.name = "js",
	.abi = RAMET_ENGINE_ABI,
	.init = engine_init,
	.load = engine_load,
	.call = engine_call,
	.done = engine_done,
	.interrupt = engine_interrupt,
	.before_snapshot = engine_before_snapshot,
	.after_clone = engine_after_clone,
	.secrets = engine_secrets,
	.reset = engine_reset,
	.stats = engine_stats,
};
