/* Calls of a client on another node, between its stream and the slots of its lease: on the data
 * thread. What the control loop does with it is lease_stream_control.c. */
#include "cluster/lease_stream_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "transport/byte_stream.h"
#include "transport/pipe.h"

#include <unistd.h>

/* A client reads its answers when it comes to it. What ends this sooner is its own end, or its
 * node's. */
#define LINGER_MS 600000
#define LEFT_MAX_NS (365ull * 24 * 3600 * NSEC_PER_SEC)

_Static_assert(PIPE_RING < SLOTS_STREAM_TURN, "a turn empties a pipe, which does not tell again");

static struct lease_stream *of(struct slots_stream *stream)
{
	return container_of(stream, struct lease_stream, stream);
}

/* --- ending --- */

/* While there are calls the data thread looks for what comes instead of sleeping: over RDMA that
 * is quicker than being woken. */
static void spin(struct lease_stream *s)
{
	if (s->transport)
		transport_spin_set(s->transport, &s->spins, s->bytes && s->under_way != 0);
}

static void close_stream(struct lease_stream *s)
{
	loop_watch_remove(&s->event_watch);
	byte_stream_close(steal_ptr(&s->bytes));
	spin(s);
}

static void finish(struct lease_stream *s)
{
	segments_drop_stream(s->segments, s);
	loop_timer_cancel(&s->timer);
	close_stream(s);
	slots_close(&s->slots.slots);
	close_reset(&s->event_fd);
	close_reset(&s->wake_fd);
	s->free_task.fn = lease_stream_free_there;
	loop_post(s->control, &s->free_task);
}

static void on_late(struct loop_timer *timer)
{
	finish(container_of(timer, struct lease_stream, timer));
}

/* an answer that is not the instance's */
static int answer_for(struct lease_stream *s, const struct slots_wire *wire, int status, bool begun)
{
	const struct slots_wire answer = {
		.type = SLOTS_WIRE_ANSWER,
		.slot = wire->slot,
		.number = wire->number,
		.status = status,
		.begun = begun,
	};
	s->sending |= 1u << wire->slot;
	return slots_stream_put(&s->stream, &answer, NULL);
}

/* the instance has written what cannot be: that is the answer to all; then the client hangs up */
static void say_broken(struct lease_stream *s)
{
	for (unsigned i = 0; i < SLOTS_COUNT; i++) {
		const struct slots_wire call = {.slot = i, .number = s->number[i]};
		if (s->under_way & ~s->sending & 1u << i)
			(void)answer_for(s, &call, RAMET_EPROTO, true);
	}
	(void)slots_stream_send(&s->stream);
	byte_stream_shut(s->bytes);
	loop_watch_remove(&s->event_watch);
}

/* nothing more will be said; who owns the lease ends the rest */
static void fail(struct lease_stream *s, bool broken)
{
	if (s->ending) {
		finish(s);
		return;
	}
	if (s->told || !broken)
		close_stream(s);
	else
		say_broken(s);
	if (s->told)
		return;
	s->told = true;
	s->broken = broken;
	s->gone_task.fn = lease_stream_gone_there;
	loop_post(s->control, &s->gone_task);
}

/* --- answers --- */

/* 0, or the instance has written what cannot be */
static int answer(struct lease_stream *s, unsigned slot)
{
	struct slots_answer a;
	if (slots_broken(&s->slots, slot))
		return RAMET_EPROTO;
	if (!slots_done(&s->slots, slot))
		return 0;
	int rc = slots_answer(&s->slots, slot, &a);
	if (rc < 0)
		return rc;
	const struct slots_wire wire = {
		.type = SLOTS_WIRE_ANSWER,
		.slot = slot,
		.number = s->number[slot],
		.len = a.len,
		.binary = a.binary,
		.time_ns = a.run_ns,
		.begun = a.begun,
		.status = a.status,
		.servant = a.servant,
	};
	s->sending |= 1u << slot;
	return slots_stream_put(&s->stream, &wire, a.data);
}

static int answer_all(struct lease_stream *s)
{
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < SLOTS_COUNT; i++)
		if (s->under_way & ~s->sending & 1u << i)
			rc = answer(s, i);
	return rc;
}

