/* A request whose answers are taken one after another by one thread: everything that is not a call.
 */
#ifndef LIBRAMET_STREAM_H
#define LIBRAMET_STREAM_H

#include "base/cleanup.h"
#include "libramet/handle.h"
#include "libramet/message.h"

struct stream;

/* stream_open - send a request. pack adds `pairs` pairs to its map. */
int stream_open(struct ramet *ramet, const char *type, uint32_t pairs,
	void (*pack)(struct buf *b, const void *arg), const void *arg, struct stream **ret_stream,
	struct ramet_err *err);
/* stream_next - the next message; an `error` message is one too. RAMET_ETIMEOUT; RAMET_EPEER the
 * connection is lost. */
int stream_next(struct stream *stream, uint64_t deadline_ns, struct message **ret_message,
	struct ramet_err *err);
int stream_cancel(struct stream *stream, struct ramet_err *err);
/* stream_taken - of the events that have come, so much has been used (CLIENT_EVENT_WEIGHT) */
int stream_taken(struct stream *stream, uint64_t weight, struct ramet_err *err);
/* stream_close - messages that are left are dropped; the request itself goes on. NULL is fine. */
void stream_close(struct stream *stream);

DEFINE_CLEANUP(struct stream, stream_close)
#define auto_stream AUTO(stream_close)

/* stream_error - turns an `error` message into err; returns its code */
int stream_error(const struct message *message, struct ramet_err *err);
/* stream_expect - the final answer: 0 when its type is this, the error's code, or RAMET_EPROTO */
int stream_expect(const struct message *message, const char *type, struct ramet_err *err);

/* stream_request - send a request and wait for its one answer */
int stream_request(struct ramet *ramet, const char *type, uint32_t pairs,
	void (*pack)(struct buf *b, const void *arg), const void *arg, uint64_t deadline_ns,
	const char *answer, struct message **ret_message, struct ramet_err *err);

#endif
