/* See seeds_cold_hot.h. The host goes through passes, in each of which every function is called
 * with every sample; a clone is called once, with a function's first sample, and ended. */
#include "cluster/seeds_cold_hot.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/languages.h"
#include "cluster/node.h"
#include "cluster/seeds_cold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GENERATIONS 3u /* untrained, trained once, trained until that brings nothing more */
#define FUNCTIONS_MAX 8u /* that are measured: the first ones */
#define PASSES_MAX 400u
#define PASSES_IDLE \
	12u /* in a row that bring nothing: what is compiled late has had its chance \
	     */
#define TRAIN_NS (5 * NSEC_PER_SEC)
#define GAIN_PERCENT 95u /* of the best pass before: more is no gain */
#define TRIES 3u /* clones of each generation, for each function */
#define MEASURE_NS (4 * NSEC_PER_SEC) /* no clone is begun after that */
#define MEASURE_MS 30000u /* until one has answered */

struct generation {
	struct seed_captured captured;
	uint64_t capture_ns, stall_ns;
	unsigned passes; /* before it */
	bool bad; /* one of its clones failed */
	uint64_t first_ns[FUNCTIONS_MAX][TRIES];
	unsigned tries[FUNCTIONS_MAX];
};

struct hot {
	struct cold *cold;
	struct generation generations[GENERATIONS];
	unsigned ngenerations;
	/* training */
	bool warms; /* it has functions whose code is compiled when it is called often */
	unsigned passes, idle;
	uint32_t sample; /* of the pass, of all functions' samples in one row */
	uint64_t begun_ns, pass_ns, best_ns;
	uint64_t cold_ns[FUNCTIONS_MAX], steady_ns[FUNCTIONS_MAX];
	/* measuring: the next one is this try of this generation's clone of this function */
	unsigned generation, try;
	uint32_t function;
	uint64_t measure_ns; /* begun */
	struct image_clone *clone;
	struct instance *inst;
};

static const struct app_version *app_of(const struct hot *hot)
{
	return hot->cold->seed->app;
}

static uint32_t measured_functions(const struct hot *hot)
{
	return MIN(app_of(hot)->nfunctions, FUNCTIONS_MAX);
}

static void put_captured(struct seed_captured *captured)
{
	image_put(steal_ptr(&captured->image));
}

static void nobodys_gone(void *user, struct instance *inst, const struct call_error *cause)
{
	(void)user;
	(void)inst;
	(void)cause;
}
static const struct instance_handler nobodys_handler = {.on_gone = nobodys_gone};

static void end_clone(struct hot *hot)
{
	struct instance *inst = steal_ptr(&hot->inst);
	if (!inst)
		return;
	instance_own(inst, &nobodys_handler, NULL);
	instance_end(inst);
}

void hot_destroy(struct hot *hot)
{
	if (!hot)
		return;
	image_clone_forget(hot->clone);
	if (hot->cold->seed->seeds->node->instances)
		end_clone(hot);
	for (unsigned i = 0; i < hot->ngenerations; i++)
		put_captured(&hot->generations[i].captured);
	free(hot);
}

/* --- choosing --- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* of a function's first calls; 0: none was measured */
static uint64_t median(struct generation *g, uint32_t function)
{
	unsigned n = g->tries[function];
	qsort(g->first_ns[function], n, sizeof(uint64_t), compare);
	return n > 0 ? g->first_ns[function][n / 2] : 0;
}

static uint64_t sum_of_medians(struct hot *hot, struct generation *g)
{
	uint64_t sum = 0;
	for (uint32_t f = 0; f < measured_functions(hot); f++)
		sum += median(g, f);
	return sum;
}

/* Of those that had the samples: what an app does with them once may be wanted in the seed. */
static struct generation *best_generation(struct hot *hot)
{
	struct generation *best = NULL;
	for (unsigned i = 1; i < hot->ngenerations; i++) {
		struct generation *g = &hot->generations[i];
		if (!g->bad && (!best || sum_of_medians(hot, g) < sum_of_medians(hot, best)))
			best = g;
	}
	return best ? best : &hot->generations[hot->ngenerations - 1];
}

/* how long they took, of one function with its first sample */
struct first_calls {
	const char *function;
	uint64_t cold_ns, untrained_ns, trained_ns, steady_ns;
};

static double ms(uint64_t ns)
{
	return (double)ns / NSEC_PER_MSEC;
}

