/* How a call ended: what its caller is told, in the daemon and on the wire. The encoded form is the
 * `result` of cluster/client_proto.h without "t" and "req"; the same bytes travel between daemons.
 */
#ifndef CLUSTER_CALLS_RESULT_H
#define CLUSTER_CALLS_RESULT_H

#include "base/err.h"
#include "base/wire.h"
#include "scheduler/place.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_ID_MAX \
	33 /* with its NUL: "node-sequence-random", of [0-9a-z-]; of a burst: "group.rank" */
#define CALL_NAME_MAX 65
#define CALL_LOG_TAIL 4096

/* Why it failed. Strings are malloc'ed or NULL (then empty); err.code 0: it did not fail. err.msg
 * holds the beginning of the message; `message` all of it when it is longer than that. */
struct call_error {
	struct ramet_err err;
	char kind[8]; /* user, limit, system, refused; "": what the code implies (call_error_kind)
		       */
	bool retryable;
	int signal;
	uint64_t fault_address;
	uint32_t node;
	char *message;
	char *type; /* of the exception */
	char *traceback;
	void *log_tail;
	size_t log_tail_len;
};
void call_error_fini(struct call_error *error); /* a zeroed one is fine */
int call_error_copy(struct call_error *dst,
	const struct call_error *src); /* 0, or RAMET_ENOMEM and dst without texts */
void call_error_set(struct call_error *error, const struct ramet_err *err, uint32_t node);
const char *call_error_kind(const struct call_error *error);
const char *call_error_message(const struct call_error *error);
void call_error_pack(const struct call_error *error, struct buf *b); /* one map */
/* an error map that came from a peer or, hostile, from an instance (runtime/host_proto.h): every
 * string bounded */
int call_error_parse(
	const struct wire_value *map, struct call_error *ret_error, struct ramet_err *err);

struct call_ns {
	uint64_t queue, start, first_instruction, run, total;
};

struct call_result {
	char id[CALL_ID_MAX];
	char function[CALL_NAME_MAX];
	char version[CALL_NAME_MAX];
	uint32_t node; /* 0: it never had an instance */
	uint64_t instance;
	int32_t pid;
	enum start_kind start;
	uint32_t source_node;
	uint32_t rank, size;
	struct call_error error;
	bool binary;
	const void *output; /* points into storage, or into a frame that is being handled */
	size_t output_len;
	struct call_ns ns;
	void *storage; /* malloc'ed, or NULL */
};
void call_result_fini(struct call_result *result);
#define CALL_RESULT_PAIRS 14 /* that call_result_pack_pairs() writes; for whoever opens the map */
void call_result_pack_pairs(const struct call_result *result, struct buf *b);
void call_result_pack(const struct call_result *result, struct buf *b); /* a whole map */
/* output is copied into storage; RAMET_EPROTO names the key */
int call_result_parse(
	const struct wire_value *map, struct call_result *ret_result, struct ramet_err *err);

#endif
