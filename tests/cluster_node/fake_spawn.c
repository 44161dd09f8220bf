/* Instances without processes: see fake_spawn.h. */
#include "tests/cluster_node/fake_spawn.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/wire.h"
#include "cluster/shadow_check.h"
#include "rfork/capture.h"
#include "runtime/host_proto.h"
#include "tests/cluster_node/world.h"
#include "tests/rfork/seed_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMITS ((struct wire_limits){.bytes = HOST_MAX_FRAME, .depth = 6, .items = 4096})

enum job_kind { JOB_DONE, JOB_BEGIN, JOB_EXIT };

/* a request's completion, or what a process does next; always told from the loop */
struct job {
	struct list link;
	enum job_kind kind;
	uint64_t req;
	uint64_t inst;
	SPAWN_DONE(done);
	void *user;
	struct spawn_result result;
	struct spawn_exit how;
};

struct process {
	struct list link;
	struct spawn_client *client;
	uint64_t inst;
	bool host, ending;
	struct frame_conn *conn;
	int log_fd;
	struct loop_timer deadline;
	uint64_t call, held; /* held: the call of `hold` that waits */
};

struct spawn_client {
	struct fake *fake;
	struct list processes, jobs;
	struct loop_timer timer;
	const struct spawn_handler *handler;
	void *user;
	uint64_t next_req;
	struct list link;
};

static struct list clients = {&clients, &clients};
static bool capture_fails;
static uint64_t capture_class;

static struct process *find(struct spawn_client *client, uint64_t inst)
{
	list_for_each (p, &client->processes, struct process, link)
		if (p->inst == inst)
			return p;
	return NULL;
}

/* --- what processes say --- */

static void say(struct process *p, struct buf *b, const int *fds, unsigned nfds)
{
	if (p->conn && wire_end(b, NULL) == 0)
		(void)frame_send(p->conn, b->data, b->len, fds, nfds);
	buf_fini(b);
}

static void say_error(struct process *p, const char *type, const char *code, const char *message)
{
	struct buf b = {0};
	wire_map(&b, 2);
	wire_kstr(&b, "t", type);
	wire_key(&b, "error");
	wire_map(&b, 5);
	wire_kstr(&b, "code", code);
	wire_kstr(&b, "kind", "user");
	wire_kstr(&b, "type", "ValueError");
	wire_kstr(&b, "message", message);
	wire_kstr(&b, "traceback", "line 1\nline 2");
	say(p, &b, NULL, 0);
}

static void say_result(struct process *p, uint64_t id, const void *data, size_t len)
{
	struct buf b = {0};
	wire_map(&b, 7);
	wire_kstr(&b, "t", "result");
	wire_kuint(&b, "id", id);
	wire_kbool(&b, "ok", true);
	wire_kbin(&b, "data", len ? data : "", len);
	wire_kbool(&b, "binary", false);
	wire_kuint(&b, "begin", now_ns() - 1000);
	wire_kuint(&b, "end", now_ns());
	say(p, &b, NULL, 0);
}

/* a result with up to three bytes changed */
static void say_noise(struct process *p, uint64_t id)
{
	static unsigned seed = 1;
	struct buf b = {0};
	wire_map(&b, 5);
	wire_kstr(&b, "t", "result");
	wire_kuint(&b, "id", id);
	wire_kbool(&b, "ok", true);
	wire_kbin(&b, "data", "42", 2);
	wire_kuint(&b, "begin", now_ns());
	for (unsigned i = 0; i < 3; i++) {
		seed = seed * 1103515245u + 12345u;
		b.data[(seed >> 8) % b.len] ^= (unsigned char)(seed >> 24);
	}
	say(p, &b, NULL, 0);
}

static void say_failure(struct process *p, uint64_t id, const char *code)
{
	struct buf b = {0};
	wire_map(&b, 4);
	wire_kstr(&b, "t", "result");
	wire_kuint(&b, "id", id);
	wire_kbool(&b, "ok", false);
	wire_key(&b, "error");
	wire_map(&b, 6);
	wire_kstr(&b, "code", code);
	wire_kstr(&b, "kind", "user");
	wire_kstr(&b, "type", "ValueError");
	wire_kstr(&b, "message", "it said no");
	wire_kstr(&b, "traceback", "line 1\nline 2");
	wire_kbool(&b, "retryable", true);
	say(p, &b, NULL, 0);
}

static void say_plain(struct process *p, const char *type)
{
	struct buf b = {0};
	wire_map(&b, 2);
	wire_kstr(&b, "t", type);
	wire_kuint(&b, "us", 7);
	say(p, &b, NULL, 0);
}

