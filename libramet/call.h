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
	struct ramet_result *result; /* when done and not taken; NULL: see error */
	struct ramet_err error;
	void *user;
};

DEFINE_CLEANUP(struct ramet_call, ramet_call_free)
#define auto_call AUTO(ramet_call_free)

/* call_options - the caller's options as ours, which may be larger or smaller; NULL gives the
 * defaults */
int call_options(const struct ramet_call_options *options, struct ramet_call_options *ret_options,
	struct ramet_err *err);
/* call_check_name - whether a function's or app's name is one */
int call_check_name(const char *name, struct ramet_err *err);
/* call_leave_done - take a call off the list of those done, with the handle's lock held */
void call_leave_done(struct ramet_call *call);

#endif
