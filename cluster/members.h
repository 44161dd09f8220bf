/* Who else is in the cluster: the peers of the configuration, whether they live, what they are, and
 * what each told of itself for placement (load, seeds it holds). Heartbeats and hellos go over the
 * bus. Control loop only. */
#ifndef CLUSTER_MEMBERS_H
#define CLUSTER_MEMBERS_H

#include "base/err.h"
#include "base/topo.h"
#include "base/wire.h"
#include "cluster/registry.h"
#include "cluster/seed_key.h"
#include "transport/transport.h"

#include <stdbool.h>
#include <stdint.h>

#define MEMBER_NAME_MAX 63
#define MEMBER_ADDR_MAX 127
#define MEMBER_MAX_HOLDINGS 4096
#define MEMBER_BEAT_MS 200 /* a ping to every peer */
/* A node whose machine is silent for so long is dead for who reads its memory (transport/pulse.h).
 * Control messages share one stream, where a lost packet holds up all, and acknowledgements cannot
 * be seen: who says nothing as a member has more time. Their connection is given up later still,
 * since ZeroMQ cannot tell a standstill of ours from silence of the peer's. */
#define MEMBER_SILENCE_MS 800
#define MEMBER_DEAD_TIMES 4
#define MEMBER_LINK_TIMES 8

struct bus;
struct bus_request;
struct members;

/* What a node is; does not change while it runs. */
struct member_info {
	uint32_t node;
	char name[MEMBER_NAME_MAX + 1];
	char listen[MEMBER_ADDR_MAX + 1]; /* bus */
	char data[TRANSPORT_ADDR_MAX]; /* transport address to connect to */
	char transport[16]; /* what it serves: "tcp", "verbs", "tcp+verbs" */
	char version[32]; /* of Ramet */
	uint64_t incarnation; /* random; differs after a restart */
	uint64_t class_id;
	char class_text[160];
	bool eager; /* its pager */
	bool python; /* its interpreter is there: apps that name none can be initialised */
	uint32_t cores;
	uint64_t mem;
	uint32_t pid;
	uint64_t started_ns; /* CLOCK_REALTIME */
};

/* What changes all the time; piggybacked on every reply. */
struct member_load {
	uint32_t instances; /* alive */
	uint32_t busy; /* that run a call */
	uint32_t queued; /* calls that wait */
	uint32_t capacity; /* instances it wants to run at once */
	uint32_t templates, seeds;
	uint64_t cache_bytes, calls;
	uint64_t registry; /* registry_digest(): differs when our registries do */
};

/* One seed that a node holds and others may read. */
struct holding {
	char version[VERSION_HEX + 1];
	struct seed_key key;
	uint32_t idle; /* instances of it that wait for a call */
	bool origin; /* captured there; else a complete copy */
};

struct member {
	struct member_info info;
	struct member_load load;
	struct holding *holdings;
	uint32_t nholdings;
	bool alive;
	bool sees_us; /* it told that we are alive for it */
	bool known; /* info was told at least once */
};

/* Called on the control loop. All optional. */
struct members_handler {
	void (*on_alive)(void *user,
		const struct member *member); /* first time, or back (perhaps restarted) */
	void (*on_dead)(void *user,
		const struct member *member); /* bus requests to it have failed already */
	void (*on_change)(void *user,
		const struct member *member); /* its load, holdings, or whether it sees us */
};

struct members_options {
	struct loop *loop;
	struct bus *bus;
	const struct member_info *self;
	const struct members_handler *handler;
	void *user;
	unsigned beat_ms, silence_ms; /* 0: the defaults */
};
int members_create(
	const struct members_options *options, struct members **ret_members, struct ramet_err *err);
void members_destroy(struct members *members); /* NULL is fine */
int members_add(struct members *members, uint32_t node, const char *listen,
	struct ramet_err *err); /* before the loop runs */

unsigned members_count(const struct members *members); /* peers configured, without ourselves */
const struct member *members_at(const struct members *members, unsigned index);
const struct member *members_find(
	const struct members *members, uint32_t node); /* NULL: none, or ourselves */
unsigned members_alive(const struct members *members); /* peers alive */
/* peers that are alive for us, and for which we are */
unsigned members_ready(const struct members *members);
/* the holding of a version at a peer, or NULL */
const struct holding *member_holds(const struct member *member, const char *version);

/* What we tell of ourselves; sent at the end of the loop's turn, at most each 5 ms. */
void members_set_load(struct members *members, const struct member_load *load); /* but `registry` */
const struct member_load *members_load(const struct members *members); /* ours, as told last */
void members_set_registry(struct members *members, uint64_t digest);
int members_set_holdings(struct members *members, const struct holding *holdings, uint32_t count,
	struct ramet_err *err);

/* members_flush - what was set is sent now: who hears of something else from us later knows it by
 * then */
void members_flush(struct members *members);
/* members_bye - tell all peers that this node ends now */
void members_bye(struct members *members);

/* for the bus: see struct bus_options and the handler table */
void members_heard(struct members *members, uint32_t node, const struct wire_value *load);
void members_link(struct members *members, uint32_t node, bool up);
void members_pack_load(const struct members *members, struct buf *b);
void members_on_hello(
	struct members *members, struct bus_request *request, const struct wire_value *body);
void members_on_ping(
	struct members *members, struct bus_request *request, const struct wire_value *body);
void members_on_bye(
	struct members *members, struct bus_request *request, const struct wire_value *body);
void members_on_holdings(
	struct members *members, struct bus_request *request, const struct wire_value *body);

#endif
