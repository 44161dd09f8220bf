/* A bare TCP connection to a peer's listener: opened with a token, like any other, then its socket
 * belongs to who asked for it. What is said over it, and who notices that the peer is dead, is
 * theirs. The peer's side is on_stream of struct transport_accept. */
#ifndef TRANSPORT_STREAM_H
#define TRANSPORT_STREAM_H

#include "base/err.h"
#include "base/loop.h"

#include <stddef.h>

struct stream_opening;

/* once, from the loop; the opening is freed when it returns. fd: connected and welcome, not
 * blocking, the callee's; -1: err tells why (RAMET_EPEER, RAMET_EPERM, RAMET_EVERSION,
 * RAMET_ETIMEOUT, RAMET_EPROTO). */
typedef void stream_open_fn(void *user, int fd, const struct ramet_err *err);

/* stream_open - addr: the address of a `tcp` listener. silence_ms: as peer_timeout_ms of a
 * transport. */
int stream_open(struct loop *loop, const char *addr, const void *token, size_t token_len,
	unsigned silence_ms, stream_open_fn *fn, void *user, struct stream_opening **ret_opening,
	struct ramet_err *err);
void stream_open_cancel(struct stream_opening *opening); /* fn does not come; NULL is fine */

#endif
