/* The data side of a node: a thread with the transports that serve seeds to peers. It exposes
 * memory as read-only segments of a tenant's domain, over each transport (a way), and lets in the
 * peers that present a token given out for that tenant. Every call is made on the control loop;
 * callbacks come there. */
#ifndef CLUSTER_SEGMENTS_H
#define CLUSTER_SEGMENTS_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/loop.h"
#include "transport/transport.h"

#include <stddef.h>
#include <stdint.h>

#define SEGMENTS_TOKEN_BYTES 32
#define SEGMENTS_TOKEN_MS 30000 /* a token that is not used expires */
#define SEGMENTS_TOKENS_MAX 4096 /* unused ones; then the oldest goes */

#define SEGMENTS_WAYS_MAX 2
#define SEGMENTS_FIRST 0u /* the way of segments_create() */
#define SEGMENTS_SECOND 1u

struct segments;
struct segment;

/* control: the loop callbacks come on. provider: "tcp", "verbs", "mem"; addr: where to listen
 * ("10.0.0.1:0"); options may be NULL. */
int segments_create(struct loop *control, const char *provider, const char *addr,
	const struct transport_options *options, struct segments **ret_segments,
	struct ramet_err *err);
/* segments_also - listen over a second transport too; once, before anything is added. If that
 * fails, all goes on without. */
int segments_also(struct segments *segments, const char *provider, const char *addr,
	const struct transport_options *options, struct ramet_err *err);
void segments_destroy(
	struct segments *segments); /* ends the thread; every segment is gone; NULL is fine */
DEFINE_CLEANUP(struct segments, segments_destroy)

unsigned segments_ways(const struct segments *segments);
const char *segments_provider(const struct segments *segments, unsigned way);
const char *segments_addr(const struct segments *segments, unsigned way); /* the address bound */
const char *segments_device(const struct segments *segments, unsigned way); /* or "" */

/* segments_add - ready(user, err) comes later, once, unless the segment is removed before;
 * err->code 0: peers of this tenant may read it now; else it is unusable and still to be removed.
 * memory stays mapped until segments_remove()'s drained. */
int segments_add(struct segments *segments, uint32_t tenant, void *memory, size_t len,
	void (*ready)(void *user, const struct ramet_err *err), void *user,
	struct segment **ret_segment, struct ramet_err *err);
/* once it is ready; zeros: it cannot be reached that way (a device took no more memory) */
struct segment_ref segments_ref(const struct segment *segment, unsigned way);
/* drained (may be NULL) comes once, later, when nobody touches the memory any more; the handle ends
 * now; NULL is fine. Segments should be removed before segments_destroy(); drained comes on the
 * control loop even after it. */
void segments_remove(struct segment *segment, void (*drained)(void *user), void *user);

/* segments_token - a token that opens one data connection into the tenant's domain */
int segments_token(struct segments *segments, uint32_t tenant,
	uint8_t ret_token[SEGMENTS_TOKEN_BYTES], struct ramet_err *err);
/* segments_stream_token - a token that opens one bare stream (transport/stream.h) to the first way;
 * on_stream comes on the data thread, once, unless the token expires or is dropped before.
 * RAMET_ENOTSUP: that way is not `tcp`. */
int segments_stream_token(struct segments *segments,
	void (*on_stream)(void *user, int fd, const char *peer), void *user,
	uint8_t ret_token[SEGMENTS_TOKEN_BYTES], struct ramet_err *err);
/* segments_pipe_token - the same for a pipe (transport/pipe.h), which on_pipe makes: a listener's
 * on_accept, with the transport that was reached. RAMET_ENOTSUP: no way is `provider`. */
int segments_pipe_token(struct segments *segments, const char *provider,
	int (*on_pipe)(
		void *user, struct transport *transport, struct transport_accept *ret_accept),
	void *user, uint8_t ret_token[SEGMENTS_TOKEN_BYTES], struct ramet_err *err);
/* segments_drop_stream - on the data thread: on_stream or on_pipe of this user does not come any
 * more */
void segments_drop_stream(struct segments *segments, const void *user);
struct loop *segments_loop(const struct segments *segments); /* of the data thread */
/* segments_transport - for the data thread; NULL: no way is this provider */
struct transport *segments_transport(const struct segments *segments, const char *provider);
/* segments_way_of - the way that is this provider, or SEGMENTS_WAYS_MAX */
unsigned segments_way_of(const struct segments *segments, const char *provider);

#endif
