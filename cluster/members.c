/* Membership: hellos, heartbeats, what peers tell of themselves. See members.h and bus_proto.h.
 *
 * A peer is alive from the moment it answers our hello until it is unheard of for too long, its
 * connection is lost, it says bye, or it comes back as another incarnation. */
#include "cluster/members.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "cluster/bus.h"
#include "cluster/bus_proto.h"
#include "cluster/members_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO_TIMEOUT_NS (2500 * NSEC_PER_MSEC) /* who is not there at all is known at once */
#define BEATS_PER_SILENCE 4
#define TELL_INTERVAL_NS (5 * NSEC_PER_MSEC)

struct peer {
	struct member member; /* first: members_at() hands it out */
	struct members *members;
	uint64_t heard_ns;
	uint64_t hello; /* bus request that waits, or 0 */
	bool refused; /* told once that it does not fit */
};

struct members {
	struct members_options options;
	struct member_info self;
	struct peer **peers;
	unsigned npeers;
	struct member_load load;
	struct holding *holdings;
	uint32_t nholdings;
	struct loop_timer beat, tell;
	uint64_t next_beat_ns, told_ns;
	bool holdings_changed;
};

static struct peer *find_peer(const struct members *members, uint32_t node)
{
	for (unsigned i = 0; i < members->npeers; i++)
		if (members->peers[i]->member.info.node == node)
			return members->peers[i];
	return NULL;
}

static void send_ping(struct peer *peer)
{
	struct buf b = {0};
	wire_map(&b, 1);
	wire_kbool(&b, "alive", peer->member.alive);
	bus_notify(peer->members->options.bus, peer->member.info.node, "ping", &b);
}

static void send_holdings(struct peer *peer)
{
	struct buf b = {0};
	const struct members *members = peer->members;
	wire_map(&b, 1);
	wire_key(&b, "list");
	holdings_pack(members->holdings, members->nholdings, &b);
	bus_notify(members->options.bus, peer->member.info.node, "holdings", &b);
}

static void peer_dead(struct peer *peer, const char *why)
{
	const struct members_options *options = &peer->members->options;
	if (!peer->member.alive)
		return;
	peer->member.alive = false;
	peer->member.sees_us = false;
	free(peer->member.holdings);
	peer->member.holdings = NULL;
	peer->member.nholdings = 0;
	memset(&peer->member.load, 0, sizeof(peer->member.load));
	log_warn("node.dead", "node=%u why=\"%s\"", peer->member.info.node, why);
	bus_peer_down(options->bus, peer->member.info.node);
	if (options->handler && options->handler->on_dead)
		options->handler->on_dead(options->user, &peer->member);
}

static void peer_alive(struct peer *peer)
{
	const struct members_options *options = &peer->members->options;
	if (peer->member.alive)
		return;
	peer->member.alive = true;
	peer->refused = false;
	peer->heard_ns = now_ns();
	log_info("node.alive", "node=%u name=%s addr=%s", peer->member.info.node,
		peer->member.info.name, peer->member.info.listen);
	send_ping(peer); /* so that it knows without waiting for a beat */
	send_holdings(peer);
	if (options->handler && options->handler->on_alive)
		options->handler->on_alive(options->user, &peer->member);
}

static void changed(struct peer *peer)
{
	const struct members_options *options = &peer->members->options;
	if (peer->member.alive && options->handler && options->handler->on_change)
		options->handler->on_change(options->user, &peer->member);
}

/* a hello or its answer: 0, or why this peer cannot be a member */
static int peer_told(struct peer *peer, const struct wire_value *body, struct ramet_err *err)
{
	struct member_info info;
	int rc = member_info_parse(body, &info, err);
	if (rc == 0 && info.node != peer->member.info.node)
		rc = err_set(err, RAMET_EINVAL, "at the address of node %u answers node %u",
			peer->member.info.node, info.node);
	if (rc < 0)
		return rc;
	if (peer->member.alive && peer->member.info.incarnation != info.incarnation)
		peer_dead(peer, "it was restarted");
	/* how we reach it is our configuration's business */
	snprintf(info.listen, sizeof(info.listen), "%s", peer->member.info.listen);
	peer->member.info = info;
	peer->member.known = true;
	return 0;
}

static void on_hello_answer(
	void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct peer *peer = user;
	struct ramet_err err = {0};
	peer->hello = 0;
	if (error) {
		bool silent = error->code == RAMET_ETIMEOUT || error->code == RAMET_EPEER ||
			error->code == RAMET_ECLOSED;
		if (silent)
			return; /* not there: the next beat asks again */
		err_copy(&err, error);
	}
	if (error || peer_told(peer, body, &err) < 0) {
		if (!peer->refused)
			log_err(LOG_WARN, "node.refused", &err);
		peer->refused = true;
		return;
	}
	peer_alive(peer);
}

