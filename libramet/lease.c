/* Asking for leases and what rametd says of them. */
#include "libramet/lease.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "libramet/lease_far.h"
#include "libramet/message.h"
#include "libramet/stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NFDS 2 /* the slots, and the eventfd that wakes the instance, or the stream to it */
#define MAX_IN_PLACE (SLOTS_COUNT / 2) /* the others are for calls */

static int parse_numbers(struct lease *lease, const struct wire_value *root, struct ramet_err *err)
{
	uint64_t node = 0;
	uint64_t pid = 0;
	uint64_t deadline = 0;
	int rc = wire_get_uint(root, "lease", UINT64_MAX, &lease->id, err);
	if (rc == 0)
		rc = wire_get_uint(root, "instance", UINT64_MAX, &lease->instance, err);
	if (rc == 0)
		rc = wire_get_uint(root, "node", UINT32_MAX, &node, err);
	if (rc == 0)
		rc = wire_get_uint(root, "pid", INT32_MAX, &pid, err);
	if (rc == 0)
		rc = wire_get_uint_or(root, "deadline_ms", UINT32_MAX, 0, &deadline, err);
	if (rc == 0)
		rc = wire_get_uint_or(
			root, "output", UINT64_MAX, SLOTS_PAYLOAD_MAX, &lease->output, err);
	lease->node = (uint32_t)node;
	lease->pid = (int32_t)pid;
	lease->deadline_ms = (uint32_t)deadline;
	return rc;
}

static int parse(struct lease *lease, const struct wire_value *root, struct ramet_err *err)
{
	uint64_t time_ns = 0;
	int rc = parse_numbers(lease, root, err);
	if (rc == 0)
		rc = wire_get_str(root, "version", lease->version, sizeof(lease->version), err);
	if (rc == 0)
		rc = wire_get_bool_or(root, "idempotent", false, &lease->idempotent, err);
	if (rc == 0)
		rc = wire_get_bool_or(root, "once", false, &lease->once, err);
	if (rc == 0)
		rc = wire_get_uint(root, "time", UINT64_MAX, &time_ns, err);
	/* Its clock is ours if it read it between our question and now, however long the answer lay
	 * there; else it is another one (a time namespace), read soon after the question. */
	bool ours = time_ns >= lease->asked_ns && time_ns <= now_ns();
	lease->offset_ns = ours ? 0 : (int64_t)(time_ns - lease->asked_ns);
	return rc;
}

static void end(struct lease *lease, const struct ramet_err *err)
{
	conn_remove(&lease->request);
	if (lease->far)
		lease_far_lose(lease->far);
	lease->over = true;
	lease->events->over(lease, err);
}

/* on our node: what wakes the instance */
static int open_here(struct lease *lease, struct message *message)
{
	lease->wake_fd = message->fds[1];
	message->fds[1] = -1;
	return 0;
}

/* on another node: a stream to it */
static int open_far(struct lease *lease, struct message *message, struct ramet_err *err)
{
	int rc = lease_far_open(&lease->slots.slots, message->fds[1], &lease->far, err);
	if (rc == 0)
		message->fds[1] = -1;
	lease->offset_ns = 0; /* our slots, our clock */
	return rc;
}

static void on_leased(struct lease *lease, struct message *message)
{
	struct ramet_err err = {0};
	bool far = false;
	int rc = lease->ready || message->nfds != NFDS
		? err_set(&err, RAMET_EPROTO, "an unexpected lease")
		: parse(lease, message->root, &err);
	if (rc == 0)
		rc = wire_get_bool_or(message->root, "stream", false, &far, &err);
	if (rc == 0)
		rc = slots_open(message->fds[0], &lease->slots.slots, &err);
	if (rc == 0) {
		message->fds[0] = -1;
		rc = far ? open_far(lease, message, &err) : open_here(lease, message);
	}
	if (rc < 0) {
		(void)conn_cancel(lease->conn, lease->request.req, NULL);
		end(lease, &err);
		return;
	}
	lease->ready = true;
	lease->events->ready(lease);
}

static void on_message(struct conn_request *request, struct message *received)
{
	struct lease *lease = container_of(request, struct lease, request);
	auto_message struct message *message = received;
	struct ramet_err err = {0};
	if (message_is(message, "leased"))
		on_leased(lease, message);
	else if (message_is(message, "look") && lease->ready)
		lease->events->look(lease);
	else if (message_is(message, "ended"))
		end(lease, NULL);
	else
		end(lease, stream_expect(message, "leased", &err) < 0 ? &err : NULL);
}

static void on_lost(struct conn_request *request, const struct ramet_err *err)
{
	struct lease *lease = container_of(request, struct lease, request);
	lease->over = true;
	lease->events->over(lease, err);
}

void lease_receive(struct lease *lease)
{
	if (lease_far_receive(lease->far) == 0)
		return;
	(void)conn_cancel(lease->conn, lease->request.req, NULL);
	end(lease, NULL);
}

