/* Following output across nodes: see follow.h. A peer that is asked to follow sends every chunk as
 * a notice; notices and answers travel by different connections, so the answer to `unfollow` says
 * how many there were. */
#include "cluster/follow.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/loop.h"
#include "cluster/bus.h"
#include "cluster/log_wire.h"
#include "cluster/members.h"
#include "cluster/node.h"

#include <stdlib.h>

#define STOP_TIMEOUT_NS (500 * NSEC_PER_MSEC)
#define MAX_FOREIGN 4096

struct follows {
	struct node *node;
	struct list own; /* struct follow: begun here */
	struct list foreign; /* struct foreign: begun by peers */
	unsigned nforeign;
	uint64_t sequence;
};

/* a peer that sends us what it prints */
struct source {
	struct follow *follow;
	uint32_t node;
	uint64_t received, sent; /* chunks; sent is known once it answered unfollow */
	uint64_t call; /* bus request that waits, or 0 */
	bool over;
};

struct follow {
	struct list link;
	struct follows *follows;
	uint64_t id;
	follow_chunk_fn *fn;
	void *user;
	struct log_filter filter;
	uint32_t only; /* 0: all nodes */
	struct log_follow *local;
	struct source *sources;
	unsigned nsources;
	void (*done)(void *user, uint64_t lost);
	void *done_user;
	struct loop_timer timer;
	uint64_t lost;
	bool stopping;
};

/* a follow of a peer on this node */
struct foreign {
	struct list link;
	struct follows *follows;
	uint32_t node;
	uint64_t id, sent;
	struct log_follow *local;
};

/* --- ours --- */

static void follow_free(struct follow *follow)
{
	struct node *node = follow->follows->node;
	log_follow_stop(node->logs, follow->local);
	for (unsigned i = 0; i < follow->nsources; i++)
		if (follow->sources[i].call)
			bus_forget(node->bus, follow->sources[i].call);
	loop_timer_cancel(&follow->timer);
	list_remove(&follow->link);
	free(follow->sources);
	free(follow);
}

static void on_local(void *user, const struct log_chunk *chunk)
{
	struct follow *follow = user;
	follow->fn(follow->user, follow->follows->node->config.node, chunk);
}

static void ask_source(struct follow *follow, uint32_t node)
{
	struct buf b = {0};
	wire_map(&b, 1 + LOG_FILTER_PAIRS);
	wire_kuint(&b, "id", follow->id);
	log_filter_pack_pairs(&follow->filter, &b);
	bus_notify(follow->follows->node->bus, node, "follow", &b);
}

static void add_source(struct follow *follow, uint32_t node)
{
	struct source *source = NULL;
	if (follow->only && follow->only != node)
		return;
	for (unsigned i = 0; i < follow->nsources && !source; i++)
		if (follow->sources[i].node == node)
			source = &follow->sources[i];
	if (!source)
		source = &follow->sources[follow->nsources++];
	*source = (struct source){.follow = follow, .node = node};
	ask_source(follow, node);
}

int follow_start(struct follows *follows, const struct log_filter *filter, uint32_t only,
	follow_chunk_fn *fn, void *user, struct follow **ret_follow, struct ramet_err *err)
{
	struct node *node = follows->node;
	struct follow *follow = calloc(1, sizeof(*follow));
	if (!follow)
		return err_nomem(err);
	list_init(&follow->link);
	follow->follows = follows;
	follow->id = ++follows->sequence;
	follow->filter = *filter;
	follow->only = only;
	follow->fn = fn;
	follow->user = user;
	/* one for each peer there can be */
	follow->sources = calloc(members_count(node->members) + 1, sizeof(*follow->sources));
	int rc = follow->sources ? 0 : err_nomem(err);
	if (rc == 0 && (!only || only == node->config.node))
		rc = log_follow_start(node->logs, filter, on_local, follow, &follow->local, err);
	if (rc < 0) {
		follow_free(follow);
		return rc;
	}
	for (unsigned i = 0; i < members_count(node->members); i++) {
		const struct member *member = members_at(node->members, i);
		if (member->alive)
			add_source(follow, member->info.node);
	}
	list_append(&follows->own, &follow->link);
	*ret_follow = follow;
	return 0;
}

void follows_node_up(struct follows *follows, uint32_t node)
{
	list_for_each (follow, &follows->own, struct follow, link)
		if (!follow->stopping)
			add_source(follow, node);
}

static void on_stopped(struct loop_timer *timer)
{
	struct follow *follow = container_of(timer, struct follow, timer);
	void (*done)(void *, uint64_t) = follow->done;
	void *user = follow->done_user;
	uint64_t lost = follow->lost;
	follow_free(follow);
	done(user, lost);
}

/* all that was sent has come? */
static void check_stopped(struct follow *follow)
{
	for (unsigned i = 0; i < follow->nsources; i++)
		if (!follow->sources[i].over ||
			follow->sources[i].received < follow->sources[i].sent)
			return;
	loop_timer_set(follow->follows->node->loop, &follow->timer, now_ns(), on_stopped);
}

static void on_unfollowed(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct source *source = user;
	uint64_t sent = 0, lost = 0;
	source->call = 0;
	source->over = true;
	if (!error && wire_get_uint(body, "sent", UINT64_MAX, &sent, NULL) == 0 &&
		wire_get_uint(body, "lost", UINT64_MAX, &lost, NULL) == 0) {
		source->sent = sent;
		source->follow->lost += lost;
	}
	check_stopped(source->follow);
}