static void tell(struct hot *hot, const struct generation *chosen, const struct first_calls *c)
{
	char text[256];
	snprintf(text, sizeof(text),
		"%s: first call cold %.2f ms, in a fork %.2f ms untrained, %.2f ms trained (%u "
		"pass%s), steady %.2f ms",
		c->function, ms(c->cold_ns), ms(c->untrained_ns), ms(c->trained_ns), chosen->passes,
		chosen->passes == 1 ? "" : "es", ms(c->steady_ns));
	making_progress(hot->cold->seed, "first-call", text);
	log_info("seed.hot", "app=%s version=%.12s msg=\"%s\"", app_of(hot)->app, app_of(hot)->id,
		text);
}

static void report(struct hot *hot, struct generation *chosen)
{
	for (uint32_t f = 0; f < measured_functions(hot); f++)
		tell(hot, chosen,
			&(struct first_calls){
				.function = app_of(hot)->functions[f].name,
				.cold_ns = hot->cold_ns[f],
				.untrained_ns = median(&hot->generations[0], f),
				.trained_ns = median(chosen, f),
				.steady_ns = hot->steady_ns[f],
			});
}

static int publish(struct hot *hot, struct ramet_err *err)
{
	struct cold *cold = hot->cold;
	struct generation *chosen = best_generation(hot);
	struct seed_captured captured = chosen->captured;
	report(hot, chosen);
	chosen->captured.image = NULL;
	cold->seed->made.stall_ns = chosen->stall_ns;
	cold->capture_ns = now_ns() - chosen->capture_ns;
	int rc = cold_keep(cold, &captured, err); /* hot has gone, if that went well */
	put_captured(&captured);
	return rc;
}

/* --- measuring --- */

static int measure(struct hot *hot, struct ramet_err *err);

/* which clone is next: of all generations in turn, since the machine may change meanwhile */
static bool step(struct hot *hot)
{
	if (++hot->generation < hot->ngenerations)
		return true;
	hot->generation = 0;
	if (++hot->function < measured_functions(hot))
		return now_ns() - hot->measure_ns < MEASURE_NS;
	hot->function = 0;
	return ++hot->try < TRIES && now_ns() - hot->measure_ns < MEASURE_NS;
}

static void go_on(struct hot *hot)
{
	struct cold *cold = hot->cold;
	struct ramet_err err = {0};
	int rc = step(hot) ? measure(hot, &err) : publish(hot, &err);
	if (rc < 0)
		cold_fail_err(cold, &err);
}

static void bad_clone(struct hot *hot, const struct ramet_err *why)
{
	log_warn("seed.generation", "app=%s version=%.12s passes=%u err=%s msg=\"%s\"",
		app_of(hot)->app, app_of(hot)->id, hot->generations[hot->generation].passes,
		err_name(why->code), why->msg);
	hot->generations[hot->generation].bad = true;
	go_on(hot);
}

static void on_clone_result(void *user, struct instance *inst, const struct instance_result *result)
{
	struct hot *hot = user;
	struct generation *g = &hot->generations[hot->generation];
	(void)inst;
	if (result->error->err.code < 0) {
		struct ramet_err why = result->error->err;
		end_clone(hot);
		bad_clone(hot, &why);
		return;
	}
	end_clone(hot);
	g->first_ns[hot->function][g->tries[hot->function]++] = result->run_ns;
	go_on(hot);
}

static void on_clone_started(void *user, struct instance *inst)
{
	struct hot *hot = user;
	struct ramet_err err = {0};
	if (cold_call_sample(hot->cold, inst, hot->function, 0, &err) == 0)
		return;
	end_clone(hot);
	bad_clone(hot, &err);
}

static void on_clone_gone(void *user, struct instance *inst, const struct call_error *cause)
{
	struct hot *hot = user;
	(void)inst;
	hot->inst = NULL;
	bad_clone(hot, &cause->err);
}

static const struct instance_handler clone_handler = {
	.on_started = on_clone_started,
	.on_result = on_clone_result,
	.on_gone = on_clone_gone,
};

static void on_built(void *user, const struct ramet_err *error)
{
	struct hot *hot = user;
	struct ramet_err err = {0};
	struct image_clone *clone = steal_ptr(&hot->clone);
	if (error)
		image_clone_forget(clone);
	else if (image_clone_start(clone, &clone_handler, hot, &hot->inst, &err) == 0)
		return;
	bad_clone(hot, error ? error : &err);
}