int lease_ask(struct conn *conn, const struct lease_wish *wish, const struct lease_events *events,
	void *owner, struct lease **ret_lease, struct ramet_err *err)
{
	struct lease *lease = calloc(1, sizeof(*lease));
	if (!lease)
		return err_nomem(err);
	list_init(&lease->link);
	list_init(&lease->ready_link);
	lease->conn = conn;
	lease->refs = 1;
	lease->asked_ns = now_ns();
	lease->events = events;
	lease->owner = owner;
	lease->wake_fd = lease->slots.slots.fd = -1;
	lease->request.on_message = on_message;
	lease->request.on_lost = on_lost;
	conn_add(conn, &lease->request);
	CLEANUP(buf_fini) struct buf b = {0};
	message_begin(&b, "lease", lease->request.req, 3);
	wire_kstr(&b, "name", wish->function);
	wire_kuint(&b, "node", wish->node);
	wire_kuint(&b, "near", wish->near);
	int rc = conn_send_fds(conn, &b, &wish->client_fd, 1, err);
	if (rc < 0) {
		lease_free(lease);
		return rc;
	}
	*ret_lease = lease;
	return 0;
}

/* about a lease; nobody waits for the answer */
static void begin(const struct lease *lease, const char *type, uint32_t pairs, struct buf *b)
{
	struct conn_request unheard = {0};
	conn_add(lease->conn, &unheard); /* for its number */
	conn_remove(&unheard);
	message_begin(b, type, unheard.req, pairs + 1);
	wire_kuint(b, "of", lease->request.req);
}

void lease_break(struct lease *lease)
{
	CLEANUP(buf_fini) struct buf b = {0};
	if (lease->returning || lease->over)
		return;
	lease->returning = true;
	if (lease->far) {
		lease_far_hang_up(lease->far);
		return;
	}
	begin(lease, "lease.broken", 0, &b);
	(void)conn_send(lease->conn, &b, NULL);
}

int lease_cancel(struct lease *lease, unsigned slot, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	if (lease->far)
		return lease_far_cancel(lease->far, slot);
	begin(lease, "lease.cancel", 2, &b);
	wire_kuint(&b, "slot", slot);
	wire_kuint(&b, "generation", slots_generation(&lease->slots, slot));
	return conn_send(lease->conn, &b, err);
}

void lease_wake(const struct lease *lease)
{
	const uint64_t nothing = 0;
	if (lease->far) {
		lease_far_send(lease->far);
		return;
	}
	/* Who polls it is woken by any write. One of nothing never blocks, whatever the instance,
	 * which has it too, has done to it; it holds a one from its beginning, and is never read.
	 */
	ssize_t n = write(lease->wake_fd, &nothing, sizeof(nothing));
	(void)n;
}

bool lease_usable(const struct lease *lease)
{
	return lease->ready && !lease->over && !lease->returning && !slots_closing(&lease->slots) &&
		slots_ring_room(&lease->slots);
}

uint64_t lease_age(const struct lease *lease)
{
	uint64_t now = now_ns();
	uint64_t oldest = now;
	for (unsigned i = 0; i < SLOTS_COUNT; i++)
		if (lease->calls[i])
			oldest = MIN(oldest, lease->calls[i]->begin_ns);
	return now - oldest;
}

static void lease_put(struct lease *lease)
{
	if (atomic_fetch_sub(&lease->refs, 1) > 1)
		return;
	slots_close(&lease->slots.slots);
	free(lease);
}

void lease_free(struct lease *lease)
{
	if (!lease)
		return;
	conn_remove(&lease->request);
	list_remove(&lease->link);
	list_remove(&lease->ready_link);
	close_reset(&lease->wake_fd);
	lease_far_close(steal_ptr(&lease->far));
	lease_put(lease);
}

/* --- results in place --- */

static void release(struct result_memory *memory)
{
	struct lease_result *result = container_of(memory, struct lease_result, base);
	struct lease *lease = result->lease;
	atomic_fetch_or(&lease->released, 1u << (result - lease->results));
	lease_put(lease);
}

struct result_memory *lease_keep(struct lease *lease, unsigned slot)
{
	struct lease_result *result = &lease->results[slot];
	if (lease->in_place >= MAX_IN_PLACE)
		return NULL;
	lease->in_place++;
	atomic_fetch_add(&lease->refs, 1);
	result->base.release = release;
	result->lease = lease;
	return &result->base;
}

void lease_collect(struct lease *lease)
{
	if (atomic_load_explicit(&lease->released, memory_order_relaxed) == 0)
		return;
	uint32_t released = atomic_exchange(&lease->released, 0);
	for (unsigned i = 0; i < SLOTS_COUNT; i++) {
		if (!(released & 1u << i))
			continue;
		slots_release(&lease->slots, i);
		lease->in_place--;
	}
}