static void on_sent(struct slots_stream *stream, const struct slots_wire *wire)
{
	struct lease_stream *s = of(stream);
	if (wire->type != SLOTS_WIRE_ANSWER)
		return;
	slots_release(&s->slots, wire->slot);
	s->under_way &= ~(1u << wire->slot);
	s->sending &= ~(1u << wire->slot);
}

/* what is there goes, as far as it is taken */
static void send_all(struct lease_stream *s)
{
	if (answer_all(s) < 0) {
		fail(s, true);
		return;
	}
	if (slots_stream_send(&s->stream) < 0) {
		fail(s, false);
		return;
	}
	bool waits = slots_stream_waits(&s->stream);
	atomic_store_explicit(&s->stuffed, waits || s->stream.inside, memory_order_relaxed);
	if (s->ending && !waits)
		byte_stream_shut(s->bytes);
	spin(s);
}

/* --- calls --- */

static void wake(struct lease_stream *s)
{
	const uint64_t nothing = 0; /* it wakes who waits, and never blocks; see lease_wake() */
	ssize_t n = write(s->wake_fd, &nothing, sizeof(nothing));
	(void)n;
}

static int claim(struct lease_stream *s, const struct slots_wire *wire, void **ret_to)
{
	uint64_t left = MIN(wire->time_ns, LEFT_MAX_NS);
	const struct slots_request request = {
		.len = wire->len,
		.binary = wire->binary,
		.rank = wire->rank,
		.size = wire->size,
		.deadline_ns = left ? now_ns() + left : 0,
		.span_ms = wire->span_ms,
		.number = wire->number,
	};
	return slots_claim(&s->slots, wire->slot, &request, ret_to);
}

static int cancel(struct lease_stream *s, const struct slots_wire *wire)
{
	uint32_t bit = 1u << wire->slot;
	if (!(s->under_way & ~s->sending & bit) || s->number[wire->slot] != wire->number)
		return 0; /* it was answered meanwhile */
	if (slots_withdraw(&s->slots, wire->slot))
		return answer_for(s, wire, RAMET_ECANCELED, true);
	atomic_store(&s->generation[wire->slot], slots_generation(&s->slots, wire->slot));
	atomic_fetch_or(&s->cancelled, bit);
	if (atomic_exchange(&s->cancelling, true))
		return 0;
	s->cancel_task.fn = lease_stream_cancel_there;
	loop_post(s->control, &s->cancel_task);
	return 0;
}

static int on_header(struct slots_stream *stream, const struct slots_wire *wire, void **ret_to)
{
	struct lease_stream *s = of(stream);
	return wire->type == SLOTS_WIRE_CALL ? claim(s, wire, ret_to) : 0;
}

static int on_frame(struct slots_stream *stream, const struct slots_wire *wire)
{
	struct lease_stream *s = of(stream);
	if (wire->type == SLOTS_WIRE_CANCEL)
		return cancel(s, wire);
	s->number[wire->slot] = wire->number;
	s->under_way |= 1u << wire->slot;
	if (slots_closing(&s->slots) || !slots_ring_room(&s->slots))
		return answer_for(s, wire, RAMET_ELOST, false); /* the client sends it elsewhere */
	if (slots_publish(&s->slots, wire->slot))
		wake(s);
	return 0;
}

static const struct slots_stream_ops ops = {
	.on_header = on_header, .on_frame = on_frame, .on_sent = on_sent};

static bool any_done(const void *arg)
{
	const struct lease_stream *s = arg;
	for (unsigned i = 0; i < SLOTS_COUNT; i++)
		if (s->under_way & 1u << i && slots_done(&s->slots, i))
			return true;
	return false;
}

/* one call alone, which may be quick: its answer is there sooner than we would be woken for it */
static void look_again(struct lease_stream *s)
{
	uint32_t waits = s->under_way & ~s->sending;
	if (waits == 0 || (waits & (waits - 1)) != 0)
		return;
	slots_client_wakes(&s->slots);
	if (slots_client_spins(&s->slots, &s->spin))
		(void)spin_until(&s->spin, any_done, s);
	slots_client_sleeps(&s->slots);
}

