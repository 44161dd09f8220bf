/* The processes of this node that run functions: one record each, from the request to ramet-spawn
 *until it is reaped.
 *
 *	STARTING ── started/ready ──> IDLE <── result ── BUSY ── end or death ──> ENDING ── reaped
 *──> gone
 *
 * An instance is a cold host (initialised here) or a clone of a template. It runs one call at a
 *time and is bound to one function at its first. Or it is leased, IDLE to LEASED and back: then
 *calls reach it without us. All that it sends is hostile: a message that is not allowed in its
 *state ends it. Each has one owner, who is told what happens to it. Control loop only; no callback
 *comes from within a call. */
#ifndef CLUSTER_INSTANCES_H
#define CLUSTER_INSTANCES_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/list.h"
#include "base/wire.h"
#include "cluster/calls_result.h"
#include "cluster/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define INSTANCE_START_MS 5000 /* from a request to ramet-spawn until a clone's `started` */
#define INSTANCE_EXIT_MS 1000 /* from `exit` until it is killed */

struct call_event;
struct instance;
struct instances;
struct log_tag;
struct node;

enum instance_state {
	INSTANCE_STARTING,
	INSTANCE_IDLE,
	INSTANCE_BUSY,
	INSTANCE_LEASED,
	INSTANCE_ENDING
};

/* How a call ended that was given to an instance. */
struct instance_result {
	const struct call_error *error; /* err.code 0: it succeeded */
	const void *output; /* valid during the call */
	size_t output_len;
	bool binary;
	uint64_t run_ns; /* in the handler, as the instance measured it */
};

/* What the owner of an instance is told. */
struct instance_handler {
	/* a clone runs, or a cold host is `ready`: it is IDLE */
	void (*on_started)(void *user, struct instance *inst);
	/* the call it was given is over; if it is IDLE it takes the next */
	void (*on_result)(void *user, struct instance *inst, const struct instance_result *result);
	/* the call it was given, which asked for that, emits something; instance_taken() for its
	 * weight is due. NULL for those that never ask. */
	void (*on_event)(void *user, struct instance *inst, const struct call_event *event);
	/* a lease is over: it is IDLE. NULL for those that lend none. */
	void (*on_unleased)(void *user, struct instance *inst);
	/* any other message of a process that is being initialised (based, loaded, failed,
	 * captured, refused), unchecked; a negative code ends it. Descriptors that are kept are set
	 * to -1. NULL for those that only serve. */
	int (*on_message)(void *user, struct instance *inst, const char *type,
		const struct wire_value *body, int *fds, unsigned nfds, struct ramet_err *err);
	/* it was reaped, or never came to be: last, once, and inst is freed when this returns. A
	 * call that it ran has had its on_result before. cause: why, with the end of its output;
	 * code ECLOSED if its owner ended it. */
	void (*on_gone)(void *user, struct instance *inst, const struct call_error *cause);
};

int instances_create(struct node *node, struct instances **ret_instances, struct ramet_err *err);
/* kills all; no callbacks; NULL is fine */
void instances_destroy(struct instances *instances);
DEFINE_CLEANUP(struct instances, instances_destroy)

/* events of ramet-spawn (runtime/spawn/spawn_client.h): hand them on */
struct spawn_exit;
void instances_on_exited(struct instances *instances, uint64_t inst, const struct spawn_exit *how);

/* What a clone's template must be told about it: the seeds that made it. */
struct instance_parent {
	/* a clone has been asked for; each has on_gone later. A failure refuses it. */
	int (*on_begun)(
		struct instance_parent *parent, struct instance *inst, struct ramet_err *err);
	/* its process exists; uffd (or -1) is taken */
	void (*on_born)(struct instance_parent *parent, struct instance *inst, int uffd);
	/* it was reaped, or never came to be; before the owner's on_gone */
	void (*on_gone)(struct instance_parent *parent, struct instance *inst);
};

/* Channels that an instance which has ended leaves to the next of the same function. It outlives
 * those that were started with it, but at the node's end. */
struct instance_stock {
	struct list free;
	unsigned count;
};
void instance_stock_init(struct instance_stock *stock);
void instance_stock_clear(struct instance_stock *stock);

struct instance_clone {
	struct app_version *app;
	uint64_t tmpl; /* of ramet-spawn */
	struct instance_parent *parent;
	enum start_kind kind;
	bool host; /* of a base: it will be initialised as a cold host is */
	uint32_t source_node;
	int64_t mono_offset_ns; /* its CLOCK_MONOTONIC minus ours */
	const uint64_t *populate; /* {start, end} of what it writes at once, as in
				     runtime/spawn/spawn_client.h */
	uint32_t npopulate;
	struct instance_stock *stock; /* for clones that follow each other closely; or NULL */
};
int instance_start_clone(struct instances *instances, const struct instance_clone *clone,
	const struct instance_handler *handler, void *user, struct instance **ret_inst,
	struct ramet_err *err);

