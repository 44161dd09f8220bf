/* Instances without processes: see fake_spawn.h. Here is ramet-spawn; what its processes do is in
 * fake_process.c. */
#include "tests/cluster_node/fake_spawn.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "cluster/shadow_check.h"
#include "rfork/capture.h"
#include "tests/cluster_node/fake_process.h"
#include "tests/cluster_node/world.h"
#include "tests/rfork/seed_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct list clients = {&clients, &clients};

static struct fake_process *find(struct spawn_client *client, uint64_t inst)
{
	list_for_each (p, &client->processes, struct fake_process, link)
		if (p->inst == inst)
			return p;
	return NULL;
}

static void run_jobs(struct loop_timer *timer);

struct fake_job *fake_job_new(struct spawn_client *client, enum fake_job_kind kind)
{
	struct fake_job *job = calloc(1, sizeof(*job));
	if (!job)
		abort();
	job->kind = kind;
	job->result.uffd = -1;
	list_append(&client->jobs, &job->link);
	(void)loop_timer_set(client->fake->loop, &client->timer, now_ns(), run_jobs);
	return job;
}

bool fake_kill(struct fake *fake, uint64_t inst)
{
	list_for_each (client, &clients, struct spawn_client, link) {
		struct fake_process *p = client->fake == fake ? find(client, inst) : NULL;
		if (p) {
			fake_process_end(p, 0, SIGKILL);
			return true;
		}
	}
	return false;
}

void fake_release(struct fake *fake)
{
	list_for_each (client, &clients, struct spawn_client, link) {
		list_for_each (p, &client->processes, struct fake_process, link) {
			if (client->fake == fake)
				fake_process_release(p);
		}
	}
}

unsigned fake_holding(const struct fake *fake)
{
	unsigned n = 0;
	list_for_each (client, &clients, struct spawn_client, link) {
		list_for_each (p, &client->processes, struct fake_process, link)
			n += client->fake == fake && p->held;
	}
	return n;
}

/* --- the client's interface --- */

static void run_job(struct spawn_client *client, struct fake_job *job)
{
	struct fake_process *p = find(client, job->inst);
	if (job->kind == FAKE_DONE && job->done) {
		job->done(job->user, &job->result);
	} else if (job->kind == FAKE_BEGIN && p && !p->ending) {
		fake_process_begin(p);
	} else if (job->kind == FAKE_EXIT && p) {
		fake_process_free(p);
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
		struct fake_job *job = list_first(&client->jobs, struct fake_job, link);
		list_remove(&job->link);
		list_append(&now, &job->link);
	}
	while (!list_empty(&now)) {
		struct fake_job *job = list_first(&now, struct fake_job, link);
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
	list_for_each_safe (p, &client->processes, struct fake_process, link)
		fake_process_free(p);
	list_for_each_safe (job, &client->jobs, struct fake_job, link) {
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
	struct fake_job *job = fake_job_new(client, FAKE_DONE);
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
	fake_process_new(client, host->inst, true, host->control_fd, host->log_fd);
	complete(client, host->inst, false, done, user, ret_req);
	fake_job_new(client, FAKE_BEGIN)->inst = host->inst;
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
		fake_process_new(client, clone->inst, false, clone->control_fd, clone->log_fd);
	complete(client, clone->inst, client->fake->fail_clone, done, user, ret_req);
	fake_job_new(client, FAKE_BEGIN)->inst = clone->inst;
	return 0;
}

void spawn_forget(struct spawn_client *client, uint64_t req)
{
	list_for_each (job, &client->jobs, struct fake_job, link)
		if (job->kind == FAKE_DONE && job->req == req)
			job->done = NULL;
}

void spawn_interrupt(struct spawn_client *client, uint64_t inst)
{
	(void)client;
	(void)inst;
}

void spawn_kill(struct spawn_client *client, uint64_t inst)
{
	struct fake_process *p = find(client, inst);
	client->fake->kills++;
	if (p)
		fake_process_end(p, 0, SIGKILL);
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

static void wait_if_told(void)
{
	if (!atomic_load(&fake_capture_waits))
		return;
	atomic_fetch_add(&fake_captures_waiting, 1);
	while (sem_wait(&fake_capture_go) < 0)
		;
}

/* half of its pages are the base's */
static struct fixture layered(void)
{
	const uint64_t half = FAKE_PAGES / 2;
	const uint8_t prot = PROT_READ | PROT_WRITE;
	return (struct fixture){
		.pieces = {{.start = FIXTURE_BASE,
				   .pages = half,
				   .kind = PIECE_IMAGE,
				   .prot = prot,
				   .base = true},
			{.start = FIXTURE_BASE + half * RFORK_PAGE,
				.pages = half,
				.kind = PIECE_IMAGE,
				.prot = prot}},
		.npieces = 2,
		.base_pages = FAKE_PAGES,
	};
}

static void name_base(struct descriptor_header *header, const struct image *base)
{
	const struct descriptor_header *of = base->desc.header;
	memcpy(header->base_id, of->seed_id, SEED_ID_BYTES);
	header->base_epoch = of->epoch;
	header->base_pages = of->image_pages;
	header->base_file_bytes = of->image_file_bytes;
}

int capture_seed(const struct capture_request *request, struct image **ret_image,
	struct capture_stats *ret_stats, struct ramet_err *err)
{
	struct fixture fixture = request->layer ? layered() : fixture_simple(FAKE_PAGES);
	size_t len = 0;
	auto_free void *bytes = fixture_descriptor(&fixture, &len);
	struct descriptor_header *header = bytes;
	uint64_t page[RFORK_PAGE / 8];
	wait_if_told();
	if (fake_capture_fails)
		return err_set(err, RAMET_EREFUSED, "file /tmp/x is open for writing");
	memcpy(header->seed_id, request->seed_id, SEED_ID_BYTES);
	if (request->layer)
		name_base(header, request->base);
	const uint64_t class_id = fake_capture_class;
	header->class_id = class_id ? class_id : request->class_id;
	snprintf(header->class_text, sizeof(header->class_text), "%.150s", request->class_text);
	size_t from = offsetof(struct descriptor_header, checksum) + sizeof(uint64_t);
	header->checksum = hash64((unsigned char *)bytes + from, len - from);
	auto_image struct image *image = NULL;
	int rc = image_create_on(request->layer, bytes, len, &image, err);
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
