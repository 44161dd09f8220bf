/* struct ramet_call: a call from its sending until its result is taken. Guarded by the handle's
 * lock. */
#ifndef LIBRAMET_CALL_H
#define LIBRAMET_CALL_H

#include "base/cleanup.h"
#include "base/list.h"
#include "cluster/client_proto.h"
#include "libramet/channel.h"
#include "libramet/handle.h"
#include "ramet/ramet.h"

#include <stdbool.h>

struct ramet_call {
	struct ramet *ramet; /* a reference */
	struct channel_call channel;
	struct list link; /* in ramet->done between done and taken */
	char id[CLIENT_CALL_MAX + 1]; /* "" until accepted */
	bool detached;
	bool under_way; /* sent, and not done */
	bool done;
	bool taken; /* its result was handed out */
	bool inside; /* of ramet_call(), which waits for it: nobody else finds it done */
	struct ramet_result *result; /* when done and not taken; NULL: see error */
	void *user;
	bool listens; /* RAMET_CALL_EVENTS */
	struct list events; /* that came and were not taken: event.c */
	uint64_t freed; /* weight of events that were taken and freed, and rametd was not told of */
	struct ramet_err error; /* last: call_init() */
};

DEFINE_CLEANUP(struct ramet_call, ramet_call_free)
#define auto_call AUTO(ramet_call_free)

/* call_options - the caller's options as ours, which may be larger or smaller; NULL gives the
 * defaults */
int call_options(const struct ramet_call_options *options, struct ramet_call_options *ret_options,
	struct ramet_err *err);
/* call_check_name - whether a function's or app's name is one */
int call_check_name(const char *name, struct ramet_err *err);
/* call_take - ramet_wait(), with the handle's lock held */
int call_take(struct ramet_call *call, int timeout_ms, struct ramet_result **ret_result,
	struct ramet_err *err);
/* With the handle's lock held, the list of calls that are done, or have an event: on and off it */
void call_join_done(struct ramet_call *call);
void call_leave_done(struct ramet_call *call);
/* event.c: one has come; those that are left are dropped */
void call_on_event(struct channel_call *channel_call, struct message *message);
void call_drop_events(struct ramet_call *call);

#endif