static void send_hello(struct peer *peer)
{
	struct buf b = {0};
	if (peer->hello)
		return;
	member_info_pack(&peer->members->self, &b);
	if (bus_call(peer->members->options.bus, peer->member.info.node, "hello", &b,
		    HELLO_TIMEOUT_NS, on_hello_answer, peer, &peer->hello, NULL) < 0)
		peer->hello = 0; /* not connected: members_link() will tell */
}

static void on_beat(struct loop_timer *timer)
{
	struct members *members = container_of(timer, struct members, beat);
	uint64_t now = now_ns(), beat = members->options.beat_ms * NSEC_PER_MSEC;
	uint64_t dead = MEMBER_DEAD_TIMES * members->options.silence_ms * NSEC_PER_MSEC;
	/* if we ourselves stood still, what peers sent meanwhile is still to be read */
	uint64_t late = now - members->next_beat_ns;
	if (late > members->options.silence_ms * NSEC_PER_MSEC)
		log_warn("node.stood_still", "ms=%llu", (unsigned long long)(late / NSEC_PER_MSEC));
	for (unsigned i = 0; i < members->npeers; i++) {
		struct peer *peer = members->peers[i];
		if (late > beat)
			peer->heard_ns += MIN(late, now - peer->heard_ns);
		if (peer->member.alive && now - peer->heard_ns > dead)
			peer_dead(peer, "unheard of for too long");
		if (peer->member.alive)
			send_ping(peer);
		else
			send_hello(peer);
	}
	members->next_beat_ns = now + beat;
	loop_timer_set(members->options.loop, &members->beat, members->next_beat_ns, on_beat);
}

static void on_tell(struct loop_timer *timer)
{
	struct members *members = container_of(timer, struct members, tell);
	for (unsigned i = 0; i < members->npeers; i++) {
		struct peer *peer = members->peers[i];
		if (!peer->member.alive)
			continue;
		if (members->holdings_changed)
			send_holdings(peer);
		else
			send_ping(peer); /* which carries the load */
	}
	members->holdings_changed = false;
	members->told_ns = now_ns();
}

static void tell_soon(struct members *members)
{
	if (members->tell.heap_pos == 0)
		loop_timer_set(members->options.loop, &members->tell,
			MAX(now_ns(), members->told_ns + TELL_INTERVAL_NS), on_tell);
}

void members_set_load(struct members *members, const struct member_load *load)
{
	struct member_load next = *load;
	next.registry = members->load.registry;
	if (memcmp(&members->load, &next, sizeof(next)) == 0)
		return;
	members->load = next;
	tell_soon(members);
}

const struct member_load *members_load(const struct members *members)
{
	return &members->load;
}

void members_set_registry(struct members *members, uint64_t digest)
{
	members->load.registry =
		digest; /* travels with the news themselves, and with the next ping */
}

int members_set_holdings(struct members *members, const struct holding *holdings, uint32_t count,
	struct ramet_err *err)
{
	if (count > MEMBER_MAX_HOLDINGS)
		return err_set(err, RAMET_ELIMIT, "%u seeds to announce: at most %u are", count,
			MEMBER_MAX_HOLDINGS);
	struct holding *copy = calloc(count ? count : 1, sizeof(*copy));
	if (!copy)
		return err_nomem(err);
	if (count)
		memcpy(copy, holdings, count * sizeof(*copy));
	free(members->holdings);
	members->holdings = copy;
	members->nholdings = count;
	members->holdings_changed = true;
	tell_soon(members);
	return 0;
}

void members_flush(struct members *members)
{
	loop_timer_cancel(&members->tell);
	on_tell(&members->tell);
}

void members_bye(struct members *members)
{
	for (unsigned i = 0; i < members->npeers; i++)
		if (members->peers[i]->member.alive)
			bus_notify(members->options.bus, members->peers[i]->member.info.node, "bye",
				NULL);
}

/* --- what the bus brings --- */

void members_heard(struct members *members, uint32_t node, const struct wire_value *load)
{
	struct peer *peer = find_peer(members, node);
	struct member_load told;
	if (!peer)
		return;
	peer->heard_ns = now_ns();
	if (!load || member_load_parse(load, &told, NULL) < 0)
		return;
	if (memcmp(&told, &peer->member.load, sizeof(told)) == 0)
		return;
	peer->member.load = told;
	changed(peer);
}

void members_link(struct members *members, uint32_t node, bool up)
{
	struct peer *peer = find_peer(members, node);
	if (!peer)
		return;
	if (up)
		send_hello(peer);
	else
		peer_dead(peer, "its connection was lost");
}

void members_pack_load(const struct members *members, struct buf *b)
{
	member_load_pack(&members->load, b);
}

