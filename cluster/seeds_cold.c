/* A cold start: the app's files, a host, its initialisation, the capture that makes it a seed. The
 * host goes on as an instance. What fails on the way leaves nothing behind. */
#include "cluster/seeds_cold.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bundle.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/seeds_cold_hot.h"
#include "cluster/seeds_command.h"
#include "cluster/seeds_environment.h"
#include "rfork/safepoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* a host that failed is nobody's: it is only waited for */
static void orphan_gone(void *user, struct instance *inst, const struct call_error *cause)
{
	(void)user;
	(void)inst;
	(void)cause;
}
static const struct instance_handler orphan_handler = {.on_gone = orphan_gone};

void cold_leave_host(struct cold *cold)
{
	instance_own(cold->inst, &orphan_handler, NULL);
	instance_end(steal_ptr(&cold->inst));
}

void cold_abandon(struct cold *cold)
{
	if (!cold)
		return;
	loop_timer_cancel(&cold->timer);
	bundle_fetch_forget(cold->fetch);
	environment_forget(cold->environment);
	free(cold->python);
	free(cold->compiled);
	seed_capture_forget(cold->capture);
	hot_destroy(cold->hot);
	image_clone_forget(cold->clone);
	base_put(cold->base);
	buf_fini(&cold->key);
	if (cold->inst && cold->seed->seeds->node->instances)
		cold_leave_host(cold);
	call_error_fini(&cold->error);
	free(cold);
}

bool cold_can_cancel(const struct cold *cold)
{
	return cold->phase < COLD_STOP;
}

void cold_fail(struct cold *cold, const struct call_error *error)
{
	seed_failed(cold->seed, error); /* abandons cold, too */
}

void cold_fail_err(struct cold *cold, const struct ramet_err *err)
{
	struct call_error error = {.err = *err, .node = cold->seed->seeds->node->config.node};
	cold_fail(cold, &error);
}

static void too_slow(struct loop_timer *timer)
{
	struct cold *cold = container_of(timer, struct cold, timer);
	const char *app = cold->seed->app->app;
	struct ramet_err err = {0};
	if (cold->phase == COLD_BASE || cold->phase == COLD_LOAD || cold->phase == COLD_SAMPLES ||
		cold->phase == COLD_MEASURE)
		err_set(&err, RAMET_ETIMEOUT, "%s did not initialise within %d s", app,
			SEEDS_LOAD_MS / 1000);
	else
		err_set(&err, RAMET_ETIMEOUT, "%s could not be captured within %d s", app,
			SEEDS_CAPTURE_MS / 1000);
	cold_fail_err(cold, &err);
}

int cold_wait(struct cold *cold, enum cold_phase phase, uint64_t ms)
{
	cold->phase = phase;
	return loop_timer_set(cold->seed->seeds->node->loop, &cold->timer,
		now_ns() + ms * NSEC_PER_MSEC, too_slow);
}

int cold_send(struct cold *cold, const char *type, enum cold_phase phase, struct ramet_err *err)
{
	struct node *node = cold->seed->seeds->node;
	CLEANUP(buf_fini) struct buf b = {0};
	char dir[NODE_PATH_MAX + 128];
	char inside[NODE_PATH_MAX + 128];
	int rc = bundles_path(node->bundles, cold->seed->app->id, dir, sizeof(dir));
	if (rc < 0)
		return err_set(err, rc, "path of version %.12s", cold->seed->app->id);
	rc = spawn_path_inside(node->spawn, dir, inside, sizeof(inside), err);
	if (rc == 0)
		rc = command_pack_load(cold->seed->app, type, inside, cold->compiled, &b, err);
	if (rc == 0)
		rc = instance_send(cold->inst, &b, err);
	return rc < 0 ? rc : cold_wait(cold, phase, SEEDS_LOAD_MS);
}

int cold_ask_capture(struct cold *cold, enum cold_phase phase, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 2);
	wire_kstr(&b, "t", "capture");
	wire_kuint(&b, "close", cold->seed->app->close_on_fork);
	int rc = wire_end(&b, err);
	if (rc == 0)
		rc = instance_send(cold->inst, &b, err);
	if (rc == 0)
		rc = cold_wait(cold, phase, SEEDS_CAPTURE_MS);
	return rc;
}

/* --- capture --- */

