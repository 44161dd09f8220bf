/* The processes of this node that run functions: one record each, from the request to ramet-spawn
 *until it is reaped.
 *
 *	STARTING ── started/ready ──> IDLE <── result ── BUSY ── any ──> ENDING ── exited ──> gone
 *
 * An instance is a cold host (initialised here) or a clone of a template. It runs one call at a
 *time and is bound to one function at its first. All that it sends is hostile: a message that is
 *not allowed in its state ends it. Control loop only. */
#ifndef CLUSTER_INSTANCES_H
#define CLUSTER_INSTANCES_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/list.h"
#include "cluster/calls_result.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct app;
struct instance;
struct instance_result;
struct instances;
struct node;

enum instance_state { INSTANCE_STARTING, INSTANCE_IDLE, INSTANCE_BUSY, INSTANCE_ENDING };
const char *instance_state_name(enum instance_state state);

struct instances_config {
	uint32_t start_ms; /* from a clone request until its `started`, from a cold start until
			      `ready` */
	uint32_t load_ms; /* until `loaded`: imports of real applications take their time */
	uint32_t capture_ms; /* until `captured`, and for reading the shadow */
};
#define INSTANCES_CONFIG_DEFAULT \
	((struct instances_config){.start_ms = 5000, .load_ms = 120000, .capture_ms = 30000})

/* What the owner of an instance is told. After on_gone nothing comes any more. */
struct instance_handler {
	/* a clone runs, or a cold host is `ready` */
	void (*on_started)(void *user, struct instance *inst);
	/* the end of the call it was given: error as the instance told it, or RAMET_ECRASH /
	 * RAMET_ELOST when it died of it; data is valid during the call. begin, end: monotonic time
	 * of this node. */
	void (*on_result)(void *user, struct instance *inst, const struct instance_result *result);
	/* it was reaped, or never came to be (cause says why); the record is freed when this
	 * returns */
	void (*on_gone)(void *user, struct instance *inst, const struct ramet_err *cause);
};
struct instance_info {
	uint64_t id;
	pid_t pid;
	enum instance_state state;
	bool host; /* initialised from scratch here */
	enum start_kind start;
	uint32_t source_node;
	uint32_t tenant;
	uint32_t rank;
	char function[CALL_NAME_MAX]; /* "" before the first call */
	char version[CALL_NAME_MAX];
	char app[CALL_NAME_MAX];
	char call[CALL_ID_MAX];
	uint64_t calls;
	uint64_t started_ns; /* monotonic */
};
void instances_each(const struct instances *instances,
	void (*fn)(void *user, const struct instance_info *info), void *user);
unsigned instances_count(const struct instances *instances, uint32_t tenant,
	const char *version); /* NULL: all versions */
uint64_t instance_rss(const struct instance_info *info); /* bytes, from /proc */

#endif
