/* A cold start: the app's files, a host, its initialisation, the capture that makes it a seed. The
 * host goes on as an instance. What fails on the way leaves nothing behind. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bundle.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/seeds_command.h"
#include "cluster/shadow_check.h"
#include "rfork/capture.h"
#include "rfork/safepoint.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum cold_phase { COLD_FILES, COLD_START, COLD_LOAD, COLD_SAMPLES, COLD_STOP, COLD_READ };

struct capture_job {
	struct work work;
	struct cold *cold; /* NULL: nobody waits any more */
	struct capture_request request;
	pid_t host;
	struct seed_key key;
	struct image *image;
	struct capture_stats stats;
	struct ramet_err err;
	int rc;
};

struct cold {
	struct seed *seed;
	enum cold_phase phase;
	struct bundle_fetch *fetch;
	struct instance *inst;
	struct capture_job *job;
	struct loop_timer timer;
	uint32_t sample; /* the next, of every function's samples in one row */
	uint64_t begun_ns, ready_ns, loaded_ns, capture_ns;
	struct call_error error; /* why it fails; told when the host has gone */
};

static const struct instance_handler cold_handler;

/* a host that failed is nobody's: it is only waited for */
static void orphan_gone(void *user, struct instance *inst, const struct call_error *cause)
{
	(void)user;
	(void)inst;
	(void)cause;
}
static const struct instance_handler orphan_handler = {.on_gone = orphan_gone};

void cold_abandon(struct cold *cold)
{
	if (!cold)
		return;
	loop_timer_cancel(&cold->timer);
	bundle_fetch_forget(cold->fetch);
	if (cold->job)
		cold->job->cold = NULL;
	if (cold->inst && cold->seed->seeds->node->instances) {
		instance_own(cold->inst, &orphan_handler, NULL);
		instance_end(cold->inst);
	}
	call_error_fini(&cold->error);
	free(cold);
}

bool cold_can_cancel(const struct cold *cold)
{
	return cold->phase < COLD_STOP;
}

static void cold_fail(struct cold *cold, const struct call_error *error)
{
	seed_failed(cold->seed, error); /* abandons cold, too */
}

static void cold_fail_err(struct cold *cold, const struct ramet_err *err)
{
	struct call_error error = {.err = *err, .node = cold->seed->seeds->node->config.node};
	cold_fail(cold, &error);
}

static void too_slow(struct loop_timer *timer)
{
	struct cold *cold = container_of(timer, struct cold, timer);
	const char *app = cold->seed->app->app;
	struct ramet_err err = {0};
	if (cold->phase == COLD_LOAD || cold->phase == COLD_SAMPLES)
		err_set(&err, RAMET_ETIMEOUT, "%s did not initialise within %d s", app,
			SEEDS_LOAD_MS / 1000);
	else
		err_set(&err, RAMET_ETIMEOUT, "%s could not be captured within %d s", app,
			SEEDS_CAPTURE_MS / 1000);
	cold_fail_err(cold, &err);
}

static int cold_wait(struct cold *cold, enum cold_phase phase, uint64_t ms)
{
	cold->phase = phase;
	return loop_timer_set(cold->seed->seeds->node->loop, &cold->timer,
		now_ns() + ms * NSEC_PER_MSEC, too_slow);
}

/* --- capture --- */

/* Nothing is done to a process that is not the host's own shadow. */
static void capture_run(struct work *work)
{
	struct capture_job *job = container_of(work, struct capture_job, work);
	struct capture_request *request = &job->request;
	job->rc = shadow_check(request->pidfd, job->host, &job->err);
	if (job->rc == 0) {
		job->rc = capture_seed(request, &job->image, &job->stats, &job->err);
		(void)syscall(SYS_pidfd_send_signal, request->pidfd, SIGKILL, NULL, 0);
	}
	close_reset(&request->pidfd);
	close_reset(&request->ready_fd);
}

