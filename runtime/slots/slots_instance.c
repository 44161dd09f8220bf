/* The instance's side of a lease: taking calls, answering them, going to sleep. Part of
 * libramet-host. */
#include "runtime/slots/slots.h"

#include "runtime/slots/layout.h"
#include "runtime/slots/payload.h"
#include "runtime/slots/sleep.h"
#include "runtime/slots/spin.h"

static uint64_t next_entry(const struct slots_instance *s)
{
	return atomic_load(&s->slots.header->ring[s->head % SLOTS_RING]);
}

/* the entry at `head` has ticket head + 1 as soon as it is written; 28 bits of it are there */
bool slots_waiting(const struct slots_instance *s)
{
	return SLOTS_ENTRY_TICKET(next_entry(s)) == (s->head + 1) << 4 >> 4;
}

static int read_call(struct slots_instance *s, unsigned at, struct slots_call *ret)
{
	const struct slot *slot = &s->slots.slot[at];
	*ret = (struct slots_call){
		.slot = at,
		.len = SLOTS_GET(slot->len),
		.binary = SLOTS_GET(slot->flags) & SLOTS_BINARY,
		.rank = SLOTS_GET(slot->rank),
		.size = SLOTS_GET(slot->size),
		.deadline_ns = SLOTS_GET(slot->deadline_ns),
		.number = SLOTS_GET(slot->number),
		.span_ms = SLOTS_GET(slot->span_ms),
	};
	SLOTS_SET(s->slots.header->last_number, ret->number);
	SLOTS_SET(s->slots.header->last_rank, ret->rank);
	if (ret->len > SLOTS_PAYLOAD_MAX)
		return RAMET_EPROTO;
	if (ret->len > SLOTS_INLINE && slots_map_bulk(&s->slots) < 0)
		return RAMET_ENOMEM;
	ret->data = payload_at(&s->slots, at, PAYLOAD_INPUT, ret->len);
	return 1;
}

/* READY to RUNNING, from the very word; 0: it is another one, or not any more */
static int take_slot(struct slots_instance *s, unsigned at, uint32_t ready, struct slots_call *ret)
{
	uint32_t taken = SLOT_WORD(SLOT_GENERATION(ready), SLOT_RUNNING);
	if (SLOT_STATE(ready) != SLOT_READY ||
		!atomic_compare_exchange_strong(&s->slots.slot[at].word, &ready, taken))
		return 0;
	return read_call(s, at, ret);
}

int slots_take(struct slots_instance *s, struct slots_call *ret)
{
	if (atomic_load(&s->slots.header->halted))
		return 0;
	/* bounded: whoever is faster than this loop writes entries for nothing */
	for (unsigned i = 0; i < SLOTS_RING && slots_waiting(s); i++) {
		uint64_t entry = next_entry(s);
		uint32_t ready = SLOT_WORD(SLOTS_ENTRY_GENERATION(entry), SLOT_READY);
		const struct slot *slot = &s->slots.slot[SLOTS_ENTRY_SLOT(entry)];
		slots_fetch_to_write(&slot->word);
		slots_fetch_to_write(slot->data);
		s->head++;
		atomic_store_explicit(&s->slots.header->head, s->head, memory_order_release);
		int rc = take_slot(s, SLOTS_ENTRY_SLOT(entry), ready, ret);
		if (rc != 0) /* else it was withdrawn */
			return rc;
	}
	return 0;
}

int slots_take_own(struct slots_instance *s, unsigned slot, struct slots_call *ret)
{
	int rc = take_slot(s, slot, SLOTS_GET(s->slots.slot[slot].word), ret);
	if (rc != 0)
		atomic_fetch_and(&s->slots.header->ready, ~(1u << slot));
	return rc;
}

bool slots_waiting_own(const struct slots_instance *s, unsigned slot)
{
	return SLOT_STATE(SLOTS_GET(s->slots.slot[slot].word)) == SLOT_READY;
}

