/* What the files of a host share: its one record, and one message at a time. */
#ifndef RUNTIME_HOST_HOST_INTERNAL_H
#define RUNTIME_HOST_HOST_INTERNAL_H

#include "runtime/engine.h"
#include "runtime/host/channel.h"
#include "runtime/host/host.h"
#include "runtime/host/message.h"

#include <stdbool.h>
#include <stdint.h>

/* Any message of rametd, as views into the bytes received. What it does not hold is empty. */
struct host_message {
	struct message_span type, function, dir, data;
	struct message_reader functions, env, context; /* the values themselves, not yet read */
	uint64_t id, max_output;
	uint64_t close; /* enum safepoint_close */
	bool binary;
};

/* One for each process: a clone goes on with its parent's. Small, because a clone writes to it. */
struct host {
	struct channel channel;
	const struct engine_ops *ops;
	struct engine *engine;
	struct engine_function *functions;
	unsigned nfunctions;
	bool loaded;
	bool clone; /* not the captured process itself */
	enum ramet_host_threads threads; /* in a clone */
	int status; /* of the process, once stop is set */
	bool stop;
};

uint64_t host_now_ns(void);

/* host_stop - ramet_host_run() returns this status after the message at hand */
void host_stop(struct host *host, enum ramet_host_status status);
/* host_lost - the control connection failed: nobody is left to be told but stderr */
void host_lost(struct host *host, const struct ramet_err *err);

/* host_message_parse - RAMET_EPROTO for what is no message of runtime/host_proto.h */
int host_message_parse(const unsigned char *data, size_t len, struct host_message *ret);

/* The requests, each with its answer. RAMET_EPROTO: the message is malformed; then the host ends.
 */
int host_load(struct host *host, const struct host_message *message);
int host_capture(struct host *host, const struct host_message *message);
int host_call(struct host *host, const struct host_message *message);

/* host_answer - a message without payload; what it says about the connection is kept in host */
void host_answer(struct host *host, const struct message_writer *w, unsigned char *start,
	const int *fds, unsigned nfds);
/* host_answer_error - {t: type, [id], [ok: false, data: "", begin, end], error}; times may be NULL
 */
struct host_times {
	uint64_t id, begin_ns, end_ns;
};
void host_answer_error(struct host *host, const char *type, const struct host_times *times,
	const struct engine_error *error);
/* host_answer_short - {t: type, error}, without allocating: for clones whose other threads may hold
 * locks */
void host_answer_short(
	struct host *host, const char *type, enum engine_kind kind, const struct ramet_err *err);
/* the same as host_answer_error() from an error of ours */
void host_answer_err(struct host *host, const char *type, const struct host_times *times,
	enum engine_kind kind, const struct ramet_err *err);

#endif