static void cold_captured(struct cold *cold, struct capture_job *job)
{
	struct seed *seed = cold->seed;
	const struct seeds *seeds = seed->seeds;
	struct instance_info info;
	uint64_t now = now_ns();
	instance_get_info(cold->inst, &info);
	seed->image = steal_ptr(&job->image);
	seed->key = job->key;
	seed->origin = true;
	snprintf(seed->boot_id, sizeof(seed->boot_id), "%s", seeds->boot_id);
	seed->made.instance = info.id;
	seed->made.pid = info.pid;
	seed->made.ready_ns = cold->ready_ns - cold->begun_ns;
	seed->made.load_ns = cold->loaded_ns - cold->ready_ns;
	seed->made.capture_ns = now - cold->capture_ns;
	seed->made.image_bytes = seed->image->npages * RFORK_PAGE;
	log_info("seed.made",
		"app=%s version=%.12s pages=%llu load_ms=%llu capture_us=%llu stall_us=%llu",
		seed->app->app, seed->app->id, (unsigned long long)seed->image->npages,
		(unsigned long long)(seed->made.load_ns / NSEC_PER_MSEC),
		(unsigned long long)(seed->made.capture_ns / NSEC_PER_USEC),
		(unsigned long long)(seed->made.stall_ns / NSEC_PER_USEC));
	struct instance *host = steal_ptr(&cold->inst);
	seed->cold = NULL;
	cold_abandon(cold);
	seed_ready(seed, host);
}

static void capture_done(struct work *work)
{
	struct capture_job *job = container_of(work, struct capture_job, work);
	struct cold *cold = job->cold;
	if (cold) {
		cold->job = NULL;
		loop_timer_cancel(&cold->timer);
		if (job->rc < 0)
			cold_fail_err(cold, &job->err);
		else
			cold_captured(cold, job);
	}
	image_put(job->image);
	free(job);
}

static int on_captured(struct cold *cold, const struct wire_value *body, int *fds, unsigned nfds,
	struct ramet_err *err)
{
	struct seeds *seeds = cold->seed->seeds;
	const struct topo *topo = &seeds->node->topo;
	struct instance_info info;
	uint64_t state = 0;
	int rc = wire_get_uint(body, "state", UINT64_MAX, &state, err);
	if (rc == 0)
		rc = wire_get_uint_or(
			body, "stall", UINT64_MAX, 0, &cold->seed->made.stall_ns, err);
	if (rc == 0 && nfds != 2)
		rc = err_set(err, RAMET_EPROTO, "captured with %u descriptors", nfds);
	if (rc < 0)
		return rc;
	instance_get_info(cold->inst, &info);
	struct capture_job *job = calloc(1, sizeof(*job));
	if (!job)
		return err_nomem(err);
	job->request = (struct capture_request){
		.state = state,
		.class_id = topo->class_id,
		.timeout_ms = SEEDS_CAPTURE_MS,
	};
	snprintf(job->request.class_text, sizeof(job->request.class_text), "%s", topo->class_text);
	rc = seed_key_create(seeds_epoch(seeds, cold->seed->app->id), &job->key, err);
	if (rc < 0) {
		free(job);
		return rc;
	}
	job->request.epoch = job->key.epoch;
	memcpy(job->request.seed_id, job->key.seed_id, SEED_ID_BYTES);
	job->request.pidfd = steal_fd(&fds[0]);
	job->request.ready_fd = steal_fd(&fds[1]);
	job->host = info.pid;
	job->request.host = info.pid;
	job->cold = cold;
	job->work.run = capture_run;
	job->work.done = capture_done;
	cold->job = job;
	cold->phase = COLD_READ;
	workers_submit(seeds->node->workers, &job->work);
	return 0;
}

/* --- the host's messages --- */

_Static_assert(CLIENT_CLOSE_ALL == (int)SAFEPOINT_CLOSE_ALL &&
		CLIENT_CLOSE_FILES == (int)SAFEPOINT_CLOSE_FILES &&
		CLIENT_CLOSE_OTHER == (int)SAFEPOINT_CLOSE_OTHER,
	"hosts are told in the numbers of deployments");

static int ask_capture(struct cold *cold, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	cold->loaded_ns = cold->capture_ns = now_ns();
	making_progress(cold->seed, "capture", "capturing the initialised process");
	wire_map(&b, 2);
	wire_kstr(&b, "t", "capture");
	wire_kuint(&b, "close", cold->seed->app->close_on_fork);
	int rc = wire_end(&b, err);
	if (rc == 0)
		rc = instance_send(cold->inst, &b, err);
	if (rc == 0)
		rc = cold_wait(cold, COLD_STOP, SEEDS_CAPTURE_MS);
	return rc;
}

