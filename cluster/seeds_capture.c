/* Reading the shadow of a host: see seeds_capture.h. */
#include "cluster/seeds_capture.h"

#include "base/cleanup.h"
#include "cluster/node.h"
#include "cluster/seeds_base.h"
#include "cluster/seeds_internal.h"
#include "cluster/shadow_check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct seed_capture {
	struct work work;
	struct capture_request request;
	struct seed_base *base;
	pid_t host;
	struct seed_captured captured;
	struct ramet_err err;
	int rc;
	seed_captured_fn *fn; /* NULL: nobody waits any more */
	void *user;
};

/* Nothing is done to a process that is not the host's own shadow. */
static void capture_run(struct work *work)
{
	struct seed_capture *c = container_of(work, struct seed_capture, work);
	struct capture_request *request = &c->request;
	c->rc = shadow_check(request->pidfd, c->host, &c->err);
	if (c->rc == 0) {
		c->rc = capture_seed(request, &c->captured.image, &c->captured.stats, &c->err);
		(void)syscall(SYS_pidfd_send_signal, request->pidfd, SIGKILL, NULL, 0);
	}
	close_reset(&request->pidfd);
	close_reset(&request->ready_fd);
}

static void capture_done(struct work *work)
{
	struct seed_capture *c = container_of(work, struct seed_capture, work);
	if (c->fn && c->rc < 0)
		c->fn(c->user, NULL, &c->err);
	else if (c->fn)
		c->fn(c->user, &c->captured, NULL);
	image_put(c->captured.image);
	base_put(c->base);
	free(c);
}

static void fill(struct seed_capture *c, const struct seeds *seeds, uint64_t state)
{
	const struct topo *topo = &seeds->node->topo;
	struct capture_request *r = &c->request;
	r->state = state;
	r->class_id = topo->class_id;
	r->timeout_ms = SEEDS_CAPTURE_MS;
	snprintf(r->class_text, sizeof(r->class_text), "%s", topo->class_text);
	r->epoch = c->captured.key.epoch;
	memcpy(r->seed_id, c->captured.key.seed_id, SEED_ID_BYTES);
	r->base = c->base ? base_image(c->base) : NULL;
	r->layer = c->base ? base_layer(c->base) : NULL;
}

int seed_capture_begin(struct seeds *seeds, const struct instance *host, uint64_t epoch,
	struct seed_base *base, const struct wire_value *body, int *fds, unsigned nfds,
	seed_captured_fn *fn, void *user, struct seed_capture **ret_capture, struct ramet_err *err)
{
	struct instance_info info;
	uint64_t state = 0;
	int rc = wire_get_uint(body, "state", UINT64_MAX, &state, err);
	if (rc == 0 && nfds != 2)
		rc = err_set(err, RAMET_EPROTO, "captured with %u descriptors", nfds);
	if (rc < 0)
		return rc;
	instance_get_info(host, &info);
	auto_free struct seed_capture *c = calloc(1, sizeof(*c));
	if (!c)
		return err_nomem(err);
	rc = seed_key_create(epoch, &c->captured.key, err);
	if (rc < 0)
		return rc;
	c->base = base ? base_get(base) : NULL;
	fill(c, seeds, state);
	c->request.pidfd = steal_fd(&fds[0]);
	c->request.ready_fd = steal_fd(&fds[1]);
	c->request.host = c->host = info.pid;
	c->request.cloned = info.kind != START_COLD;
	c->fn = fn;
	c->user = user;
	c->work.run = capture_run;
	c->work.done = capture_done;
	*ret_capture = c;
	workers_submit(seeds->node->workers, &steal_ptr(&c)->work);
	return 0;
}

void seed_capture_forget(struct seed_capture *capture)
{
	if (capture)
		capture->fn = NULL;
}