static void describe(struct cold *cold, const struct capture_stats *stats)
{
	const struct seed *seed = cold->seed;
	log_info("seed.made",
		"app=%s version=%.12s start=%s pages=%llu stored=%llu base=%d load_ms=%llu "
		"capture_us=%llu stall_us=%llu",
		seed->app->app, seed->app->id, start_kind_name(seed->made.start),
		(unsigned long long)seed->image->npages, (unsigned long long)stats->stored_pages,
		seed->base != NULL, (unsigned long long)(seed->made.load_ns / NSEC_PER_MSEC),
		(unsigned long long)(seed->made.capture_ns / NSEC_PER_USEC),
		(unsigned long long)(seed->made.stall_ns / NSEC_PER_USEC));
}

int cold_keep(struct cold *cold, struct seed_captured *captured, struct ramet_err *err)
{
	struct seed *seed = cold->seed;
	const struct seeds *seeds = seed->seeds;
	struct instance_info info;
	uint64_t now = now_ns();
	int rc = seed_admit(seed, captured->image, err);
	if (rc < 0)
		return rc;
	loop_timer_cancel(&cold->timer);
	instance_get_info(cold->inst, &info);
	seed->image = steal_ptr(&captured->image);
	seed->key = captured->key;
	seed->origin = true;
	snprintf(seed->boot_id, sizeof(seed->boot_id), "%s", seeds->boot_id);
	if (seed->image->layer)
		seed->base = steal_ptr(&cold->base);
	/* what versions have in common by now is little: the next one makes another base */
	if (seed->base && seed->image->nown * 2 > seed->image->npages)
		base_retire(seed->base);
	seed->made.start = info.kind;
	seed->made.instance = info.id;
	seed->made.pid = info.pid;
	seed->made.ready_ns = cold->ready_ns - cold->begun_ns;
	seed->made.load_ns = cold->loaded_ns - cold->ready_ns;
	seed->made.capture_ns = now - cold->capture_ns;
	seed->made.image_bytes = seed->image->npages * RFORK_PAGE;
	describe(cold, &captured->stats);
	struct instance *host = steal_ptr(&cold->inst);
	seed->cold = NULL;
	cold_abandon(cold);
	seed_ready(seed, host);
	return 0;
}

static void on_read(void *user, struct seed_captured *captured, const struct ramet_err *error)
{
	struct cold *cold = user;
	struct ramet_err err = {0};
	cold->capture = NULL;
	loop_timer_cancel(&cold->timer);
	if (!captured) {
		if (!cold->cloned || !cold_without_base(cold, error))
			cold_fail_err(cold, error);
		return;
	}
	int rc = cold->hot ? hot_captured(cold->hot, captured, &err)
			   : cold_keep(cold, captured, &err);
	if (rc < 0)
		cold_fail_err(cold, &err);
}

static int on_captured(struct cold *cold, const struct wire_value *body, int *fds, unsigned nfds,
	struct ramet_err *err)
{
	struct seed *seed = cold->seed;
	int rc = wire_get_uint_or(body, "stall", UINT64_MAX, 0, &seed->made.stall_ns, err);
	if (rc == 0)
		rc = seed_capture_begin(seed->seeds, cold->inst,
			seeds_epoch(seed->seeds, seed->app->id), cold->base, body, fds, nfds,
			on_read, cold, &cold->capture, err);
	if (rc == 0)
		cold->phase = COLD_READ;
	return rc;
}

/* --- the host's messages --- */

_Static_assert(CLIENT_CLOSE_ALL == (int)SAFEPOINT_CLOSE_ALL &&
		CLIENT_CLOSE_FILES == (int)SAFEPOINT_CLOSE_FILES &&
		CLIENT_CLOSE_OTHER == (int)SAFEPOINT_CLOSE_OTHER,
	"hosts are told in the numbers of deployments");

static int cold_initialised(struct cold *cold, struct ramet_err *err)
{
	cold->capture_ns = now_ns();
	making_progress(cold->seed, "capture", "capturing the initialised process");
	return cold_ask_capture(cold, COLD_STOP, err);
}