struct instance_host {
	struct app_version *app;
	const char *const *argv; /* NULL-terminated */
	const char *const *env; /* "K=V", NULL-terminated */
	const char *dir; /* its files, a path of this node */
	uint64_t view; /* of ramet-spawn, whose files it sees; 0: the machine's only */
	bool bare; /* in no sandbox, and without the app's limits */
};
int instance_start_host(struct instances *instances, const struct instance_host *host,
	const struct instance_handler *handler, void *user, struct instance **ret_inst,
	struct ramet_err *err);

/* the control group of a version's hosts */
void instance_host_group(const struct app_version *app, char *dst, size_t cap);
/* instance_tenant - whose a version's processes are, hosts, templates and clones alike, and what
 * all of the tenant's may use on this node together; it points to name */
#define INSTANCE_TENANT_MAX 16
struct spawn_tenant instance_tenant(
	const struct node *node, const struct app_version *app, char name[INSTANCE_TENANT_MAX]);

/* instance_own - from now on another owner is told; for hosts that have been captured */
void instance_own(struct instance *inst, const struct instance_handler *handler, void *user);
/* instance_send - a message of the owner's to a host, while it is IDLE */
int instance_send(struct instance *inst, const struct buf *message, struct ramet_err *err);

struct instance_call {
	const char *id; /* of the call, for its output */
	const char *function;
	const void *data;
	size_t len;
	bool binary;
	uint32_t rank, size;
	uint64_t deadline_ns; /* monotonic, ours; 0: none */
	uint64_t max_output;
	bool secrets; /* the app's secrets are given first: never before a capture */
	bool events; /* what it emits is told by on_event */
	bool reset; /* the app is brought back to what it was at the capture afterwards, or the
		       instance ends */
};
/* instance_call - IDLE to BUSY; on_result comes once. RAMET_EAGAIN: its socket is full; it is to be
 * ended. */
int instance_call(struct instance *inst, const struct instance_call *call, struct ramet_err *err);
/* instance_taken - of what its call emitted, so much (call_event_weight()) has been taken by who
 * listens, and it may emit more */
void instance_taken(struct instance *inst, uint64_t weight);
/* instance_lease - IDLE to LEASED: calls of one function come through slots (runtime/slots/).
 * Errors as of instance_call(). */
struct instance_lease {
	const char *function;
	uint64_t max_output;
	bool once; /* it serves one call, in this slot, and ends */
	bool reset; /* after each call */
	unsigned slot;
	void (*whose)(void *user, struct log_tag *tag); /* whose output comes now (logring_ask()) */
	void *user;
	int fds[3]; /* the slots, the eventfd that wakes it, the one that wakes the client; they
		       stay the caller's */
};
int instance_lease(
	struct instance *inst, const struct instance_lease *lease, struct ramet_err *err);
/* instance_unlease - nothing waits or runs in its slots: let go of them; on_unleased follows */
int instance_unlease(struct instance *inst, struct ramet_err *err);
/* instance_interrupt - have it look whether its call was cancelled */
void instance_interrupt(struct instance *inst);
/* instance_look - now and then while a call of a LEASED one takes long: if it has closed the
 * descriptor by which it is called, it is killed */
void instance_look(struct instance *inst);
/* instance_tag - whose output it is that comes now */
void instance_tag(struct instance *inst, const char *call, uint32_t rank);
/* instance_end - politely if it is idle, else at once. A call that runs gets no on_result any more;
 * on_gone comes. */
void instance_end(struct instance *inst);
/* instance_fail - it cannot go on (a page it needs is lost): kill it; what it runs ends with this
 * error */
void instance_fail(struct instance *inst, const struct ramet_err *why);
/* instance_add_log_tail - the last that it printed, into its error */
void instance_add_log_tail(struct instance *inst, struct call_error *error);
/* instance_take_error - the error that a message of a host carries, checked */
int instance_take_error(struct instance *inst, const struct wire_value *body,
	struct call_error *ret_error, struct ramet_err *err);

struct instance_info {
	uint64_t id;
	pid_t pid;
	enum instance_state state;
	bool host; /* initialised here */
	enum start_kind kind;
	uint32_t source_node;
	uint64_t created_ns; /* monotonic: when it was asked for */
	uint64_t ready_ns; /* when it first was IDLE */
	uint64_t first_instruction_ns; /* clones: from the request until its first instruction */
	uint64_t calls; /* begun */
	bool populated; /* what it writes was populated before it ran */
	const struct app_version *app;
	const char *function; /* "" before the first call */
	const char *call; /* "" between calls */
	uint32_t rank;
};
/* pointers are good until the loop's next turn */
void instance_get_info(const struct instance *inst, struct instance_info *ret_info);
void instances_each(const struct instances *instances,
	void (*fn)(void *user, const struct instance_info *info), void *user);
/* alive, starting and ending ones too; version NULL: of all */
unsigned instances_count(const struct instances *instances, const char *version);
uint64_t instance_rss(const struct instance_info *info); /* bytes, from /proc; 0: unknown */
const char *instance_state_name(
	const struct instance_info *info); /* starting, idle, busy, host: what `ps` shows */

#endif
