/* A cold start under way; for seeds_cold.c and seeds_cold_base.c. */
#ifndef CLUSTER_SEEDS_COLD_H
#define CLUSTER_SEEDS_COLD_H

#include "cluster/image_clone.h"
#include "cluster/seeds_base.h"
#include "cluster/seeds_capture.h"
#include "cluster/seeds_internal.h"

struct command;
struct environment;

enum cold_phase {
	COLD_FILES,
	COLD_SOFTWARE,
	COLD_START,
	COLD_BASE, /* it imports what will be the base */
	COLD_BASE_STOP, /* which is captured */
	COLD_BASE_READ,
	COLD_LOAD,
	COLD_SAMPLES,
	COLD_MEASURE, /* clones of what was captured are called */
	COLD_STOP, /* it is captured */
	COLD_READ
};

struct cold {
	struct seed *seed;
	enum cold_phase phase;
	struct bundle_fetch *fetch;
	struct environment *environment; /* being made */
	char *python; /* of the app's environment; NULL: it needs none */
	char *compiled; /* what its files were compiled to; NULL: they need not be */
	struct instance *inst;
	struct seed_capture *capture;
	struct buf key; /* of bases that it can begin from; empty: it has none */
	struct seed_base *base; /* that it began from, or has made; NULL: none, or none yet */
	struct image_clone *clone; /* to be born */
	bool cloned; /* the host is a clone of base */
	bool sought; /* a base */
	struct loop_timer timer;
	struct hot *hot; /* NULL: there are no samples */
	uint32_t sample; /* that was called last */
	uint64_t begun_ns, ready_ns, loaded_ns, capture_ns;
	struct call_error error; /* why it fails; told when the host has gone */
};

/* seeds_cold.c */
extern const struct instance_handler cold_handler;
void cold_fail(struct cold *cold, const struct call_error *error); /* it is gone then */
void cold_fail_err(struct cold *cold, const struct ramet_err *err);
/* cold_wait - it is in this phase, for so long at most */
int cold_wait(struct cold *cold, enum cold_phase phase, uint64_t ms);
int cold_start_host(struct cold *cold, struct ramet_err *err);
void cold_leave_host(struct cold *cold); /* another one begins, or none */
/* cold_send - base, or load */
int cold_send(struct cold *cold, const char *type, enum cold_phase phase, struct ramet_err *err);
int cold_ask_capture(struct cold *cold, enum cold_phase phase, struct ramet_err *err);
/* cold_call_sample - calls a function of the host, or of a clone */
int cold_call_sample(struct cold *cold, struct instance *inst, uint32_t function, uint32_t sample,
	struct ramet_err *err);
/* cold_keep - what was captured is the seed, which is ready; cold is gone then. RAMET_ELIMIT */
int cold_keep(struct cold *cold, struct seed_captured *captured, struct ramet_err *err);

/* seeds_cold_base.c */
/* cold_begin_clone - the host will be a clone of a base, if there is one; false: there is none */
bool cold_begin_clone(struct cold *cold, const struct command *command);
/* cold_baseless - body: why the host cannot be a base; it goes on without */
int cold_baseless(struct cold *cold, const struct wire_value *body, struct ramet_err *err);
int cold_base_captured(struct cold *cold, const struct wire_value *body, int *fds, unsigned nfds,
	struct ramet_err *err);
/* cold_without_base - the host began from a base that does not suit this version, or did not go
 * well with it: another one begins, from nothing. False: that would change nothing. */
bool cold_without_base(struct cold *cold, const struct ramet_err *why);

#endif