int cold_call_sample(struct cold *cold, struct instance *inst, uint32_t function, uint32_t sample,
	struct ramet_err *err)
{
	const struct app_version *app = cold->seed->app;
	const struct instance_call call = {
		.id = "",
		.function = app->functions[function].name,
		.data = app->samples[sample].data,
		.len = app->samples[sample].len,
		.size = 1,
		.max_output = CLIENT_MAX_PAYLOAD,
	};
	cold->sample = sample;
	return instance_call(inst, &call, err);
}

static int on_loaded(struct cold *cold, struct ramet_err *err)
{
	cold->loaded_ns = now_ns();
	return cold->seed->app->nsamples > 0 ? hot_begin(cold, err) : cold_initialised(cold, err);
}

/* load or capture failed, and the host says why: its error is the deployment's */
static int on_refused(struct cold *cold, const struct wire_value *body, struct ramet_err *err)
{
	struct call_error error = {0};
	int rc = instance_take_error(cold->inst, body, &error, err);
	if (rc < 0)
		return rc;
	/* what the app's own code raised would be raised again */
	bool retry = error.err.code == RAMET_EREFUSED &&
		(cold->cloned || cold->phase == COLD_LOAD) && cold_without_base(cold, &error.err);
	if (!retry) {
		instance_add_log_tail(cold->inst, &error);
		cold_fail(cold, &error);
	}
	call_error_fini(&error);
	return 0;
}

static int on_message(void *user, struct instance *inst, const char *type,
	const struct wire_value *body, int *fds, unsigned nfds, struct ramet_err *err)
{
	struct cold *cold = user;
	(void)inst;
	if (cold->phase == COLD_BASE && strcmp(type, "based") == 0)
		return cold_ask_capture(cold, COLD_BASE_STOP, err);
	if ((cold->phase == COLD_BASE && strcmp(type, "nobase") == 0) ||
		(cold->phase == COLD_BASE_STOP && strcmp(type, "refused") == 0))
		return cold_baseless(cold, body, err);
	if (cold->phase == COLD_BASE_STOP && strcmp(type, "captured") == 0)
		return cold_base_captured(cold, body, fds, nfds, err);
	if (cold->phase == COLD_LOAD && strcmp(type, "loaded") == 0) {
		int rc = seed_take_roots(cold->seed, body, err);
		return rc < 0 ? rc : on_loaded(cold, err);
	}
	if (cold->phase == COLD_LOAD && strcmp(type, "failed") == 0)
		return on_refused(cold, body, err);
	if (cold->phase == COLD_STOP && strcmp(type, "captured") == 0)
		return on_captured(cold, body, fds, nfds, err);
	if (cold->phase == COLD_STOP && strcmp(type, "refused") == 0)
		return on_refused(cold, body, err);
	return err_set(err, RAMET_EPROTO, "unexpected message %s", type);
}

static void on_started(void *user, struct instance *inst)
{
	struct cold *cold = user;
	struct ramet_err err = {0};
	bool base = cold->key.len > 0 && !cold->cloned;
	(void)inst;
	cold->ready_ns = now_ns();
	making_progress(cold->seed, "load", "importing and initialising");
	if (cold_send(cold, base ? "base" : "load", base ? COLD_BASE : COLD_LOAD, &err) < 0)
		cold_fail_err(cold, &err);
}

static void on_gone(void *user, struct instance *inst, const struct call_error *cause)
{
	struct cold *cold = user;
	(void)inst;
	cold->inst = NULL;
	if (!cold->cloned || !cold_without_base(cold, &cause->err))
		cold_fail(cold, cause);
}

/* of a sample */
static void on_result(void *user, struct instance *inst, const struct instance_result *result)
{
	struct cold *cold = user;
	struct ramet_err err = {0};
	(void)inst;
	if (result->error->err.code < 0) {
		struct call_error error = {0};
		(void)call_error_copy(&error, result->error);
		err_prefix(&error.err, "sample %u", cold->sample);
		instance_add_log_tail(cold->inst, &error);
		cold_fail(cold, &error);
		call_error_fini(&error);
	} else if (hot_sampled(cold->hot, result, &err) < 0) {
		cold_fail_err(cold, &err);
	}
}

const struct instance_handler cold_handler = {
	.on_started = on_started,
	.on_result = on_result,
	.on_message = on_message,
	.on_gone = on_gone,
};

/* --- beginning --- */