static void say_captured(struct process *p)
{
	struct buf b = {0};
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		abort();
	wire_map(&b, 3);
	wire_kstr(&b, "t", "captured");
	wire_kuint(&b, "state", 0x1000);
	wire_kuint(&b, "stall", 350000);
	say(p, &b, fds, 2);
	close(fds[0]);
	close(fds[1]);
}

/* --- their ends --- */

static void run_jobs(struct loop_timer *timer);

static struct job *job_new(struct spawn_client *client, enum job_kind kind)
{
	struct job *job = calloc(1, sizeof(*job));
	if (!job)
		abort();
	job->kind = kind;
	job->result.uffd = -1;
	list_append(&client->jobs, &job->link);
	(void)loop_timer_set(client->fake->loop, &client->timer, now_ns(), run_jobs);
	return job;
}

static void process_free(struct process *p)
{
	loop_timer_cancel(&p->deadline);
	frame_conn_close(p->conn);
	close(p->log_fd);
	list_remove(&p->link);
	free(p);
}

static void process_end(struct process *p, int status, int signal)
{
	if (p->ending)
		return;
	p->ending = true;
	struct job *job = job_new(p->client, JOB_EXIT);
	job->inst = p->inst;
	job->how = (struct spawn_exit){.status = signal ? -1 : status, .signal = signal};
}

bool fake_kill(struct fake *fake, uint64_t inst)
{
	list_for_each (client, &clients, struct spawn_client, link) {
		struct process *p = client->fake == fake ? find(client, inst) : NULL;
		if (p) {
			process_end(p, 0, SIGKILL);
			return true;
		}
	}
	return false;
}

void fake_release(struct fake *fake)
{
	list_for_each (client, &clients, struct spawn_client, link) {
		list_for_each (p, &client->processes, struct process, link) {
			if (client->fake != fake || p->held == 0)
				continue;
			say_result(p, p->held, "\"held\"", 6);
			p->held = 0;
		}
	}
}

/* --- calls --- */

static void at_deadline(struct loop_timer *timer)
{
	struct process *p = container_of(timer, struct process, deadline);
	say_failure(p, p->call, "EDEADLINE");
}

static void die_of_signal(struct process *p)
{
	struct buf b = {0};
	wire_map(&b, 4);
	wire_kstr(&b, "t", "crash");
	wire_kuint(&b, "signal", SIGSEGV);
	wire_kint(&b, "code", 1);
	wire_kuint(&b, "address", 0xdead0);
	say(p, &b, NULL, 0);
	if (write(p->log_fd, "about to crash\n", 15) != 15)
		abort();
	process_end(p, 0, SIGSEGV);
}

static void do_call(struct process *p, const struct wire_value *body)
{
	char fn[65];
	const void *data = NULL;
	size_t len = 0;
	uint64_t deadline = 0;
	const struct wire_value *ctx = NULL;
	if (wire_get_uint(body, "id", UINT64_MAX, &p->call, NULL) < 0 ||
		wire_get_str(body, "fn", fn, sizeof(fn), NULL) < 0 ||
		wire_get_bin(body, "data", &data, &len, NULL) < 0 ||
		wire_get_map(body, "ctx", &ctx, NULL) < 0 ||
		wire_get_uint(ctx, "deadline", UINT64_MAX, &deadline, NULL) < 0)
		abort();
	if (strcmp(fn, "echo") == 0) {
		say_result(p, p->call, data, len);
	} else if (strcmp(fn, "print") == 0) {
		if (write(p->log_fd, "hello\n", 6) != 6)
			abort();
		say_result(p, p->call, data, len);
	} else if (strcmp(fn, "fail") == 0) {
		say_failure(p, p->call, "EUSER");
	} else if (strcmp(fn, "claim") == 0) {
		say_failure(p, p->call, "ELOST");
	} else if (strcmp(fn, "polite") == 0) {
		(void)loop_timer_set(p->client->fake->loop, &p->deadline, deadline, at_deadline);
	} else if (strcmp(fn, "crash") == 0) {
		die_of_signal(p);
	} else if (strcmp(fn, "die") == 0) {
		process_end(p, 0, SIGKILL);
	} else if (strcmp(fn, "leave") == 0) {
		process_end(p, 3, 0);
	} else if (strcmp(fn, "garbage") == 0) {
		(void)frame_send(p->conn, "\xc1\xff", 2, NULL, 0);
	} else if (strcmp(fn, "other") == 0) {
		say_result(p, p->call + 17, data, len);
	} else if (strcmp(fn, "noise") == 0) {
		say_noise(p, p->call);
	} else if (strcmp(fn, "hold") == 0) {
		p->held = p->call;
	} else if (strcmp(fn, "big") == 0) {
		auto_free char *big = calloc(1, 100000);
		say_result(p, p->call, big, 100000);
	}
}

