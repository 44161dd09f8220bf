/* What a call tells before its end, to whoever listens: chunks of output, and how far it is.
 * Nothing is lost but what progress was overtaken: who emits waits while its reader is behind. */
#include "runtime/host/host_internal.h"

#include "base/err.h"
#include "runtime/host_proto.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define LOOK_MS 20 /* while it waits: whether the call has been interrupted */
#define BURST 16 /* progress that is told at once, */
#define EVERY_NS 50000000 /* and after that each so often */
#define TAKEN_MAX 64 /* bytes of a message `taken` */

/* of the one call that runs */
static struct {
	struct host *host;
	uint64_t id;
	size_t emitted, most; /* bytes of chunks, as they count */
	uint64_t weight; /* of what was sent and not taken */
	uint64_t told_ns; /* progress is told when this is not after now; see may_tell() */
	bool held; /* `progress` was not told yet */
	uint64_t progress;
	char text[HOST_EVENT_TEXT_MAX];
	size_t text_len;
} events;

void host_events_begin(struct host *host, uint64_t id, size_t max_output)
{
	events.host = host;
	events.id = id;
	events.emitted = 0;
	events.most = max_output < HOST_MAX_PAYLOAD ? max_output : HOST_MAX_PAYLOAD;
	events.weight = 0;
	events.told_ns = 0;
	events.held = false;
}

/* --- what was taken --- */

/* Past the channel, whose memory holds the call's input. Its answers are short and sent at once. */
static int read_taken_bytes(unsigned char *bytes, size_t len, struct ramet_err *err)
{
	while (len > 0) {
		ssize_t n = recv(events.host->channel.fd, bytes, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, RAMET_ECLOSED, "the control socket was closed");
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_taken(struct ramet_err *err)
{
	unsigned char header[4];
	unsigned char bytes[TAKEN_MAX];
	struct host_message message;
	int rc = read_taken_bytes(header, sizeof(header), err);
	if (rc < 0)
		return rc;
	size_t len = (size_t)header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16 |
		(size_t)header[3] << 24;
	if (len > sizeof(bytes))
		return err_set(err, RAMET_EPROTO, "a message of %zu bytes within a call", len);
	rc = read_taken_bytes(bytes, len, err);
	if (rc < 0)
		return rc;
	if (host_message_parse(bytes, len, &message) < 0 || !message_is(message.type, "taken"))
		return err_set(err, RAMET_EPROTO, "a message within a call that is not `taken`");
	if (message.id == events.id)
		events.weight -= message.bytes < events.weight ? message.bytes : events.weight;
	return 0;
}

/* until so much more may be sent */
static int wait_for_reader(size_t weight, struct ramet_err *err)
{
	struct pollfd readable = {.fd = events.host->channel.fd, .events = POLLIN};
	if (channel_buffered(&events.host->channel))
		return err_set(err, RAMET_EPROTO, "a message within a call");
	while (events.weight + weight > HOST_EVENT_WINDOW) {
		if (deadline_interrupted())
			return err_set(err, RAMET_EDEADLINE,
				"the deadline passed while nobody took what the call emits");
		int n = poll(&readable, 1, LOOK_MS);
		if (n < 0 && errno != EINTR)
			return err_errno(err, RAMET_EIO, "poll the control socket");
		int rc = n > 0 ? read_taken(err) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- telling --- */

static int send_event(
	const struct iovec *parts, unsigned nparts, size_t chunk, struct ramet_err *err)
{
	size_t weight = chunk + HOST_EVENT_WEIGHT;
	int rc = wait_for_reader(weight, err);
	if (rc == 0)
		rc = channel_send(&events.host->channel, parts, nparts, NULL, 0, err);
	if (rc == 0)
		events.weight += weight;
	return rc;
}

static void begin_event(struct message_writer *w, uint32_t pairs)
{
	message_map(w, 2 + pairs);
	message_kstr(w, "t", "event");
	message_kuint(w, "id", events.id);
}

static int send_progress(struct ramet_err *err)
{
	unsigned char bytes[HOST_EVENT_TEXT_MAX + 128];
	struct message_writer w = {bytes, bytes + sizeof(bytes), false};
	begin_event(&w, 2);
	message_kuint(&w, "progress", events.progress);
	message_str(&w, "text");
	message_text(&w, events.text, events.text_len, HOST_EVENT_TEXT_MAX);
	events.held = false;
	const struct iovec part = {bytes, (size_t)(w.at - bytes)};
	return send_event(&part, 1, 0, err);
}

/* BURST at once, then one for each EVERY_NS: told_ns runs ahead of the clock by at most a burst */
static bool may_tell(void)
{
	uint64_t now = host_now_ns();
	if (events.told_ns < now)
		events.told_ns = now;
	if (events.told_ns - now >= (uint64_t)BURST * EVERY_NS)
		return false;
	events.told_ns += EVERY_NS;
	return true;
}

static int emit_progress(const struct ramet_engine_event *event, struct ramet_err *err)
{
	double fraction = event->fraction > 0 ? event->fraction : 0; /* so is what is no number */
	events.progress = fraction < 1 ? (uint64_t)(fraction * 1e6 + 0.5) : 1000000;
	events.text_len =
		event->text.len < sizeof(events.text) ? event->text.len : sizeof(events.text);
	if (events.text_len > 0)
		memcpy(events.text, event->text.data, events.text_len);
	events.held = true;
	return may_tell() ? send_progress(err) : 0;
}

static int emit_chunk(const struct ramet_engine_event *event, struct ramet_err *err)
{
	unsigned char head[64];
	struct message_writer w = {head, head + sizeof(head), false};
	if (event->len > HOST_EVENT_MAX)
		return err_set(err, RAMET_ELIMIT,
			"a chunk of %zu bytes is emitted, the limit is %u", event->len,
			HOST_EVENT_MAX);
	size_t counts = event->len > HOST_EVENT_LEAST ? event->len : HOST_EVENT_LEAST;
	if (counts > events.most - events.emitted)
		return err_set(err, RAMET_ELIMIT,
			"%zu bytes are emitted, which count as output (a chunk as %u at least), "
			"whose limit is %zu",
			events.emitted + counts, HOST_EVENT_LEAST, events.most);
	int rc = events.held ? send_progress(err) : 0; /* it was before */
	if (rc < 0)
		return rc;
	begin_event(&w, 2);
	message_str(&w, "binary");
	message_bool(&w, event->binary);
	message_str(&w, "chunk");
	message_bin_header(&w, (uint32_t)event->len);
	const struct iovec parts[] = {
		{head, (size_t)(w.at - head)}, {(void *)event->chunk, event->len}};
	rc = send_event(parts, 2, event->len, err);
	if (rc == 0)
		events.emitted += counts;
	return rc;
}

int host_events_emit(const struct ramet_engine_event *event, struct ramet_err *err)
{
	return event->progress ? emit_progress(event, err) : emit_chunk(event, err);
}

size_t host_events_end(void)
{
	struct ramet_err err;
	if (events.held && events.weight + HOST_EVENT_WEIGHT <= HOST_EVENT_WINDOW)
		(void)send_progress(&err); /* that the connection is lost is seen with the answer */
	return events.emitted;
}