int cold_start_host(struct cold *cold, struct ramet_err *err)
{
	struct node *node = cold->seed->seeds->node;
	struct app_version *app = cold->seed->app;
	char dir[NODE_PATH_MAX + 128];
	AUTO(command_destroy) struct command *command = NULL;
	int rc = bundles_path(node->bundles, app->id, dir, sizeof(dir));
	if (rc < 0)
		return err_set(err, rc, "path of version %.12s", app->id);
	const char *named = app->python[0] ? app->python : node->config.python;
	rc = command_create(app, cold->python ? cold->python : named, &command, err);
	if (rc < 0)
		return rc;
	cold->phase = COLD_START;
	making_progress(cold->seed, "start", command_argv(command)[0]);
	if (cold_begin_clone(cold, command))
		return 0;
	struct instance_host host = {
		.app = app,
		.argv = command_argv(command),
		.env = command_env(command),
		.dir = dir,
		.view = seed_view_ready(cold->seed),
	};
	return instance_start_host(node->instances, &host, &cold_handler, cold, &cold->inst, err);
}

static int need_environment(struct cold *cold, struct ramet_err *err);

static int keep_made(char **dst, const char *made, struct ramet_err *err)
{
	*dst = strdup(made);
	return *dst ? 0 : err_nomem(err);
}

static void made_one(
	struct cold *cold, char **kept, const char *made, const struct call_error *error)
{
	struct ramet_err err = {0};
	cold->environment = NULL;
	cold->begun_ns = now_ns();
	if (error)
		cold_fail(cold, error);
	else if (keep_made(kept, made, &err) < 0 || need_environment(cold, &err) < 0)
		cold_fail_err(cold, &err);
}

static void on_python(void *user, const char *made, const struct call_error *error)
{
	struct cold *cold = user;
	made_one(cold, &cold->python, made, error);
}

static void on_compiled(void *user, const char *made, const struct call_error *error)
{
	struct cold *cold = user;
	made_one(cold, &cold->compiled, made, error);
}

/* one after the other, then the host */
static int need_environment(struct cold *cold, struct ramet_err *err)
{
	struct app_version *app = cold->seed->app;
	struct node *node = cold->seed->seeds->node;
	bool requires = app->requirements_file[0] || app->requirements.count > 0;
	cold->phase = COLD_SOFTWARE;
	if (requires && !cold->python) {
		making_progress(cold->seed, "install", "installing what the app requires");
		return environment_begin(
			node, app, ENVIRONMENT_PYTHON, on_python, cold, &cold->environment, err);
	}
	if (app_version_compiled(app) && !cold->compiled) {
		making_progress(cold->seed, "compile", "compiling the app's files");
		return environment_begin(node, app, ENVIRONMENT_COMPILED, on_compiled, cold,
			&cold->environment, err);
	}
	return cold_start_host(cold, err);
}

static void on_files(void *user, const struct ramet_err *error)
{
	struct cold *cold = user;
	struct ramet_err err = {0};
	cold->fetch = NULL;
	cold->begun_ns = now_ns();
	int rc = error ? error->code : 0;
	if (rc == 0 && cold->seed->app->data.count > 0)
		rc = seed_view_begin(cold->seed, false, &err);
	else if (rc == 0)
		rc = need_environment(cold, &err);
	if (rc < 0)
		cold_fail_err(cold, error ? error : &err);
}

void cold_viewed(struct cold *cold, const struct ramet_err *error)
{
	struct ramet_err err = {0};
	if (error || need_environment(cold, &err) < 0)
		cold_fail_err(cold, error ? error : &err);
}

int cold_begin(struct seed *seed, struct ramet_err *err)
{
	struct node *node = seed->seeds->node;
	struct cold *cold = calloc(1, sizeof(*cold));
	if (!cold)
		return err_nomem(err);
	cold->seed = seed;
	seed->cold = cold;
	uint32_t peers[NODE_MAX_PEERS];
	unsigned npeers = 0;
	for (unsigned i = 0; i < members_count(node->members); i++) {
		const struct member *m = members_at(node->members, i);
		if (m->alive)
			peers[npeers++] = m->info.node;
	}
	log_info("cold.start", "app=%s version=%.12s", seed->app->app, seed->app->id);
	return bundles_fetch(
		node->bundles, seed->app->id, peers, npeers, on_files, cold, &cold->fetch, err);
}
