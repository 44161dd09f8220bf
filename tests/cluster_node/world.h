/* Nodes of a cluster in one process, on one loop, with fake instances (fake_spawn.h) and everything
 * else real: bus, members, registry, bundles, data and pager threads. */
#ifndef TESTS_CLUSTER_NODE_WORLD_H
#define TESTS_CLUSTER_NODE_WORLD_H

#include "cluster/bursts.h"
#include "cluster/calls.h"
#include "cluster/instances.h"
#include "cluster/node.h"
#include "cluster/registry.h"
#include "cluster/seeds.h"
#include "tests/cluster_node/fake_spawn.h"
#include "tests/lib/suite.h"

#include <stdbool.h>
#include <stdint.h>

#define WORLD_MAX 3
#define WORLD_TIMEOUT_NS suite_patience(20000000000ull)
#define WORLD_UID 4242

struct world {
	struct loop *loop;
	unsigned n;
	char dirs[WORLD_MAX][64];
	struct fake fakes[WORLD_MAX];
	struct spawn_client *spawns[WORLD_MAX]; /* until their nodes have them */
	struct node *nodes[WORLD_MAX];
	struct app_version *app;
	unsigned fds;
};

struct world_options {
	unsigned nodes; /* 0: 1 */
	uint32_t max_instances; /* of each node; 0: 64 */
	uint32_t max_queue;
	uint64_t idle_ms; /* 0: a minute */
	uint64_t host_idle_ms; /* 0: a minute */
	bool eager;
};

/* world_init - up, and all nodes see each other; false: printed why. world_fini checks that nothing
 * leaked. */
bool world_init(struct world *world, const struct world_options *options);
void world_fini(struct world *world);
void world_stop_node(struct world *world, unsigned index);
/* runs the loop until *counter is at least want; false: it took too long */
bool world_until(struct world *world, const unsigned *counter, unsigned want);
bool world_until_true(struct world *world, bool (*fn)(struct world *world));

/* world_spawn - a node's ramet-spawn: fake_spawn.c has one, real_spawn.c the other */
int world_spawn(struct world *world, unsigned index, const struct world_options *options,
	struct ramet_err *err);

/* What is deployed: all functions of fake_spawn.h, in one app. */
struct world_app {
	const char *name; /* NULL: "app" */
	const char *fresh; /* NULL: "reuse" */
	bool idempotent;
	uint64_t deadline_ms, output;
	unsigned samples; /* with `echo` alone as its function */
	bool python; /* it has a base, if ramet_host is built */
	const char *content; /* of its file: versions differ by that; NULL: "not really" */
	bool impostor; /* mini_host.c gives another process for its shadow */
};
/* world_deploy - makes it on a node and publishes it on all; made: the outcome, errors and all
 * (call_error_fini it) */
struct made {
	unsigned done;
	struct seed_made seed;
	unsigned stages;
};
/* world_install, world_begin - the two halves of world_make(); made: until done */
bool world_install(struct world *world, unsigned index, const struct world_app *app);
int world_begin(struct world *world, unsigned index, struct made *made,
	struct seed_making **ret_making, struct ramet_err *err);
void world_make(
	struct world *world, unsigned index, const struct world_app *app, struct made *ret_made);
bool world_deploy(struct world *world, unsigned index, const struct world_app *app);

/* A call and its outcome. */
struct outcome {
	unsigned done;
	char id[CALL_ID_MAX];
	struct call_result result; /* a copy */
};
int world_submit(struct world *world, unsigned index, const struct call_request *request,
	struct outcome *outcome);
/* a call of function with input 42, pinned to a node (0: anywhere), run to its end */
struct outcome world_call(
	struct world *world, unsigned index, const char *function, uint32_t pinned);
void outcome_fini(struct outcome *outcome);
void outcome_set(struct outcome *outcome, const struct call_result *result);

/* declares w: a node, or nodes, with the app deployed on the first */
#define WORLD_BEGIN(w, options, app) \
	struct world w; \
	REQUIRE(world_init(&(w), options)); \
	REQUIRE(world_deploy(&(w), 0, app))

#endif
