/* A byte stream over a connection of the transport, by one-sided writes. Each side has a ring of
 * registered memory that the other one fills: a write-with-immediate for each piece, whose 32 bits
 * say how far the writer has written, and how far it has read its own ring. Where nothing is
 * written back, a doorbell of nothing says the latter, each time that a quarter of the ring was
 * read. Two small messages besides: where the ring is, first, and that nothing more comes, last.
 *
 * The connection is the pipe's own, and so is its domain: a peer reaches nothing but the ring, and
 * what it writes there, or rings, is checked: at worst its stream ends (RAMET_EPROTO). The idea is
 * that of RDMA message rings, as in FaRM (Dragojević et al., NSDI 2014), with immediates in place
 * of polling. */
#ifndef TRANSPORT_PIPE_H
#define TRANSPORT_PIPE_H

#include "transport/byte_stream.h"
#include "transport/transport.h"

#define PIPE_RING ((size_t)256 << 10) /* bytes; as many are staged for sending */

/* pipe_connect - begins to; bytes may be sent at once, and go when it is open, unless it was closed
 * before. The handle may outlive the transport. */
int pipe_connect(struct transport *transport, const char *addr, const void *token, size_t token_len,
	byte_stream_ready *on_ready, void *user, struct byte_stream **ret_stream,
	struct ramet_err *err);
/* pipe_accept - from a listener's on_accept, which returns with *ret_accept. The stream is the
 * caller's at once, open or not. */
int pipe_accept(struct transport *transport, byte_stream_ready *on_ready, void *user,
	struct transport_accept *ret_accept, struct byte_stream **ret_stream,
	struct ramet_err *err);
/* pipe_is_open - both sides know each other's ring; on_ready has come then */
bool pipe_is_open(const struct byte_stream *stream);
/* pipe_error - why its connection ended: code 0: it has not; RAMET_ECLOSED: the peer closed it.
 * Until the stream is closed. */
const struct ramet_err *pipe_error(const struct byte_stream *stream);

#endif
