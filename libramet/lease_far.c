/* Between our slots of a lease and its stream: see lease_far.h. */
#include "libramet/lease_far.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "runtime/slots/slots.h"
#include "runtime/slots/slots_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct lease_far {
	struct slots_stream stream;
	int fd; /* what carries it */
	struct slots_instance slots; /* of our memory: whoever takes its calls and answers them */
	struct slots_call calls[SLOTS_COUNT]; /* that are away */
	uint32_t away; /* slots, a bit each */
	uint32_t cancelled; /* of those: said once, so that there is always room for calls */
	int epoll_fds[2];
	bool waits; /* for the socket to take more */
	bool ended; /* in good order: what has no answer was not begun */
};

static struct lease_far *of(struct slots_stream *stream)
{
	return container_of(stream, struct lease_far, stream);
}

/* --- the socket --- */

static ssize_t socket_receive(void *of, void *to, size_t cap)
{
	const struct lease_far *far = of;
	ssize_t n;
	do
		n = recv(far->fd, to, cap, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	return n < 0 && errno == EAGAIN ? 0 : RAMET_EPEER;
}

static ssize_t socket_send(void *of, const struct iovec *iov, unsigned count)
{
	const struct lease_far *far = of;
	const struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = count};
	ssize_t n;
	do
		n = sendmsg(far->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN ? 0 : RAMET_EPEER;
}

static const struct slots_carrier socket_carrier = {.receive = socket_receive, .send = socket_send};

/* --- what comes --- */

/* an answer to what was asked, and where its bytes go */
static int on_header(struct slots_stream *stream, const struct slots_wire *wire, void **ret_to)
{
	struct lease_far *far = of(stream);
	if (wire->type == SLOTS_WIRE_END)
		return 0;
	const struct slots_call *call = &far->calls[wire->slot];
	if (!(far->away & 1u << wire->slot) || call->number != wire->number)
		return RAMET_EPROTO;
	*ret_to = slots_output(&far->slots, call, wire->len);
	return *ret_to ? 0 : RAMET_EPROTO;
}

static int on_frame(struct slots_stream *stream, const struct slots_wire *wire)
{
	struct lease_far *far = of(stream);
	if (wire->type == SLOTS_WIRE_END) {
		far->ended = true;
		return RAMET_ECLOSED;
	}
	const struct slots_outcome outcome = {
		.status = wire->status,
		.binary = wire->binary,
		.not_begun = !wire->begun,
		.len = wire->len,
		.run_ns = wire->time_ns,
	};
	if (!wire->begun) /* it takes no more */
		slots_set_closing(&far->slots.slots);
	far->slots.servant = wire->servant;
	far->away &= ~(1u << wire->slot);
	slots_finish(&far->slots, &far->calls[wire->slot], &outcome);
	return 0;
}

static void on_sent(struct slots_stream *stream, const struct slots_wire *wire)
{
	(void)stream; /* the input stays: it may have to be sent again */
	(void)wire;
}

static const struct slots_stream_ops ops = {
	.on_header = on_header, .on_frame = on_frame, .on_sent = on_sent};

/* --- what goes --- */

static void watch(struct lease_far *far)
{
	bool waits = slots_stream_waits(&far->stream);
	if (waits == far->waits)
		return;
	far->waits = waits;
	struct epoll_event event = {
		.events = EPOLLIN | (waits ? (uint32_t)EPOLLOUT : 0), .data.fd = far->fd};
	for (unsigned i = 0; i < 2; i++)
		(void)epoll_ctl(far->epoll_fds[i], EPOLL_CTL_MOD, far->fd, &event);
}

/* a stream that has ended is noticed by who reads it */
static void flush(struct lease_far *far)
{
	(void)slots_stream_send(&far->stream);
	watch(far);
}

static uint64_t left_of(const struct slots_call *call)
{
	uint64_t now = now_ns();
	if (call->deadline_ns == 0)
		return 0;
	return call->deadline_ns > now ? call->deadline_ns - now : 1;
}

void lease_far_send(struct lease_far *far)
{
	struct slots_call call;
	while (slots_take(&far->slots, &call) == 1) {
		const struct slots_wire wire = {
			.type = SLOTS_WIRE_CALL,
			.slot = call.slot,
			.number = call.number,
			.len = call.len,
			.binary = call.binary,
			.time_ns = left_of(&call),
			.span_ms = call.span_ms,
			.rank = call.rank,
			.size = call.size,
		};
		far->calls[call.slot] = call;
		far->away |= 1u << call.slot;
		far->cancelled &= ~(1u << call.slot);
		if (slots_stream_put(&far->stream, &wire, call.data) < 0)
			lease_far_hang_up(far); /* more words about calls than there are calls */
	}
	flush(far);
}

int lease_far_cancel(struct lease_far *far, unsigned slot)
{
	const struct slots_wire wire = {
		.type = SLOTS_WIRE_CANCEL, .slot = slot, .number = far->calls[slot].number};
	if (far->cancelled & 1u << slot)
		return 0;
	int rc = slots_stream_put(&far->stream, &wire, NULL);
	if (rc == 0)
		far->cancelled |= 1u << slot;
	flush(far);
	return rc;
}

int lease_far_receive(struct lease_far *far)
{
	if (far->waits)
		flush(far);
	int rc = slots_stream_read(&far->stream);
	return MIN(rc, 0); /* what is left is told of again */
}

/* --- its life --- */

/* its header has not left whole, or came too late: nobody knows of it */
static bool unheard_of(const struct lease_far *far, unsigned slot)
{
	const struct slots_wire *wire;
	if (far->ended)
		return true;
	for (unsigned i = 0; (wire = slots_stream_unsent(&far->stream, i)); i++)
		if (wire->type == SLOTS_WIRE_CALL && wire->slot == slot)
			return i > 0 || far->stream.sent < SLOTS_WIRE_BYTES;
	return false;
}

void lease_far_lose(struct lease_far *far)
{
	slots_set_closing(&far->slots.slots);
	for (unsigned i = 0; i < SLOTS_COUNT; i++) {
		const struct slots_outcome outcome = {
			.status = RAMET_ELOST, .not_begun = unheard_of(far, i)};
		if (far->away & 1u << i)
			slots_finish(&far->slots, &far->calls[i], &outcome);
	}
	far->away = 0;
	close_reset(&far->fd);
}

void lease_far_hang_up(struct lease_far *far)
{
	(void)shutdown(far->fd, SHUT_RDWR);
}

int lease_far_watch(struct lease_far *far, const int epoll_fds[2])
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = far->fd};
	for (unsigned i = 0; i < 2; i++) {
		far->epoll_fds[i] = epoll_fds[i];
		if (epoll_ctl(epoll_fds[i], EPOLL_CTL_ADD, far->fd, &event) < 0)
			return RAMET_EIO;
	}
	return 0;
}

int lease_far_open(struct slots *slots, int fd, struct lease_far **ret_far, struct ramet_err *err)
{
	auto_free struct lease_far *far = calloc(1, sizeof(*far));
	if (!far || slots_map_bulk(slots) < 0)
		return err_nomem(err);
	far->slots.slots = *slots; /* one mapping, the lease's */
	slots_instance_sleeps(&far->slots); /* and never wakes: each call is told of */
	far->fd = fd;
	slots_stream_init(&far->stream, &socket_carrier, far, false, &ops);
	*ret_far = steal_ptr(&far);
	return 0;
}

void lease_far_close(struct lease_far *far)
{
	if (!far)
		return;
	close_reset(&far->fd);
	free(far);
}
