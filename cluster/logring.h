/* What instances print: a ring of the last 64 KiB for each, fed from the pipe that is their stdout
 * and stderr, kept for a while after they end. Chunks are tagged with the call that ran; too much
 * per second is dropped and counted. Control loop only. */
#ifndef CLUSTER_LOGRING_H
#define CLUSTER_LOGRING_H

#include "base/err.h"
#include "base/loop.h"
#include "cluster/client_proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LOGRING_BYTES (64u << 10)
#define LOGRING_RATE \
	(1u << 20) /* bytes a second of one instance; what exceeds it is dropped and counted */
#define LOGRING_KEEP 256 /* rings of ended instances that are kept, the oldest going first */

struct logrings;
struct logring;
struct log_follow;

/* Who prints; the owner keeps it up to date with logring_tag(). */
struct log_tag {
	uint64_t instance;
	pid_t pid;
	uid_t uid;
	char function[CLIENT_NAME_MAX + 1]; /* "" before it is bound */
	char call[CLIENT_CALL_MAX + 1]; /* "" between calls */
	uint32_t rank;
};

/* A piece of output, as kept and as told to followers. data is valid during the call. To followers
 * also len 0: the call of the tag has ended in that instance. */
struct log_chunk {
	struct log_tag tag;
	uint64_t time_ns; /* CLOCK_REALTIME */
	const char *data;
	size_t len;
};

int logrings_create(struct loop *loop, struct logrings **ret_rings, struct ramet_err *err);
void logrings_destroy(struct logrings *rings); /* NULL is fine; rings that are open are closed */

/* logring_open - takes read_fd, the reading end of the pipe, also on failure */
int logring_open(struct logrings *rings, int read_fd, const struct log_tag *tag,
	struct logring **ret_ring, struct ramet_err *err);
/* logring_tag - for another call: first reads what is in the pipe, under the old tag */
void logring_tag(struct logring *ring, const struct log_tag *tag);
/* logring_ask - whose output it is that was just read, fn may say (call and rank); NULL: it is the
 * tag's. For calls that begin and end without us: it may be the next one's by then. */
void logring_ask(struct logring *ring, void (*fn)(void *user, struct log_tag *tag), void *user);
/* logring_close - the instance ended: reads what is left in the pipe, then closes it; the text
 * stays for a while and logring_tail() is no longer allowed (take the tail before, it drains the
 * pipe too). NULL is fine. */
void logring_close(struct logring *ring);
/* logring_tail - the last output, at most cap bytes, from a line's start where possible; returns
 * its length */
size_t logring_tail(struct logring *ring, char *dst, size_t cap);
/* logring_silent - nothing was ever printed; reads what is in the pipe */
bool logring_silent(struct logring *ring);
uint64_t logring_lost(const struct logring *ring);

/* Which output is wanted; empty and zero fields match everything. */
struct log_filter {
	uid_t uid;
	bool all_uids; /* root */
	char call[CLIENT_CALL_MAX + 1]; /* also a group's id: matches its members "GROUP.RANK" */
	uint64_t instance;
	char function[CLIENT_NAME_MAX + 1];
};
typedef void log_chunk_fn(void *user, const struct log_chunk *chunk);
/* logrings_each - what is kept, oldest ring first, each in order; returns bytes overwritten or
 * rate-limited */
uint64_t logrings_each(
	struct logrings *rings, const struct log_filter *filter, log_chunk_fn *fn, void *user);
/* some instance here runs that call now */
bool logrings_running(const struct logrings *rings, const char *call);
/* log_follow_start - from now on, everything that matches, as it comes */
int log_follow_start(struct logrings *rings, const struct log_filter *filter, log_chunk_fn *fn,
	void *user, struct log_follow **ret_follow, struct ramet_err *err);
uint64_t log_follow_stop(struct logrings *rings,
	struct log_follow *follow); /* bytes lost meanwhile; NULL is fine; allowed from within fn */

#endif