static void on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	struct process *p = user;
	struct fake *fake = p->client->fake;
	struct wire_msg *msg = NULL;
	char type[16];
	(void)fds;
	(void)nfds;
	if (p->ending)
		return;
	if (wire_parse(data, len, LIMITS, &msg, NULL) < 0 ||
		wire_get_str(wire_root(msg), "t", type, sizeof(type), NULL) < 0)
		abort();
	if (strcmp(type, "load") == 0) {
		fake->loads++;
		if (fake->fail_load)
			say_error(p, "failed", "EUSER", "no module named nothing");
		else
			say_plain(p, "loaded");
	} else if (strcmp(type, "capture") == 0) {
		capture_fails = fake->bad_capture;
		capture_class = fake->class_id;
		if (fake->refuse_capture)
			say_error(p, "refused", "EREFUSED", "descriptor 5 is a connected socket");
		else
			say_captured(p);
	} else if (strcmp(type, "call") == 0) {
		do_call(p, wire_root(msg));
	} else if (strcmp(type, "exit") == 0) {
		process_end(p, 0, 0);
	}
	wire_free(msg);
}

static void on_closed(void *user, const struct ramet_err *err)
{
	struct process *p = user;
	(void)err;
	frame_conn_close(steal_ptr(&p->conn));
}

static const struct frame_handler handler = {on_frame, on_closed};

static void process_begin(struct process *p)
{
	struct fake *fake = p->client->fake;
	if (p->host && !fake->no_ready) {
		say_plain(p, "ready");
	} else if (!p->host && !fake->no_started) {
		struct buf b = {0};
		wire_map(&b, 3);
		wire_kstr(&b, "t", "started");
		wire_kuint(&b, "first", now_ns());
		wire_kuint(&b, "hooks", now_ns());
		say(p, &b, NULL, 0);
	}
}

static int process_new(struct spawn_client *client, uint64_t inst, bool host, int control, int log)
{
	struct process *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->client = client;
	p->inst = inst;
	p->host = host;
	p->log_fd = dup(log);
	if (frame_conn_create(client->fake->loop, dup(control), HOST_MAX_FRAME, 2 * HOST_MAX_FRAME,
		    &handler, p, &p->conn, NULL) < 0)
		abort();
	list_append(&client->processes, &p->link);
	client->fake->alive++;
	if (client->fake->alive > client->fake->max_alive)
		client->fake->max_alive = client->fake->alive;
	return 0;
}

/* --- the client's interface --- */

static void run_job(struct spawn_client *client, struct job *job)
{
	struct process *p = find(client, job->inst);
	if (job->kind == JOB_DONE && job->done) {
		job->done(job->user, &job->result);
	} else if (job->kind == JOB_BEGIN && p && !p->ending) {
		process_begin(p);
	} else if (job->kind == JOB_EXIT && p) {
		process_free(p);
		client->fake->alive--;
		client->fake->exits++;
		if (client->handler)
			client->handler->on_exited(client->user, job->inst, &job->how);
	}
}

static void run_jobs(struct loop_timer *timer)
{
	struct spawn_client *client = container_of(timer, struct spawn_client, timer);
	struct list now;
	list_init(&now);
	while (!list_empty(&client->jobs)) {
		struct job *job = list_first(&client->jobs, struct job, link);
		list_remove(&job->link);
		list_append(&now, &job->link);
	}
	while (!list_empty(&now)) {
		struct job *job = list_first(&now, struct job, link);
		list_remove(&job->link);
		run_job(client, job);
		free(job);
	}
}

struct spawn_client *fake_create(struct fake *fake)
{
	struct spawn_client *client = calloc(1, sizeof(*client));
	if (!client)
		abort();
	client->fake = fake;
	list_init(&client->processes);
	list_init(&client->jobs);
	list_append(&clients, &client->link);
	return client;
}

int world_spawn(struct world *world, unsigned index, const struct world_options *options,
	struct ramet_err *err)
{
	struct fake *fake = &world->fakes[index];
	(void)err;
	setenv("RAMET_HOST", "/bin/true", 1);
	fake->loop = world->loop;
	fake->caps = (struct spawn_caps){
		.userfaultfd = !options->eager, .timens = true, .cgroup = "none"};
	world->spawns[index] = fake_create(fake);
	return 0;
}

void spawn_client_stop(struct spawn_client *client)
{
	if (!client)
		return;
	loop_timer_cancel(&client->timer);
	list_for_each_safe (p, &client->processes, struct process, link)
		process_free(p);
	list_for_each_safe (job, &client->jobs, struct job, link) {
		list_remove(&job->link);
		free(job);
	}
	list_remove(&client->link);
	client->fake->alive = 0;
	free(client);
}

