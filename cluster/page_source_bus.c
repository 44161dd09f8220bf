/* A page source between two threads: reads come on the pager's, the bus is the control loop's. A
 * request goes to and fro between them by one task. When the pager ends, control stands still, so
 * `detached` needs no lock: whoever has the request next frees it. */
#include "cluster/page_source_bus.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/loop.h"
#include "cluster/bus.h"
#include "cluster/node.h"
#include "rfork/descriptor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INFLIGHT 4
#define ASK_NS (3000 * NSEC_PER_MSEC) /* of who lives; who is dead answers at once */
#define AGAIN_NS (10 * NSEC_PER_MSEC)
#define PATIENCE_NS NSEC_PER_SEC /* with a peer that is asked too much */

struct bus_source {
	struct page_source base;
	struct node *node;
	struct loop *loop;
	uint32_t peer;
	struct buf request;
	struct list waiting; /* struct page_read.link */
	struct list requests;
	unsigned inflight;
	struct loop_timer again;
	char name[64];
};

struct request {
	struct list link; /* bus_source.requests */
	struct loop_task task;
	struct bus_source *source;
	struct page_read *read;
	struct node *node;
	struct loop *loop;
	uint32_t peer;
	struct buf body;
	unsigned count;
	unsigned char *dst;
	bool detached; /* the source has gone */
	int status;
};

static void pump(struct bus_source *source);

static void request_free(struct request *request)
{
	buf_fini(&request->body);
	free(request);
}

/* --- the pager's thread --- */

static void on_again(struct loop_timer *timer)
{
	pump(container_of(timer, struct bus_source, again));
}

static void finish(struct page_read *read, int status)
{
	list_remove(&read->link);
	read->done(read, status);
}

static void request_over(struct loop_task *task)
{
	struct request *request = container_of(task, struct request, task);
	struct bus_source *source = request->source;
	struct page_read *read = request->read;
	int status = request->status;
	bool detached = request->detached;
	list_remove(&request->link);
	request_free(request);
	if (detached)
		return;
	source->inflight--;
	bool again = status == RAMET_EAGAIN && now_ns() < read->deadline_ns;
	if (again) {
		list_insert(&source->waiting, &read->link);
		if (loop_timer_set(source->loop, &source->again, now_ns() + AGAIN_NS, on_again) < 0)
			finish(read, RAMET_EAGAIN);
		return;
	}
	pump(source); /* before done(): the source may go with it */
	finish(read, status);
}

/* --- the control loop --- */

static void request_back(struct request *request, int status)
{
	request->status = status;
	if (request->detached) {
		request_free(request);
		return;
	}
	request->task.fn = request_over;
	loop_post(request->loop, &request->task);
}

static void on_pages(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct request *request = user;
	const void *data = NULL;
	size_t len = 0;
	int rc = error ? error->code : wire_get_bin(body, "data", &data, &len, NULL);
	if (rc == 0 && len != request->count * RFORK_PAGE)
		rc = RAMET_EPROTO;
	if (rc == 0 && len > 0 && !request->detached)
		memcpy(request->dst, data, len);
	request_back(request, rc);
}

static void request_ask(struct loop_task *task)
{
	struct request *request = container_of(task, struct request, task);
	uint64_t id;
	int rc = RAMET_ECLOSED;
	if (!request->detached && request->node->bus)
		rc = bus_call(request->node->bus, request->peer, "seed.pages", &request->body,
			ASK_NS, on_pages, request, &id, NULL);
	if (rc < 0)
		request_back(request, rc);
}

/* --- the pager's thread --- */

static int ask(struct bus_source *source, struct page_read *read)
{
	struct request *request = calloc(1, sizeof(*request));
	if (!request)
		return RAMET_ENOMEM;
	*request = (struct request){.source = source,
		.read = read,
		.node = source->node,
		.loop = source->loop,
		.peer = source->peer,
		.count = read->count,
		.dst = read->dst};
	list_init(&request->link);
	buf_append(&request->body, source->request.data, source->request.len);
	wire_kbin(&request->body, "pages", read->pages, read->count * sizeof(*read->pages));
	if (request->body.oom) {
		request_free(request);
		return RAMET_ENOMEM;
	}
	list_append(&source->requests, &request->link);
	source->inflight++;
	request->task.fn = request_ask;
	loop_post(source->node->loop, &request->task);
	return 0;
}

static void pump(struct bus_source *source)
{
	while (source->inflight < INFLIGHT && !list_empty(&source->waiting)) {
		struct page_read *read = list_first(&source->waiting, struct page_read, link);
		list_remove(&read->link);
		if (ask(source, read) < 0) {
			list_insert(&source->waiting, &read->link);
			(void)loop_timer_set(
				source->loop, &source->again, now_ns() + AGAIN_NS, on_again);
			return;
		}
	}
}

static struct bus_source *bus_source(struct page_source *base)
{
	return container_of(base, struct bus_source, base);
}

static int source_read(struct page_source *base, struct page_read *read)
{
	struct bus_source *source = bus_source(base);
	read->deadline_ns = now_ns() + PATIENCE_NS;
	if (read->urgent)
		list_insert(&source->waiting, &read->link);
	else
		list_append(&source->waiting, &read->link);
	pump(source);
	return 0;
}

static void source_destroy(struct page_source *base)
{
	struct bus_source *source = bus_source(base);
	loop_timer_cancel(&source->again);
	list_for_each_safe (request, &source->requests, struct request, link) {
		struct page_read *read = request->read;
		list_remove(&request->link);
		request->detached = true;
		read->done(read, RAMET_ECLOSED);
	}
	while (!list_empty(&source->waiting))
		finish(list_first(&source->waiting, struct page_read, link), RAMET_ECLOSED);
	buf_fini(&source->request);
	free(source);
}

static const struct page_source_ops bus_source_ops = {
	.name = "bus",
	.read = source_read,
	.destroy = source_destroy,
};

int page_source_bus_create(
	const struct page_source_bus *spec, struct page_source **ret_source, struct ramet_err *err)
{
	struct bus_source *source = calloc(1, sizeof(*source));
	if (!source)
		return err_nomem(err);
	source->node = spec->node;
	source->loop = spec->loop;
	source->peer = spec->peer;
	list_init(&source->waiting);
	list_init(&source->requests);
	buf_append(&source->request, spec->request->data, spec->request->len);
	snprintf(source->name, sizeof(source->name), "node %u by message", spec->peer);
	source->base.ops = &bus_source_ops;
	source->base.name = source->name;
	source->base.rank = spec->rank;
	if (source->request.oom) {
		free(source);
		return err_nomem(err);
	}
	*ret_source = &source->base;
	return 0;
}