void members_on_hello(
	struct members *members, struct bus_request *request, const struct wire_value *body)
{
	struct peer *peer = find_peer(members, bus_request_node(request));
	struct ramet_err err = {0};
	int rc =
		peer ? peer_told(peer, body, &err) : err_set(&err, RAMET_ENOTFOUND, "unknown node");
	if (rc < 0) {
		bus_reply_err(request, &err);
		return;
	}
	struct buf b = {0};
	member_info_pack(&members->self, &b);
	bus_reply(request, &b);
	if (!peer->member.alive)
		send_hello(peer);
}

void members_on_ping(
	struct members *members, struct bus_request *request, const struct wire_value *body)
{
	struct peer *peer = find_peer(members, bus_request_node(request));
	bool alive = false;
	if (peer && wire_get_bool_or(body, "alive", false, &alive, NULL) == 0 &&
		peer->member.sees_us != alive) {
		peer->member.sees_us = alive; /* it may know before we do: it is not told twice */
		changed(peer);
	}
	bus_reply(request, NULL);
}

void members_on_holdings(
	struct members *members, struct bus_request *request, const struct wire_value *body)
{
	struct peer *peer = find_peer(members, bus_request_node(request));
	struct ramet_err err = {0};
	struct holding *holdings;
	uint32_t count;
	int rc = holdings_parse(body, &holdings, &count, &err);
	if (rc < 0) {
		log_err(LOG_WARN, "node.holdings", &err);
	} else if (peer) {
		free(peer->member.holdings);
		peer->member.holdings = holdings;
		peer->member.nholdings = count;
		changed(peer);
	}
	bus_reply(request, NULL);
}

void members_on_bye(
	struct members *members, struct bus_request *request, const struct wire_value *body)
{
	struct peer *peer = find_peer(members, bus_request_node(request));
	bus_reply(request, NULL);
	if (peer)
		peer_dead(peer, "it said goodbye");
}

/* --- looking --- */

unsigned members_count(const struct members *members)
{
	return members->npeers;
}

const struct member *members_at(const struct members *members, unsigned index)
{
	return index < members->npeers ? &members->peers[index]->member : NULL;
}

const struct member *members_find(const struct members *members, uint32_t node)
{
	const struct peer *peer = find_peer(members, node);
	return peer ? &peer->member : NULL;
}

unsigned members_alive(const struct members *members)
{
	unsigned count = 0;
	for (unsigned i = 0; i < members->npeers; i++)
		count += members->peers[i]->member.alive;
	return count;
}

unsigned members_ready(const struct members *members)
{
	unsigned count = 0;
	for (unsigned i = 0; i < members->npeers; i++)
		count += members->peers[i]->member.alive && members->peers[i]->member.sees_us;
	return count;
}

const struct holding *member_holds(const struct member *member, const char *version)
{
	for (uint32_t i = 0; i < member->nholdings; i++)
		if (strcmp(member->holdings[i].version, version) == 0)
			return &member->holdings[i];
	return NULL;
}

/* --- making and ending --- */

int members_create(
	const struct members_options *options, struct members **ret_members, struct ramet_err *err)
{
	struct members *members = calloc(1, sizeof(*members));
	if (!members)
		return err_nomem(err);
	members->options = *options;
	members->self = *options->self;
	if (members->options.silence_ms == 0)
		members->options.silence_ms = MEMBER_SILENCE_MS;
	if (members->options.beat_ms == 0)
		members->options.beat_ms =
			MIN(MEMBER_BEAT_MS, members->options.silence_ms / BEATS_PER_SILENCE);
	members->next_beat_ns = now_ns();
	int rc = loop_timer_set(options->loop, &members->beat, members->next_beat_ns, on_beat);
	if (rc < 0) {
		free(members);
		return err_nomem(err);
	}
	*ret_members = members;
	return 0;
}

int members_add(struct members *members, uint32_t node, const char *listen, struct ramet_err *err)
{
	struct peer **peers =
		realloc(members->peers, (members->npeers + 1) * sizeof(struct peer *));
	if (!peers)
		return err_nomem(err);
	members->peers = peers;
	struct peer *peer = calloc(1, sizeof(*peer));
	if (!peer)
		return err_nomem(err);
	peer->members = members;
	peer->member.info.node = node;
	snprintf(peer->member.info.listen, sizeof(peer->member.info.listen), "%s", listen);
	int rc = bus_add_peer(members->options.bus, node, listen, err);
	if (rc < 0) {
		free(peer);
		return rc;
	}
	members->peers[members->npeers++] = peer;
	return 0;
}

void members_destroy(struct members *members)
{
	if (!members)
		return;
	loop_timer_cancel(&members->beat);
	loop_timer_cancel(&members->tell);
	for (unsigned i = 0; i < members->npeers; i++) {
		bus_forget(members->options.bus, members->peers[i]->hello);
		free(members->peers[i]->member.holdings);
		free(members->peers[i]);
	}
	free(members->peers);
	free(members->holdings);
	free(members);
}
