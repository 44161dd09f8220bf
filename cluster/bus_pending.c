/* Requests in flight: see bus_pending.h. */
#include "cluster/bus_pending.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/bus_proto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_BITS 16
_Static_assert(BUS_MAX_INFLIGHT <= 1u << SLOT_BITS, "slots fit an id");

struct pending {
	struct bus_pending *table;
	uint64_t id; /* sequence << SLOT_BITS | slot */
	uint32_t node;
	bus_answer_fn *fn;
	bus_part_fn *on_part; /* or NULL */
	void *user;
	struct loop_timer timer;
	char type[BUS_TYPE_MAX + 1];
};

static struct pending *find(struct bus_pending *table, uint64_t id)
{
	uint32_t slot = id & ((1u << SLOT_BITS) - 1);
	if (slot >= table->nslots || !table->slots[slot] || table->slots[slot]->id != id)
		return NULL;
	return table->slots[slot];
}

static int grow(struct bus_pending *table, struct ramet_err *err)
{
	uint32_t more = table->nslots ? 2 * table->nslots : 64;
	if (table->nslots >= BUS_MAX_INFLIGHT)
		return err_set(err, RAMET_EAGAIN,
			"more than %u requests to other nodes are in flight", BUS_MAX_INFLIGHT);
	struct pending **slots = realloc(table->slots, more * sizeof(struct pending *));
	if (!slots)
		return err_nomem(err);
	memset(slots + table->nslots, 0, (more - table->nslots) * sizeof(struct pending *));
	table->free_hint = table->nslots;
	table->slots = slots;
	table->nslots = more;
	return 0;
}

static void pending_free(struct pending *pending)
{
	struct bus_pending *table = pending->table;
	uint32_t slot = pending->id & ((1u << SLOT_BITS) - 1);
	loop_timer_cancel(&pending->timer);
	table->slots[slot] = NULL;
	table->free_hint = slot;
	table->count--;
	free(pending);
}

static void pending_end(
	struct pending *pending, const struct wire_value *body, const struct ramet_err *error)
{
	bus_answer_fn *fn = pending->fn;
	void *user = pending->user;
	pending_free(pending);
	fn(user, body, error);
}

static void on_timeout(struct loop_timer *timer)
{
	struct pending *pending = container_of(timer, struct pending, timer);
	struct ramet_err error = {0};
	err_set(&error, RAMET_ETIMEOUT, "node %u did not answer %s in time", pending->node,
		pending->type);
	pending_end(pending, NULL, &error);
}

int bus_pending_add(struct bus_pending *table, uint32_t node, const char *type, uint64_t timeout_ns,
	bus_answer_fn *fn, void *user, uint64_t *ret_id, struct ramet_err *err)
{
	if (table->count == table->nslots) {
		int rc = grow(table, err);
		if (rc < 0)
			return rc;
	}
	while (table->slots[table->free_hint])
		table->free_hint = (table->free_hint + 1) % table->nslots;
	auto_free struct pending *pending = calloc(1, sizeof(*pending));
	if (!pending)
		return err_nomem(err);
	pending->table = table;
	pending->id = ++table->sequence << SLOT_BITS | table->free_hint;
	pending->node = node;
	pending->fn = fn;
	pending->user = user;
	snprintf(pending->type, sizeof(pending->type), "%s", type);
	if (timeout_ns &&
		loop_timer_set(table->loop, &pending->timer, now_ns() + timeout_ns, on_timeout) < 0)
		return err_nomem(err);
	*ret_id = pending->id;
	table->slots[table->free_hint] = steal_ptr(&pending);
	table->count++;
	return 0;
}

void bus_pending_drop(struct bus_pending *table, uint64_t id)
{
	struct pending *pending = find(table, id);
	if (pending)
		pending_free(pending);
}

void bus_pending_answer(struct bus_pending *table, uint64_t id, uint32_t node,
	const struct wire_value *body, const struct ramet_err *error)
{
	struct pending *pending = find(table, id);
	if (pending && pending->node == node)
		pending_end(pending, body, error);
}

void bus_pending_want_parts(struct bus_pending *table, uint64_t id, bus_part_fn *fn)
{
	struct pending *pending = find(table, id);
	if (pending)
		pending->on_part = fn;
}

void bus_pending_part(
	struct bus_pending *table, uint64_t id, uint32_t node, const struct wire_value *body)
{
	struct pending *pending = find(table, id);
	if (pending && pending->node == node && pending->on_part)
		pending->on_part(pending->user, body);
}

void bus_pending_fail(struct bus_pending *table, uint32_t node, const struct ramet_err *error)
{
	/* who is told may add requests: they are left alone */
	uint64_t before = table->sequence;
	for (uint32_t slot = 0; slot < table->nslots; slot++) {
		struct pending *pending = table->slots[slot];
		if (pending && (node == 0 || pending->node == node) &&
			pending->id >> SLOT_BITS <= before)
			pending_end(pending, NULL, error);
	}
}

void bus_pending_fini(struct bus_pending *table)
{
	for (uint32_t slot = 0; slot < table->nslots; slot++)
		if (table->slots[slot])
			pending_free(table->slots[slot]);
	free(table->slots);
	table->slots = NULL;
	table->nslots = 0;
}
