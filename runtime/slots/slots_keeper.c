/* rametd's side of a lease: what its slots hold, and the end of what an instance leaves behind or
 * is late. */
#include "runtime/slots/slots.h"

#include "runtime/slots/layout.h"
#include "runtime/slots/sleep.h"

#include <string.h>

#define NOBODY 0 /* gave the answer: SLOTS_SERVANT */

void slots_set_closing(struct slots *slots)
{
	atomic_store(&slots->header->closing, 1);
}

void slots_set_coming(struct slots *slots, unsigned slot, bool coming)
{
	if (coming)
		atomic_fetch_or(&slots->header->coming, 1u << slot);
	else
		atomic_fetch_and(&slots->header->coming, ~(1u << slot));
}

void slots_rouse_client(struct slots *slots)
{
	sleep_change(&slots->header->answers);
}

static uint32_t submitted(const struct slots_header *header)
{
	uint32_t newest = 0;
	for (unsigned i = 0; i < SLOTS_RING; i++)
		newest += (uint32_t)SLOTS_GET(header->ring[i]);
	return newest;
}

void slots_look(const struct slots *slots, struct slots_view *ret)
{
	const struct slots_header *header = slots->header;
	struct slots_view view = {.submitted = submitted(header)};
	view.served = SLOTS_GET(header->served);
	view.failed = SLOTS_GET(header->failed);
	for (unsigned i = 0; i < SLOTS_COUNT; i++) {
		uint32_t word = SLOTS_GET(slots->slot[i].word);
		enum slot_state state = SLOT_STATE(word);
		view.waits |= (uint32_t)(state == SLOT_READY) << i;
		view.runs |= (uint32_t)(state == SLOT_RUNNING) << i;
		view.unread += state != SLOT_FREE && state != SLOT_READY && state != SLOT_RUNNING;
		if (slots->once)
			view.submitted += word;
	}
	view.waiting = (unsigned)__builtin_popcount(view.waits);
	view.running = (unsigned)__builtin_popcount(view.runs);
	*ret = view;
}

bool slots_look_at(const struct slots *slots, unsigned i, struct slots_running *ret)
{
	const struct slot *slot = &slots->slot[i];
	uint32_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
	if (SLOT_STATE(word) != SLOT_RUNNING)
		return false;
	*ret = (struct slots_running){
		.generation = SLOT_GENERATION(word),
		.span_ms = SLOTS_GET(slot->span_ms),
		.number = SLOTS_GET(slot->number),
		.deadline_ns = SLOTS_GET(slot->deadline_ns),
	};
	return true;
}

uint64_t slots_last(const struct slots *slots, unsigned slot, uint32_t *ret_rank)
{
	if (slots->once) {
		*ret_rank = SLOTS_GET(slots->slot[slot].rank);
		return SLOTS_GET(slots->slot[slot].number);
	}
	*ret_rank = SLOTS_GET(slots->header->last_rank);
	return SLOTS_GET(slots->header->last_number);
}

int slots_cancel(struct slots *slots, unsigned slot, uint32_t generation)
{
	if (slot >= SLOTS_COUNT)
		return RAMET_ENOTFOUND;
	uint32_t word = atomic_load_explicit(&slots->slot[slot].word, memory_order_acquire);
	if (word != SLOT_WORD(generation, SLOT_RUNNING))
		return RAMET_ENOTFOUND;
	SLOTS_SET(slots->header->cancel[slot], generation + 1);
	return 0;
}

bool slots_halt(struct slots *slots, unsigned slot, uint32_t generation)
{
	atomic_store(&slots->header->halted, 1);
	if (atomic_load(&slots->slot[slot].word) == SLOT_WORD(generation, SLOT_RUNNING))
		return true;
	atomic_store(&slots->header->halted, 0);
	return false;
}

/* from the very word that was looked at: it is ours now */
static bool take(struct slot *slot, uint32_t word)
{
	return atomic_compare_exchange_strong(
		&slot->word, &word, SLOT_WORD(SLOT_GENERATION(word), SLOT_RUNNING));
}

/* of a slot that is RUNNING because we have taken it */
static void answer(struct slot *slot, uint64_t servant, int status, unsigned flags,
	const void *error, size_t len)
{
	uint32_t word = SLOTS_GET(slot->word);
	if (len > SLOTS_INLINE)
		len = 0;
	if (len > 0)
		memcpy(slot->data, error, len);
	SLOTS_SET(slot->status, status);
	SLOTS_SET(slot->output_flags, (uint16_t)flags);
	SLOTS_SET(slot->output_len, len);
	SLOTS_SET(slot->run_ns, 0);
	if (!(flags & SLOTS_NOT_BEGUN)) /* else the input is still needed */
		SLOTS_SET(slot->len, servant);
	atomic_store(&slot->word, SLOT_WORD(SLOT_GENERATION(word), SLOT_DONE));
}

unsigned slots_expire(struct slots *slots, uint64_t now_ns, const void *error, size_t len)
{
	unsigned expired = 0;
	for (unsigned i = 0; i < SLOTS_COUNT; i++) {
		struct slot *slot = &slots->slot[i];
		uint32_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
		uint64_t deadline_ns = SLOTS_GET(slot->deadline_ns);
		if (SLOT_STATE(word) != SLOT_READY || deadline_ns == 0 || deadline_ns > now_ns ||
			!take(slot, word))
			continue;
		answer(slot, NOBODY, RAMET_EDEADLINE, 0, error, len);
		expired++;
	}
	return expired;
}

static void abandon(struct slots *slots, unsigned i, uint64_t servant, int status,
	const void *error, size_t len)
{
	struct slot *slot = &slots->slot[i];
	uint32_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
	bool ran = SLOT_STATE(word) == SLOT_RUNNING;
	if ((!ran && SLOT_STATE(word) != SLOT_READY) || !take(slot, word))
		return;
	if (ran)
		answer(slot, servant, status, 0, error, len);
	else /* its input stays */
		answer(slot, NOBODY, RAMET_ELOST, SLOTS_NOT_BEGUN, NULL, 0);
}

void slots_abandon_one(struct slots *slots, unsigned slot, const struct slots_dead *who, int status,
	const void *error, size_t len)
{
	abandon(slots, slot, SLOTS_SERVANT(who->pid, who->kind, who->instance), status, error, len);
}

void slots_abandon(struct slots *slots, int status, const void *error, size_t len)
{
	slots_set_closing(slots);
	for (unsigned i = 0; i < SLOTS_COUNT; i++)
		abandon(slots, i, NOBODY, status, error, len);
}
