/* The record of an instance, for the instances*.c files only. */
#ifndef CLUSTER_INSTANCES_INTERNAL_H
#define CLUSTER_INSTANCES_INTERNAL_H

#include "base/frame.h"
#include "base/list.h"
#include "base/loop.h"
#include "cluster/instances.h"
#include "cluster/logring.h"
#include "runtime/spawn/spawn_client.h"

struct channels;

struct instances {
	struct node *node;
	struct list list;
	uint64_t next_id;
};

struct instance {
	struct list link;
	struct instances *owner;
	uint64_t id;
	enum instance_state state;
	bool host; /* started by exec */
	bool populated;
	enum start_kind kind;
	uint32_t source_node;
	int64_t mono_offset_ns;
	struct app_version *app;
	struct instance_parent *parent;
	const struct instance_handler *handler;
	void *user;

	struct instance_stock *stock; /* where its channels go when it has gone; NULL: nowhere */
	struct channels *channels; /* if it may leave them to another: conn and log are theirs */
	struct frame_conn *conn; /* NULL: hung up, or closed */
	struct logring *log;
	struct log_tag tag;
	struct loop_timer timer; /* of STARTING and ENDING */

	uint64_t request; /* to ramet-spawn, in flight; 0: none */
	pid_t pid; /* 0: no process yet */
	bool born; /* ramet-spawn told its pid */
	bool running; /* it said started or ready */
	bool reaped, failed; /* failed: it never came to be */
	bool alone; /* nothing of it was left in its sandbox when it was reaped */
	bool ended_by_owner;
	bool initialises; /* a clone of a base, to be a host all the same */
	bool left; /* it closed its control socket, unasked */
	bool hung_up; /* and went on running */
	int exit_status, exit_signal;
	enum spawn_limit exit_limit; /* that it died of, or had reached when it was killed */

	uint64_t created_ns, ready_ns, begin_ns, first_ns;
	uint64_t calls;
	uint64_t secrets; /* secrets_generation() when it was told them last; 0: never */
	bool unleasing; /* LEASED, and told to let go */
	bool events; /* the call that runs may emit */

	uint64_t call; /* number of the one that runs; 0: none */
	uint64_t call_began_ns, max_output;
	uint64_t emitted,
		untaken; /* bytes of its chunks; weight of its events that were not taken */
	bool crashed; /* it told so */
	int crash_signal;
	uint64_t crash_address;
	bool crash_stack; /* its stack was used up */
	struct call_error cause; /* why it ends */
};

/* instances_proto.c */
int instance_check_frame(struct instance *inst, const unsigned char *data, size_t len, int *fds,
	unsigned nfds, struct ramet_err *err);
int instance_pack_call(const struct instance *inst, const struct instance_call *call, struct buf *b,
	struct ramet_err *err);

/* instances_secrets.c: those that its app names, if they have changed since; RAMET_EREFUSED: one is
 * not set */
int instance_give_secrets(struct instance *inst, struct ramet_err *err);

/* instances_events.c */
int instance_on_event(struct instance *inst, const struct wire_value *body, struct ramet_err *err);

/* instances_lease.c */
int instance_on_unleased(struct instance *inst, struct ramet_err *err);

/* instances_channels.c */
struct instance_ends { /* those that the instance gets */
	int control, output;
	bool kept; /* not the holder's to close */
};
#define INSTANCE_NO_ENDS \
	{ \
		-1, -1, false \
	}
void instance_ends_close(struct instance_ends *ends);
/* those of the stock, if it has some; stock NULL: such as nobody else will get */
int instance_open_channels(struct instance *inst, struct instance_stock *stock,
	struct instance_ends *ret_ends, struct ramet_err *err);
void instance_close_channels(struct instance *inst); /* or leaves them to the stock */
bool instance_has_control(const struct instance *inst); /* it has not closed its control socket */

/* instances.c */
extern const struct frame_handler instance_frames;
void instance_became_idle(struct instance *inst);
void instance_finish_call(struct instance *inst, const struct instance_result *result);

/* instances_death.c */
void instance_kill(struct instance *inst,
	const struct ramet_err *why); /* it must end: why goes into its cause */
void instance_on_exited(struct instance *inst, const struct spawn_exit *how);
void instance_on_hangup(struct instance *inst);
void instance_maybe_gone(struct instance *inst);
void instance_leaves(struct instance *inst); /* it ends by itself after what it has said */

#endif