void spawn_client_handle(struct spawn_client *client, const struct spawn_handler *to, void *user)
{
	client->handler = to;
	client->user = user;
}

const struct spawn_caps *spawn_client_caps(const struct spawn_client *client)
{
	return &client->fake->caps;
}

int spawn_path_inside(const struct spawn_client *client, const char *path, char *dst, size_t cap,
	struct ramet_err *err)
{
	(void)client;
	(void)err;
	snprintf(dst, cap, "%s", path);
	return 0;
}

int spawn_path_outside(const struct spawn_client *client, const char *path, char *dst, size_t cap,
	struct ramet_err *err)
{
	return spawn_path_inside(client, path, dst, cap, err);
}

static void complete(struct spawn_client *client, uint64_t inst, bool fail, SPAWN_DONE(done),
	void *user, uint64_t *ret_req)
{
	struct job *job = job_new(client, JOB_DONE);
	job->req = ++client->next_req;
	job->done = done;
	job->user = user;
	if (fail)
		err_set(&job->result.err, RAMET_EREFUSED, "it was told to fail");
	job->result.pid = (pid_t)(1000000 + inst);
	job->result.begin_ns = now_ns();
	if (ret_req)
		*ret_req = job->req;
}

int spawn_host(struct spawn_client *client, const struct spawn_host *host, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err)
{
	(void)err;
	client->fake->hosts++;
	process_new(client, host->inst, true, host->control_fd, host->log_fd);
	complete(client, host->inst, false, done, user, ret_req);
	job_new(client, JOB_BEGIN)->inst = host->inst;
	return 0;
}

int spawn_template(struct spawn_client *client, const struct spawn_template *tmpl, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err)
{
	(void)err;
	client->fake->templates++;
	client->fake->uffd_templates += tmpl->uffd;
	complete(client, 0, client->fake->fail_template, done, user, ret_req);
	return 0;
}

int spawn_view(struct spawn_client *client, const struct spawn_view *view, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err)
{
	complete(client, 0, false, done, user, ret_req);
	return 0;
}

void spawn_unview(struct spawn_client *client, uint64_t view)
{
}

int spawn_clone(struct spawn_client *client, const struct spawn_clone *clone, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err)
{
	(void)err;
	client->fake->clones++;
	if (!client->fake->fail_clone)
		process_new(client, clone->inst, false, clone->control_fd, clone->log_fd);
	complete(client, clone->inst, client->fake->fail_clone, done, user, ret_req);
	job_new(client, JOB_BEGIN)->inst = clone->inst;
	return 0;
}

void spawn_forget(struct spawn_client *client, uint64_t req)
{
	list_for_each (job, &client->jobs, struct job, link)
		if (job->kind == JOB_DONE && job->req == req)
			job->done = NULL;
}

void spawn_kill(struct spawn_client *client, uint64_t inst)
{
	struct process *p = find(client, inst);
	client->fake->kills++;
	if (p)
		process_end(p, 0, SIGKILL);
}

void spawn_drop(struct spawn_client *client, uint64_t tmpl)
{
	(void)tmpl;
	client->fake->drops++;
}

/* --- the capture: a made-up image --- */

int shadow_check(int pidfd, pid_t host, struct ramet_err *err)
{
	(void)pidfd;
	(void)host;
	(void)err;
	return 0; /* there are no processes */
}

int capture_seed(const struct capture_request *request, struct image **ret_image,
	struct capture_stats *ret_stats, struct ramet_err *err)
{
	struct fixture fixture = fixture_simple(FAKE_PAGES);
	size_t len = 0;
	auto_free void *bytes = fixture_descriptor(&fixture, &len);
	struct descriptor_header *header = bytes;
	uint64_t page[RFORK_PAGE / 8];
	if (capture_fails)
		return err_set(err, RAMET_EREFUSED, "file /tmp/x is open for writing");
	memcpy(header->seed_id, request->seed_id, SEED_ID_BYTES);
	header->class_id = capture_class ? capture_class : request->class_id;
	snprintf(header->class_text, sizeof(header->class_text), "%.150s", request->class_text);
	size_t from = offsetof(struct descriptor_header, checksum) + sizeof(uint64_t);
	header->checksum = hash64((unsigned char *)bytes + from, len - from);
	auto_image struct image *image = NULL;
	int rc = image_create(bytes, len, &image, err);
	if (rc < 0)
		return rc;
	for (uint64_t i = 0; i < image->npages; i++) {
		fixture_fill(i, page);
		if (image_store(image, i, 1, page) < 0)
			return err_set(err, RAMET_EIO, "store a page");
	}
	*ret_stats = (struct capture_stats){.pages = image->npages};
	*ret_image = steal_ptr(&image);
	return 0;
}