bool slots_client_waits(const struct slots_instance *s)
{
	return SLOTS_GET(s->slots.header->goes_on) == 0;
}

void slots_wait_own(struct slots_instance *s, unsigned slot, uint64_t ns)
{
	_Atomic uint32_t *word = &s->slots.slot[slot].word;
	atomic_fetch_or(&s->slots.header->ready, 1u << slot);
	uint32_t now = atomic_load(word);
	if (SLOT_STATE(now) != SLOT_READY)
		sleep_begin(word, now, ns);
}

void slots_set_servant(struct slots_instance *s, int32_t pid, unsigned kind, uint32_t instance)
{
	s->servant = SLOTS_SERVANT(pid, kind, instance);
}

void *slots_output(struct slots_instance *s, const struct slots_call *call, size_t len)
{
	if (len > SLOTS_INLINE && slots_map_bulk(&s->slots) < 0)
		return NULL;
	return payload_at(&s->slots, call->slot, PAYLOAD_OUTPUT, len);
}

/* shared: by several instances */
static void count_one(_Atomic uint64_t *count, bool shared)
{
	if (shared)
		atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
	else
		SLOTS_SET(*count, SLOTS_GET(*count) + 1);
}

bool slots_finish(struct slots_instance *s, const struct slots_call *call,
	const struct slots_outcome *outcome)
{
	struct slots_header *header = s->slots.header;
	struct slot *slot = &s->slots.slot[call->slot];
	SLOTS_SET(slot->status, outcome->status);
	SLOTS_SET(slot->output_flags,
		(uint16_t)((outcome->binary ? SLOTS_BINARY : 0) |
			(outcome->not_begun ? SLOTS_NOT_BEGUN : 0)));
	SLOTS_SET(slot->output_len, outcome->len);
	SLOTS_SET(slot->run_ns, outcome->run_ns);
	if (!outcome->not_begun) /* else the input is still needed */
		SLOTS_SET(slot->len, s->servant);
	count_one(&header->served, s->slots.once);
	if (outcome->status != 0)
		count_one(&header->failed, s->slots.once);
	uint32_t word = SLOTS_GET(slot->word);
	atomic_store(&slot->word, SLOT_WORD(SLOT_GENERATION(word), SLOT_DONE));
	if (sleep_take_down(&header->client_asleep))
		sleep_change(&header->answers);
	return atomic_load(&header->client_asleep) == SLOTS_ON_FD;
}

bool slots_cancelled(const struct slots_instance *s, unsigned slot)
{
	uint32_t generation = SLOT_GENERATION(SLOTS_GET(s->slots.slot[slot].word));
	return SLOTS_GET(s->slots.header->cancel[slot]) == generation + 1;
}

bool slots_instance_sleeps(struct slots_instance *s)
{
	struct slots_header *header = s->slots.header;
	atomic_store(&header->instance_asleep, SLOTS_ON_FD);
	if (!slots_waiting(s))
		return false;
	slots_instance_wakes(s);
	return true;
}

void slots_instance_dozes(struct slots_instance *s, uint64_t ns)
{
	struct slots_header *header = s->slots.header;
	uint32_t seen = atomic_load(&header->calls);
	atomic_store(&header->instance_asleep, SLOTS_ON_WORD);
	if (!slots_waiting(s))
		sleep_begin(&header->calls, seen, ns);
	slots_instance_wakes(s);
}

void slots_instance_wakes(struct slots_instance *s)
{
	SLOTS_SET(s->slots.header->instance_asleep, SLOTS_AWAKE);
}

bool slots_instance_spins(struct slots_instance *s, struct spin *spin)
{
	struct slots_header *header = s->slots.header;
	SLOTS_SET_SELDOM(header->instance_cpu, (uint32_t)sched_getcpu() + 1);
	return spin_worth(spin, SLOTS_GET(header->client_cpu) - 1,
		SLOTS_GET(header->client_asleep) == SLOTS_AWAKE, SLOTS_GET(header->goes_on) != 0);
}
