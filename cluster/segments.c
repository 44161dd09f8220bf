/* The data side of a node, seen from the control loop: requests are posted to the data thread,
 * answers posted back. Fields of struct segments below `data side` belong to that thread. */
#include "cluster/segments_internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

struct tenant_domain {
	struct list link;
	uint32_t tenant;
	const struct way *way;
	struct transport_domain *domain;
};

struct segment {
	struct loop_task task; /* to the data side; one at a time, since remove is posted after add
				  in order */
	struct loop_task done_task; /* back to the control loop */
	struct loop_task remove_task;
	struct segments *segments;
	struct loop *control;
	uint32_t tenant;
	void *memory;
	size_t len;
	struct transport_segment *transport[SEGMENTS_WAYS_MAX]; /* data side */
	unsigned draining; /* data side: ways */
	struct segment_ref ref[SEGMENTS_WAYS_MAX];
	struct ramet_err err;
	void (*ready)(void *user, const struct ramet_err *err);
	void *ready_user;
	void (*drained)(void *user);
	void *drained_user;
	bool removed; /* control side */
};

static void tell_done(struct segments *s)
{
	pthread_mutex_lock(&s->lock);
	s->done = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

/* run fn on the data side and wait for it: only at the node's start and end */
static void run_and_wait(struct segments *s, void (*fn)(struct loop_task *task))
{
	s->done = false;
	s->setup_task.fn = fn;
	loop_post(segments_loop(s), &s->setup_task);
	pthread_mutex_lock(&s->lock);
	while (!s->done)
		pthread_cond_wait(&s->cond, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

int segments_domain_of(
	struct way *way, uint32_t tenant, struct transport_domain **ret, struct ramet_err *err)
{
	struct segments *s = way->segments;
	list_for_each (d, &s->domains, struct tenant_domain, link) {
		if (d->tenant == tenant && d->way == way) {
			*ret = d->domain;
			return 0;
		}
	}
	struct tenant_domain *d = calloc(1, sizeof(*d));
	if (!d)
		return err_nomem(err);
	int rc = transport_domain_create(way->transport, &d->domain, err);
	if (rc < 0) {
		free(d);
		return rc;
	}
	d->tenant = tenant;
	d->way = way;
	list_append(&s->domains, &d->link);
	*ret = d->domain;
	return 0;
}

struct loop *segments_loop(const struct segments *segments)
{
	return loop_thread_loop(segments->thread);
}

/* --- segments: add on the data side, tell the control side; remove, drain, tell --- */

static void segment_told_ready(struct loop_task *task)
{
	struct segment *seg = container_of(task, struct segment, done_task);
	if (!seg->removed)
		seg->ready(seg->ready_user, &seg->err);
}

static int add_to_way(struct segment *seg, unsigned i, struct ramet_err *err)
{
	struct transport_domain *domain = NULL;
	int rc = segments_domain_of(&seg->segments->ways[i], seg->tenant, &domain, err);
	if (rc == 0)
		rc = transport_segment_add(
			domain, seg->memory, seg->len, 0, &seg->transport[i], err);
	if (rc == 0)
		seg->ref[i] = transport_segment_ref(seg->transport[i], 0);
	return rc;
}

static void segment_add_there(struct loop_task *task)
{
	struct segment *seg = container_of(task, struct segment, task);
	int rc = add_to_way(seg, SEGMENTS_FIRST, &seg->err);
	for (unsigned i = 1; rc == 0 && i < seg->segments->nways; i++) {
		struct ramet_err err = {0};
		if (add_to_way(seg, i, &err) < 0)
			log_err(LOG_WARN, "data.segment", &err); /* peers read it the first way */
	}
	seg->done_task.fn = segment_told_ready;
	loop_post(seg->control, &seg->done_task);
}

int segments_add(struct segments *segments, uint32_t tenant, void *memory, size_t len,
	void (*ready)(void *user, const struct ramet_err *err), void *user,
	struct segment **ret_segment, struct ramet_err *err)
{
	struct segment *seg = calloc(1, sizeof(*seg));
	if (!seg)
		return err_nomem(err);
	seg->segments = segments;
	seg->control = segments->control;
	seg->tenant = tenant;
	seg->memory = memory;
	seg->len = len;
	seg->ready = ready;
	seg->ready_user = user;
	seg->task.fn = segment_add_there;
	*ret_segment = seg;
	loop_post(segments_loop(segments), &seg->task);
	return 0;
}

struct segment_ref segments_ref(const struct segment *segment, unsigned way)
{
	return segment->ref[way];
}

static void segment_told_drained(struct loop_task *task)
{
	struct segment *seg = container_of(task, struct segment, remove_task);
	if (seg->drained)
		seg->drained(seg->drained_user);
	free(seg);
}

static void segment_drained_there(void *user)
{
	struct segment *seg = user;
	if (--seg->draining > 0)
		return;
	seg->remove_task.fn = segment_told_drained;
	loop_post(seg->control, &seg->remove_task);
}

static void segment_remove_there(struct loop_task *task)
{
	struct segment *seg = container_of(task, struct segment, remove_task);
	seg->draining = 1; /* until all ways have been told */
	for (unsigned i = 0; i < SEGMENTS_WAYS_MAX; i++) {
		if (!seg->transport[i])
			continue;
		seg->draining++;
		transport_segment_remove(seg->transport[i], segment_drained_there, seg);
	}
	segment_drained_there(seg);
}

void segments_remove(struct segment *segment, void (*drained)(void *user), void *user)
{
	if (!segment)
		return;
	segment->removed = true;
	segment->drained = drained;
	segment->drained_user = user;
	segment->remove_task.fn = segment_remove_there;
	loop_post(segments_loop(segment->segments), &segment->remove_task);
}

/* --- start and end --- */

static void open_there(struct loop_task *task)
{
	struct segments *s = container_of(task, struct segments, setup_task);
	struct way *way = &s->ways[s->nways];
	int rc = transport_open(
		way->provider, segments_loop(s), s->want_options, &way->transport, &s->setup_err);
	if (rc == 0)
		rc = transport_listen(way->transport, s->want_addr, segments_on_accept, way,
			&way->listener, &s->setup_err);
	if (rc == 0) {
		snprintf(
			way->addr, sizeof(way->addr), "%s", transport_listener_addr(way->listener));
		snprintf(way->device, sizeof(way->device), "%s", transport_device(way->transport));
		s->nways++;
	} else {
		transport_close(way->transport);
		way->transport = NULL;
	}
	s->setup_rc = rc;
	tell_done(s);
}

static void close_there(struct loop_task *task)
{
	struct segments *s = container_of(task, struct segments, setup_task);
	loop_timer_cancel(&s->expiry);
	for (unsigned i = 0; i < s->nways; i++)
		transport_listener_close(s->ways[i].listener);
	list_for_each (d, &s->domains, struct tenant_domain, link)
		transport_domain_destroy(d->domain);
	for (unsigned i = 0; i < s->nways; i++)
		transport_close(s->ways[i].transport);
	tell_done(s);
}

int segments_also(struct segments *s, const char *provider, const char *addr,
	const struct transport_options *options, struct ramet_err *err)
{
	if (s->nways == SEGMENTS_WAYS_MAX)
		return err_set(err, RAMET_EINVAL, "transport %s: there are %u already", provider,
			s->nways);
	struct way *way = &s->ways[s->nways];
	way->segments = s;
	snprintf(way->provider, sizeof(way->provider), "%s", provider);
	s->want_addr = addr;
	s->want_options = options;
	run_and_wait(s, open_there);
	s->want_addr = NULL;
	s->want_options = NULL;
	if (s->setup_rc < 0)
		err_copy(err, &s->setup_err);
	return s->setup_rc;
}

int segments_create(struct loop *control, const char *provider, const char *addr,
	const struct transport_options *options, struct segments **ret_segments,
	struct ramet_err *err)
{
	struct segments *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(err);
	s->control = control;
	list_init(&s->domains);
	list_init(&s->tokens);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->cond, NULL);
	int rc = loop_thread_start("ramet-data", &s->thread, err);
	if (rc == 0)
		rc = segments_also(s, provider, addr, options, err);
	if (rc < 0) {
		segments_destroy(s);
		return rc;
	}
	*ret_segments = s;
	return 0;
}

void segments_destroy(struct segments *segments)
{
	struct segments *s = segments;
	if (!s)
		return;
	if (s->thread) {
		run_and_wait(s, close_there);
		loop_thread_stop(s->thread);
	}
	list_for_each_safe (d, &s->domains, struct tenant_domain, link)
		free(d);
	segments_forget_tokens(s);
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

unsigned segments_way_of(const struct segments *segments, const char *provider)
{
	for (unsigned way = 0; way < segments->nways; way++)
		if (strcmp(segments->ways[way].provider, provider) == 0)
			return way;
	return SEGMENTS_WAYS_MAX;
}

struct transport *segments_transport(const struct segments *segments, const char *provider)
{
	unsigned way = segments_way_of(segments, provider);
	return way == SEGMENTS_WAYS_MAX ? NULL : segments->ways[way].transport;
}

unsigned segments_ways(const struct segments *segments)
{
	return segments->nways;
}

const char *segments_provider(const struct segments *segments, unsigned way)
{
	return segments->ways[way].provider;
}

const char *segments_addr(const struct segments *segments, unsigned way)
{
	return segments->ways[way].addr;
}

const char *segments_device(const struct segments *segments, unsigned way)
{
	return segments->ways[way].device;
}
