/* Reading and sending the frames of slots_wire.h. */
#include "runtime/slots/slots_stream.h"

#include "base/cleanup.h"

#include <string.h>

#define GATHER 16u /* frames that are sent at once */

void slots_stream_init(struct slots_stream *stream, const struct slots_carrier *carrier, void *of,
	bool serves, const struct slots_stream_ops *ops)
{
	stream->ops = ops;
	stream->carrier = carrier;
	stream->of = of;
	stream->serves = serves;
	stream->have = stream->left = stream->sent = 0;
	stream->head = stream->tail = 0;
	stream->inside = false;
}

/* --- what comes --- */

/* bytes, or a negative code; *ret_more: there may be more */
static ssize_t receive(struct slots_stream *s, void *to, size_t cap, bool *ret_more)
{
	ssize_t n = s->carrier->receive(s->of, to, cap);
	*ret_more = n == (ssize_t)cap;
	return n;
}

static int take_header(struct slots_stream *s, const unsigned char *header)
{
	void *to = NULL;
	int rc = slots_wire_parse(header, s->serves, &s->wire);
	if (rc == 0)
		rc = s->ops->on_header(s, &s->wire, &to);
	if (rc < 0)
		return rc;
	if (!to && s->wire.len > 0)
		return RAMET_EPROTO;
	s->to = to;
	s->left = s->wire.len;
	s->inside = true;
	return 0;
}

/* Takes what lies from `at` to `end`; of the last header, which may not be there whole, what there
 * is stays in `partial`: nothing else is kept between two reads. */
static int consume(struct slots_stream *s, const unsigned char *at, const unsigned char *end)
{
	for (;;) {
		size_t n = (size_t)(end - at);
		if (!s->inside && n < SLOTS_WIRE_BYTES) {
			memcpy(s->partial, at, n);
			s->have = n;
			return 0;
		}
		int rc = 0;
		if (!s->inside) {
			rc = take_header(s, at);
			at += SLOTS_WIRE_BYTES;
		}
		if (rc < 0)
			return rc;
		n = MIN((size_t)(end - at), s->left);
		if (n > 0) {
			memcpy(s->to, at, n);
			at += n;
			s->to += n;
			s->left -= n;
		}
		if (s->left > 0)
			return 0;
		s->inside = false;
		rc = s->ops->on_frame(s, &s->wire);
		if (rc < 0)
			return rc;
	}
}

/* headers, and what of their bytes has come with them */
static ssize_t take_frames(struct slots_stream *s, bool *ret_more)
{
	unsigned char buffer[SLOTS_STREAM_BUFFER];
	size_t had = s->have;
	ssize_t n = receive(s, buffer + had, sizeof(buffer) - had, ret_more);
	if (n <= 0)
		return n;
	memcpy(buffer, s->partial, had);
	s->have = 0;
	int rc = consume(s, buffer, buffer + had + (size_t)n);
	return rc < 0 ? rc : n;
}

/* the rest of a frame, right to where it goes */
static ssize_t take_payload(struct slots_stream *s, bool *ret_more)
{
	ssize_t n = receive(s, s->to, s->left, ret_more);
	if (n <= 0)
		return n;
	s->to += n;
	s->left -= (size_t)n;
	if (s->left > 0)
		return n;
	s->inside = false;
	int rc = s->ops->on_frame(s, &s->wire);
	return rc < 0 ? rc : n;
}

int slots_stream_read(struct slots_stream *s)
{
	size_t total = 0;
	bool more = true;
	while (more && total < SLOTS_STREAM_TURN) {
		bool direct = s->inside && s->left > SLOTS_STREAM_BUFFER;
		ssize_t n = direct ? take_payload(s, &more) : take_frames(s, &more);
		if (n < 0)
			return (int)n;
		total += (size_t)n;
	}
	return more;
}

/* --- what goes --- */

int slots_stream_put(struct slots_stream *s, const struct slots_wire *wire, const void *data)
{
	if (s->tail - s->head == SLOTS_STREAM_QUEUE)
		return RAMET_EAGAIN;
	struct slots_stream_frame *frame = &s->queue[s->tail++ % SLOTS_STREAM_QUEUE];
	frame->wire = *wire;
	frame->data = data;
	return 0;
}

/* the parts of a frame from byte `from` on; `header` is room for the first of them */
static unsigned parts_of(const struct slots_stream_frame *frame, size_t from,
	unsigned char header[SLOTS_WIRE_BYTES], struct iovec *iov)
{
	unsigned n = 0;
	slots_wire_pack(&frame->wire, header);
	size_t in_data = from > SLOTS_WIRE_BYTES ? from - SLOTS_WIRE_BYTES : 0;
	if (from < SLOTS_WIRE_BYTES)
		iov[n++] = (struct iovec){header + from, SLOTS_WIRE_BYTES - from};
	if (frame->wire.len > in_data)
		iov[n++] = (struct iovec){(char *)frame->data + in_data, frame->wire.len - in_data};
	return n;
}

static size_t bytes_of(const struct iovec *iov, unsigned count)
{
	size_t n = 0;
	for (unsigned i = 0; i < count; i++)
		n += iov[i].iov_len;
	return n;
}

static void advance(struct slots_stream *s, size_t n)
{
	s->sent += n;
	while (s->head != s->tail) {
		const struct slots_stream_frame *frame = &s->queue[s->head % SLOTS_STREAM_QUEUE];
		const struct slots_wire wire = frame->wire;
		if (s->sent < SLOTS_WIRE_BYTES + wire.len)
			return;
		s->sent -= SLOTS_WIRE_BYTES + wire.len;
		s->head++;
		s->ops->on_sent(s, &wire);
	}
}

int slots_stream_send(struct slots_stream *s)
{
	while (s->head != s->tail) {
		unsigned char headers[GATHER][SLOTS_WIRE_BYTES];
		struct iovec iov[2 * GATHER];
		unsigned niov = 0;
		for (unsigned i = 0; s->head + i != s->tail && i < GATHER; i++)
			niov += parts_of(&s->queue[(s->head + i) % SLOTS_STREAM_QUEUE],
				i == 0 ? s->sent : 0, headers[i], iov + niov);
		ssize_t n = s->carrier->send(s->of, iov, niov);
		if (n < 0)
			return (int)n;
		advance(s, (size_t)n);
		if ((size_t)n < bytes_of(iov, niov))
			return 0;
	}
	return 0;
}

bool slots_stream_waits(const struct slots_stream *s)
{
	return s->head != s->tail;
}

const struct slots_wire *slots_stream_unsent(const struct slots_stream *s, unsigned i)
{
	return s->head + i == s->tail ? NULL : &s->queue[(s->head + i) % SLOTS_STREAM_QUEUE].wire;
}
