/* What the files of a host share: its one record, and one message at a time. */
#ifndef RUNTIME_HOST_HOST_INTERNAL_H
#define RUNTIME_HOST_HOST_INTERNAL_H

#include "ramet/engine.h"
#include "runtime/host/channel.h"
#include "runtime/host/deadline.h"
#include "runtime/host/engines.h"
#include "runtime/host/host.h"
#include "runtime/host/message.h"

#include <stdbool.h>
#include <stdint.h>

/* Any message of rametd, as views into the bytes received. What it does not hold is empty. */
struct host_message {
	struct message_span type, function, dir, data;
	struct message_reader functions, env, config, context,
		items; /* the values themselves, not yet read */
	uint64_t id, max_output;
	uint64_t close; /* enum safepoint_close */
	uint64_t offset; /* of its clock, modulo 2^64 */
	uint64_t slot, pid, kind; /* of a lease for one call */
	uint64_t bytes; /* of events, that were taken */
	bool once;
	bool binary;
	bool events; /* somebody listens to the call */
	bool reset; /* after the call, or each of a lease */
};

/* One for each process: a clone goes on with its parent's. Small, because a clone writes to it. */
struct host {
	struct channel channel;
	struct engines engines;
	struct ramet_engine_function *functions; /* one engine's after the other's */
	unsigned nfunctions;
	bool based; /* ready to be captured as a base, or a clone of one that was */
	bool loaded;
	bool clone; /* not the captured process itself */
	bool captured; /* a clone, or the process that was captured */
	uint64_t salt; /* in a clone: random, for the ids of the calls of its first lease */
	bool leased; /* calls come through a lease's slots */
	enum ramet_host_threads threads; /* in a clone */
	bool leaves; /* after the answer to the call at hand */
	int status; /* of the process, once stop is set */
	bool stop;
};

uint64_t host_now_ns(void);
/* the same by a system call: the C library's way touches five pages first */
uint64_t host_clone_now_ns(void);

/* host_stop - ramet_host_run() returns this status after the message at hand */
void host_stop(struct host *host, enum ramet_host_status status);
/* host_lost - the control connection failed: nobody is left to be told but stderr */
void host_lost(struct host *host, const struct ramet_err *err);

/* host_message_parse - RAMET_EPROTO for what is no message of runtime/host_proto.h */
int host_message_parse(const unsigned char *data, size_t len, struct host_message *ret);

/* The requests, each with its answer. RAMET_EPROTO: the message is malformed; then the host ends.
 */
int host_load(struct host *host, const struct host_message *message);
int host_base(struct host *host, const struct host_message *message);
int host_capture(struct host *host, const struct host_message *message);
int host_call(struct host *host, const struct host_message *message);
int host_lease(struct host *host, const struct host_message *message);
int host_unlease(struct host *host);
int host_secrets(struct host *host, const struct host_message *message);
bool host_has_secrets(void); /* then it is not captured again */
/* host_serve_lease - while it is leased, again and again: one call, or sleep until there is
 * something; true: rametd has said something */
bool host_serve_lease(struct host *host);

/* host_events.c: what a call tells before its end. begin: before a call that somebody listens to;
 * end: before its answer, tells what was held back and returns the bytes of its chunks, which count
 * as output. */
void host_events_begin(struct host *host, uint64_t id, size_t max_output);
int host_events_emit(const struct ramet_engine_event *event, struct ramet_err *err);
size_t host_events_end(void);

/* for both ways in which calls come */
/* host_ended - a call failed: its error, if it was ended by its deadline or cancelled; leaves is
 * set if that has left processes behind, or its engine cannot go on */
void host_ended(struct host *host, enum deadline_end how, struct ramet_engine_error *error);
/* host_reset - after a call of this engine that asks for it; leaves is set if that cannot be done */
void host_reset(struct host *host, const struct engines_one *one);
struct message_reader;
int host_read_context(struct message_reader r, struct ramet_engine_context *c);
/* host_functions.c. read: the languages' engines are opened; NULL: only functions of the process's own
 * engine are taken. RAMET_EPROTO: the message is malformed; else an engine cannot be had. */
struct host_languages {
	const struct ramet_engine_env *items; /* a language, and the path of its engine */
	unsigned count;
	bool isolates; /* none but those whose code runs in isolates */
	char *of_app; /* whose init, modules and path are; NULL: the process's own engine's */
};
int host_read_functions(struct host *host, struct message_reader r,
	const struct host_languages *languages, struct ramet_err *err);
bool host_find_function(const struct host *host, struct message_span name, unsigned *ret_index);
char *host_keep(struct message_span span); /* a copy that is terminated; NULL: it has a NUL byte */
/* host_write_error - the pair "error" of a message; at most HOST_ERROR_CAP bytes */
#define HOST_ERROR_CAP (3 * 32768 + 1024)
void host_write_error(struct message_writer *w, const struct ramet_engine_error *error);

/* host_answer - a message without payload; what it says about the connection is kept in host */
void host_answer(struct host *host, const struct message_writer *w, unsigned char *start,
	const int *fds, unsigned nfds);
/* host_answer_error - {t: type, [id], [ok: false, data: "", begin, end], error}; times may be NULL
 */
struct host_times {
	uint64_t id, begin_ns, end_ns;
	bool last; /* it ends now */
};
void host_answer_error(struct host *host, const char *type, const struct host_times *times,
	const struct ramet_engine_error *error);
/* host_answer_short - {t: type, error}, without allocating: for clones whose other threads may hold
 * locks */
void host_answer_short(struct host *host, const char *type, enum ramet_engine_kind kind,
	const struct ramet_err *err);
/* the same as host_answer_error() from an error of ours */
void host_answer_err(struct host *host, const char *type, const struct host_times *times,
	enum ramet_engine_kind kind, const struct ramet_err *err);

#endif