static int measure(struct hot *hot, struct ramet_err *err)
{
	struct generation *g = &hot->generations[hot->generation];
	int rc = cold_wait(hot->cold, COLD_MEASURE, MEASURE_MS);
	if (rc < 0)
		return err_nomem(err);
	return image_clone_begin(hot->cold->seed->seeds, g->captured.image, hot->cold->seed->app,
		on_built, hot, &hot->clone, err);
}

static int begin_measuring(struct hot *hot, struct ramet_err *err)
{
	making_progress(hot->cold->seed, "measure", "calling clones of each generation");
	hot->measure_ns = now_ns();
	return measure(hot, err);
}

/* --- training --- */

static int next_generation(struct hot *hot, struct ramet_err *err)
{
	making_progress(hot->cold->seed, "capture", "capturing the initialised process");
	hot->cold->capture_ns = now_ns();
	return cold_ask_capture(hot->cold, COLD_STOP, err);
}

static int next_sample(struct hot *hot, struct ramet_err *err)
{
	const struct app_version *app = app_of(hot);
	return cold_call_sample(hot->cold, hot->cold->inst, hot->sample / app->nsamples,
		hot->sample % app->nsamples, err);
}

static int next_pass(struct hot *hot, struct ramet_err *err)
{
	int rc = cold_wait(hot->cold, COLD_SAMPLES, SEEDS_LOAD_MS);
	hot->sample = 0;
	hot->pass_ns = 0;
	return rc < 0 ? err_nomem(err) : next_sample(hot, err);
}

static bool is_trained(const struct hot *hot)
{
	return hot->idle >= PASSES_IDLE || hot->passes >= PASSES_MAX ||
		now_ns() - hot->begun_ns >= TRAIN_NS;
}

static int end_pass(struct hot *hot, struct ramet_err *err)
{
	bool gain = hot->passes == 0 || hot->pass_ns < hot->best_ns / 100 * GAIN_PERCENT;
	hot->idle = gain ? 0 : hot->idle + 1;
	hot->best_ns = hot->passes == 0 ? hot->pass_ns : MIN(hot->best_ns, hot->pass_ns);
	hot->passes++;
	if (hot->passes == 1 || is_trained(hot))
		return next_generation(hot, err);
	return next_pass(hot, err);
}

int hot_sampled(struct hot *hot, const struct instance_result *result, struct ramet_err *err)
{
	const struct app_version *app = app_of(hot);
	uint32_t function = hot->sample / app->nsamples;
	if (hot->sample % app->nsamples == 0 && function < FUNCTIONS_MAX) {
		if (hot->passes == 0)
			hot->cold_ns[function] = hot->steady_ns[function] = result->run_ns;
		hot->steady_ns[function] = MIN(hot->steady_ns[function], result->run_ns);
	}
	hot->pass_ns += result->run_ns;
	hot->sample++;
	return hot->sample == app->nsamples * app->nfunctions ? end_pass(hot, err)
							      : next_sample(hot, err);
}

int hot_captured(struct hot *hot, struct seed_captured *captured, struct ramet_err *err)
{
	struct generation *g = &hot->generations[hot->ngenerations++];
	g->captured = *captured;
	captured->image = NULL;
	g->passes = hot->passes;
	g->capture_ns = now_ns() - hot->cold->capture_ns;
	g->stall_ns = hot->cold->seed->made.stall_ns;
	if (hot->ngenerations == 1)
		making_progress(hot->cold->seed, "load", "calling the functions with the samples");
	bool last = hot->ngenerations > (hot->warms ? 2 : 1);
	return last ? begin_measuring(hot, err) : next_pass(hot, err);
}

static bool any_warms(const struct app_version *app)
{
	for (uint32_t i = 0; i < app->nfunctions; i++) {
		const struct language *language = languages_find(app->functions[i].lang);
		if (language && language->warms)
			return true;
	}
	return false;
}

int hot_begin(struct cold *cold, struct ramet_err *err)
{
	struct hot *hot = calloc(1, sizeof(*hot));
	if (!hot)
		return err_nomem(err);
	hot->cold = cold;
	hot->warms = any_warms(cold->seed->app);
	hot->begun_ns = now_ns();
	hot_destroy(cold->hot);
	cold->hot = hot;
	return next_generation(hot, err);
}