/* What comes after the end is not for anybody; the client hangs up when it has read of it. Hanging
 * up before it would take what it has not read yet. */
static bool drained(const struct lease_stream *s)
{
	char nothing[4096];
	ssize_t n = 1;
	for (size_t total = 0; n > 0 && total < SLOTS_STREAM_TURN; total += (size_t)n)
		n = byte_stream_receive(s->bytes, nothing, sizeof(nothing));
	return n < 0;
}

static void on_bytes(void *user)
{
	struct lease_stream *s = user;
	atomic_store_explicit(&s->heard, true, memory_order_relaxed);
	if ((s->ending || s->told) && drained(s)) {
		fail(s, false);
		return;
	}
	if (s->told)
		return;
	if (!s->ending) {
		int rc = slots_stream_read(&s->stream);
		if (rc < 0) {
			fail(s, false);
			return;
		}
		look_again(s);
	}
	send_all(s);
}

static void on_event(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	send_all(container_of(watch, struct lease_stream, event_watch));
}

static ssize_t receive(void *of, void *to, size_t cap)
{
	ssize_t n = byte_stream_receive(of, to, cap);
	return n == RAMET_ECLOSED ? RAMET_EPEER : n;
}

static ssize_t send_some(void *of, const struct iovec *iov, unsigned count)
{
	return byte_stream_send(of, iov, count);
}

static const struct slots_carrier carrier = {.receive = receive, .send = send_some};

/* edge-triggered and never read: whoever shares it could make a read block */
static int watch_event(struct lease_stream *s)
{
	return loop_watch_add(segments_loop(s->segments), &s->event_watch, s->event_fd,
		(uint32_t)EPOLLIN | (uint32_t)EPOLLET, on_event, NULL);
}

static void begin(struct lease_stream *s)
{
	slots_stream_init(&s->stream, &carrier, s->bytes, true, &ops);
	slots_client_sleeps(&s->slots);
}

void lease_stream_on_socket(void *user, int fd, const char *peer)
{
	struct lease_stream *s = user;
	auto_close int socket = fd;
	int rc = byte_stream_of_socket(
		segments_loop(s->segments), socket, on_bytes, s, &s->bytes, NULL);
	if (rc < 0) {
		fail(s, false);
		return;
	}
	steal_fd(&socket);
	begin(s);
	if (watch_event(s) < 0)
		fail(s, false);
	else
		log_debug("lease.stream", "peer=%s", peer);
}

/* what fails here is refused: whoever asked is told, and the lease ends when nobody uses it */
int lease_stream_on_pipe(
	void *user, struct transport *transport, struct transport_accept *ret_accept)
{
	struct lease_stream *s = user;
	if (watch_event(s) < 0)
		return RAMET_ENOMEM;
	struct ramet_err err = {0};
	int rc = pipe_accept(transport, on_bytes, s, ret_accept, &s->bytes, &err);
	if (rc < 0) {
		log_err(LOG_WARN, "lease.pipe", &err); /* the asker hears of a refusal */
		loop_watch_remove(&s->event_watch);
		return rc;
	}
	s->transport = transport;
	begin(s);
	return 0;
}

/* --- from the control loop --- */

void lease_stream_look_there(struct loop_task *task)
{
	struct lease_stream *s = container_of(task, struct lease_stream, look_task);
	atomic_store(&s->looking, false);
	if (s->bytes && !s->told)
		send_all(s);
}

void lease_stream_end_there(struct loop_task *task)
{
	struct lease_stream *s = container_of(task, struct lease_stream, end_task);
	const struct slots_wire end = {.type = SLOTS_WIRE_END};
	s->ending = true;
	if (!s->bytes) {
		finish(s);
		return;
	}
	/* an end says that what has no answer was not begun, which is not known of what is left */
	if (answer_all(s) < 0 || s->under_way & ~s->sending ||
		slots_stream_put(&s->stream, &end, NULL) < 0 || slots_stream_send(&s->stream) < 0 ||
		!s->linger ||
		loop_timer_set(segments_loop(s->segments), &s->timer,
			now_ns() + LINGER_MS * NSEC_PER_MSEC, on_late) < 0) {
		finish(s);
		return;
	}
	send_all(s);
}
