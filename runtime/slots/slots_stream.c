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
	stream->begin = stream->end = stream->left = stream->sent = 0;
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

static int take_header(struct slots_stream *s)
{
	void *to = NULL;
	int rc = slots_wire_parse(s->buffer + s->begin, s->serves, &s->wire);
	s->begin += SLOTS_WIRE_BYTES;
	if (rc == 0)
		rc = s->ops->on_header(s, &s->wire, &to);
	if (rc < 0)
		return rc;
	s->to = to;
	s->left = s->wire.len;
	s->inside = true;
	return 0;
}

/* what is in the buffer, as far as it goes */
static int consume(struct slots_stream *s)
{
	for (;;) {
		int rc = 0;
		size_t have = s->end - s->begin;
		if (!s->inside && have < SLOTS_WIRE_BYTES)
			return 0;
		if (!s->inside)
			rc = take_header(s);
		if (rc < 0)
			return rc;
		size_t n = MIN(s->end - s->begin, s->left);
		if (s->to && n > 0) {
			memcpy(s->to, s->buffer + s->begin, n);
			s->begin += n;
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

static ssize_t fill_buffer(struct slots_stream *s, bool *ret_more)
{
	memmove(s->buffer, s->buffer + s->begin, s->end - s->begin);
	s->end -= s->begin;
	s->begin = 0;
	ssize_t n = receive(s, s->buffer + s->end, sizeof(s->buffer) - s->end, ret_more);
	if (n > 0)
		s->end += (size_t)n;
	return n;
}

/* past the buffer, which is empty then */
static ssize_t fill_payload(struct slots_stream *s, bool *ret_more)
{
	ssize_t n = receive(s, s->to, s->left, ret_more);
	if (n > 0) {
		s->to += n;
		s->left -= (size_t)n;
	}
	return n;
}

int slots_stream_read(struct slots_stream *s)
{
	size_t total = 0;
	bool more = true;
	while (more && total < SLOTS_STREAM_TURN) {
		bool direct = s->inside && s->left > sizeof(s->buffer);
		ssize_t n = direct ? fill_payload(s, &more) : fill_buffer(s, &more);
		if (n < 0)
			return (int)n;
		total += (size_t)n;
		int rc = consume(s);
		if (rc < 0)
			return rc;
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
	slots_wire_pack(wire, frame->header);
	return 0;
}

/* the parts of a frame from byte `from` on */
static unsigned parts_of(struct slots_stream_frame *frame, size_t from, struct iovec *iov)
{
	unsigned n = 0;
	size_t in_data = from > SLOTS_WIRE_BYTES ? from - SLOTS_WIRE_BYTES : 0;
	if (from < SLOTS_WIRE_BYTES)
		iov[n++] = (struct iovec){frame->header + from, SLOTS_WIRE_BYTES - from};
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
		struct iovec iov[2 * GATHER];
		unsigned niov = 0;
		for (unsigned i = s->head; i != s->tail && i - s->head < GATHER; i++)
			niov += parts_of(&s->queue[i % SLOTS_STREAM_QUEUE],
				i == s->head ? s->sent : 0, iov + niov);
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