static void unfollow(struct source *source)
{
	struct buf b = {0};
	wire_map(&b, 1);
	wire_kuint(&b, "id", source->follow->id);
	if (bus_call(source->follow->follows->node->bus, source->node, "unfollow", &b,
		    STOP_TIMEOUT_NS, on_unfollowed, source, &source->call, NULL) < 0)
		source->over = true;
}

void follow_stop(struct follow *follow, void (*done)(void *user, uint64_t lost), void *user)
{
	if (!follow)
		return;
	if (!follow->stopping) {
		follow->lost += log_follow_stop(follow->follows->node->logs, follow->local);
		follow->local = NULL;
		for (unsigned i = 0; i < follow->nsources; i++)
			unfollow(&follow->sources[i]);
	}
	follow->stopping = true;
	follow->done = done;
	follow->done_user = user;
	if (!done) {
		follow_free(follow);
		return;
	}
	loop_timer_set(follow->follows->node->loop, &follow->timer, now_ns() + STOP_TIMEOUT_NS,
		on_stopped);
	check_stopped(follow);
}

void follows_on_log(
	struct follows *follows, struct bus_request *request, const struct wire_value *body)
{
	uint32_t node = bus_request_node(request);
	const struct wire_value *map;
	struct log_chunk chunk;
	uint64_t id;
	int rc = wire_get_uint(body, "id", UINT64_MAX, &id, NULL);
	if (rc == 0)
		rc = wire_get_map(body, "chunk", &map, NULL);
	if (rc == 0)
		rc = log_chunk_parse(map, &chunk, NULL);
	bus_reply(request, NULL);
	if (rc < 0)
		return;
	list_for_each (follow, &follows->own, struct follow, link) {
		if (follow->id != id)
			continue;
		for (unsigned i = 0; i < follow->nsources; i++) {
			if (follow->sources[i].node != node)
				continue;
			follow->sources[i].received++;
			if (follow->stopping)
				check_stopped(follow);
			follow->fn(follow->user, node, &chunk); /* may stop it */
			return;
		}
	}
}

/* --- those of peers --- */

static struct foreign *find_foreign(struct follows *follows, uint32_t node, uint64_t id)
{
	list_for_each (foreign, &follows->foreign, struct foreign, link)
		if (foreign->node == node && foreign->id == id)
			return foreign;
	return NULL;
}

static uint64_t foreign_free(struct foreign *foreign)
{
	uint64_t lost = log_follow_stop(foreign->follows->node->logs, foreign->local);
	list_remove(&foreign->link);
	foreign->follows->nforeign--;
	free(foreign);
	return lost;
}

static void on_foreign(void *user, const struct log_chunk *chunk)
{
	struct foreign *foreign = user;
	struct node *node = foreign->follows->node;
	struct buf b = {0};
	wire_map(&b, 2);
	wire_kuint(&b, "id", foreign->id);
	wire_key(&b, "chunk");
	wire_map(&b, LOG_CHUNK_PAIRS);
	log_chunk_pack_pairs(node->config.node, chunk, &b);
	foreign->sent++;
	bus_notify(node->bus, foreign->node, "log", &b);
}

static void begin_foreign(
	struct follows *follows, uint32_t node, uint64_t id, const struct log_filter *filter)
{
	if (follows->nforeign >= MAX_FOREIGN || find_foreign(follows, node, id))
		return;
	struct foreign *foreign = calloc(1, sizeof(*foreign));
	if (!foreign)
		return;
	foreign->follows = follows;
	foreign->node = node;
	foreign->id = id;
	list_append(&follows->foreign, &foreign->link);
	follows->nforeign++;
	if (log_follow_start(
		    follows->node->logs, filter, on_foreign, foreign, &foreign->local, NULL) < 0)
		foreign_free(foreign);
}

void follows_on_follow(
	struct follows *follows, struct bus_request *request, const struct wire_value *body)
{
	struct log_filter filter;
	uint64_t id;
	if (wire_get_uint(body, "id", UINT64_MAX, &id, NULL) == 0 &&
		log_filter_parse(body, &filter, NULL) == 0)
		begin_foreign(follows, bus_request_node(request), id, &filter);
	bus_reply(request, NULL);
}

void follows_on_unfollow(
	struct follows *follows, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	struct foreign *foreign = NULL;
	uint64_t id = 0;
	int rc = wire_get_uint(body, "id", UINT64_MAX, &id, &err);
	if (rc == 0)
		foreign = find_foreign(follows, bus_request_node(request), id);
	if (rc == 0 && !foreign)
		err_set(&err, RAMET_ENOTFOUND, "no such follow");
	if (!foreign) {
		bus_reply_err(request, &err);
		return;
	}
	struct buf b = {0};
	wire_map(&b, 2);
	wire_kuint(&b, "sent", foreign->sent);
	wire_kuint(&b, "lost", foreign_free(foreign));
	bus_reply(request, &b);
}

void follows_node_down(struct follows *follows, uint32_t node)
{
	list_for_each_safe (foreign, &follows->foreign, struct foreign, link)
		if (foreign->node == node)
			foreign_free(foreign);
}

/* --- making and ending --- */

int follows_create(struct node *node, struct follows **ret_follows, struct ramet_err *err)
{
	struct follows *follows = calloc(1, sizeof(*follows));
	if (!follows)
		return err_nomem(err);
	follows->node = node;
	list_init(&follows->own);
	list_init(&follows->foreign);
	*ret_follows = follows;
	return 0;
}

void follows_destroy(struct follows *follows)
{
	if (!follows)
		return;
	list_for_each_safe (follow, &follows->own, struct follow, link)
		follow_free(follow);
	list_for_each_safe (foreign, &follows->foreign, struct foreign, link)
		foreign_free(foreign);
	free(follows);
}