/* every function is called with every sample, so that what the first calls do is in the seed */
static int next_sample(struct cold *cold, struct ramet_err *err)
{
	const struct app_version *app = cold->seed->app;
	if (cold->sample == app->nsamples * app->nfunctions)
		return ask_capture(cold, err);
	const struct app_sample *sample = &app->samples[cold->sample % app->nsamples];
	struct instance_call call = {
		.id = "",
		.function = app->functions[cold->sample / app->nsamples].name,
		.data = sample->data,
		.len = sample->len,
		.size = 1,
		.max_output = CLIENT_MAX_PAYLOAD,
	};
	cold->sample++;
	return instance_call(cold->inst, &call, err);
}

static int on_loaded(struct cold *cold, struct ramet_err *err)
{
	if (cold->seed->app->nsamples == 0)
		return ask_capture(cold, err);
	making_progress(cold->seed, "load", "calling the functions with the samples");
	int rc = cold_wait(cold, COLD_SAMPLES, SEEDS_LOAD_MS);
	return rc < 0 ? err_nomem(err) : next_sample(cold, err);
}

/* load or capture failed, and the host says why: its error is the deployment's */
static int on_refused(struct cold *cold, const struct wire_value *body, struct ramet_err *err)
{
	struct call_error error = {0};
	int rc = instance_take_error(cold->inst, body, &error, err);
	if (rc < 0)
		return rc;
	instance_add_log_tail(cold->inst, &error);
	cold_fail(cold, &error);
	call_error_fini(&error);
	return 0;
}

static int on_message(void *user, struct instance *inst, const char *type,
	const struct wire_value *body, int *fds, unsigned nfds, struct ramet_err *err)
{
	struct cold *cold = user;
	(void)inst;
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

static int send_load(struct cold *cold, struct ramet_err *err)
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
		rc = command_pack_load(cold->seed->app, inside, &b, err);
	return rc < 0 ? rc : instance_send(cold->inst, &b, err);
}

static void on_started(void *user, struct instance *inst)
{
	struct cold *cold = user;
	struct ramet_err err = {0};
	(void)inst;
	cold->ready_ns = now_ns();
	making_progress(cold->seed, "load", "importing and initialising");
	int rc = send_load(cold, &err);
	if (rc == 0)
		rc = cold_wait(cold, COLD_LOAD, SEEDS_LOAD_MS);
	if (rc < 0)
		cold_fail_err(cold, &err);
}

static void on_gone(void *user, struct instance *inst, const struct call_error *cause)
{
	struct cold *cold = user;
	(void)inst;
	cold->inst = NULL;
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
		err_prefix(&error.err, "sample %u", (cold->sample - 1) % cold->seed->app->nsamples);
		instance_add_log_tail(cold->inst, &error);
		cold_fail(cold, &error);
		call_error_fini(&error);
	} else if (next_sample(cold, &err) < 0) {
		cold_fail_err(cold, &err);
	}
}

static const struct instance_handler cold_handler = {
	.on_started = on_started,
	.on_result = on_result,
	.on_message = on_message,
	.on_gone = on_gone,
};

/* --- beginning --- */

static int start_host(struct cold *cold, struct ramet_err *err)
{
	struct node *node = cold->seed->seeds->node;
	struct app_version *app = cold->seed->app;
	char dir[NODE_PATH_MAX + 128];
	AUTO(command_destroy) struct command *command = NULL;
	int rc = bundles_path(node->bundles, app->id, dir, sizeof(dir));
	if (rc < 0)
		return err_set(err, rc, "path of version %.12s", app->id);
	rc = command_create(app, node->config.python, &command, err);
	if (rc < 0)
		return rc;
	struct instance_host host = {
		.app = app,
		.argv = command_argv(command),
		.env = command_env(command),
		.dir = dir,
	};
	cold->phase = COLD_START;
	making_progress(cold->seed, "start", command_argv(command)[0]);
	return instance_start_host(node->instances, &host, &cold_handler, cold, &cold->inst, err);
}

static void on_files(void *user, const struct ramet_err *error)
{
	struct cold *cold = user;
	struct ramet_err err = {0};
	cold->fetch = NULL;
	cold->begun_ns = now_ns();
	if (error || start_host(cold, &err) < 0)
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
