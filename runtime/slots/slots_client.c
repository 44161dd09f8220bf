/* The client's side of a lease: submitting, reading answers, going to sleep. */
#include "runtime/slots/slots.h"

#include "runtime/slots/layout.h"
#include "runtime/slots/payload.h"
#include "runtime/slots/sleep.h"
#include "runtime/slots/spin.h"

#include <string.h>
#include <sys/mman.h>

#define KEEP \
	((uint64_t)256 << 20) /* bytes of large payloads whose memory stays for the next ones */

/* room for one more entry: what was withdrawn leaves its own behind until the instance has passed
 * it */
/* what the instance writes at each call is looked at when it may matter, and not before */
bool slots_ring_room(const struct slots_client *c)
{
	return c->slots.once || c->tail - c->head < SLOTS_RING ||
		c->tail - SLOTS_GET(c->slots.header->head) < SLOTS_RING;
}

static void soil(struct slots_client *c, unsigned slot, uint64_t len)
{
	if (len <= SLOTS_INLINE || len <= c->dirty[slot])
		return;
	c->dirty_all += len - c->dirty[slot];
	c->dirty[slot] = len;
}

/* what the slot says of the call, and where its input goes; NULL: no memory */
static unsigned char *describe(
	struct slots_client *c, unsigned at, const struct slots_request *request)
{
	struct slot *slot = &c->slots.slot[at];
	if (request->len > SLOTS_INLINE && slots_map_bulk(&c->slots) < 0)
		return NULL;
	soil(c, at, request->len);
	SLOTS_SET(slot->flags, request->binary ? SLOTS_BINARY : 0);
	SLOTS_SET(slot->len, request->len);
	SLOTS_SET(slot->deadline_ns, request->deadline_ns);
	SLOTS_SET(slot->span_ms, request->span_ms);
	SLOTS_SET(slot->number, request->number);
	SLOTS_SET(slot->rank, request->rank);
	SLOTS_SET(slot->size, request->size);
	return payload_at(&c->slots, at, PAYLOAD_INPUT, request->len);
}

int slots_claim(struct slots_client *c, unsigned slot, const struct slots_request *request,
	void **ret_input)
{
	if (slot >= SLOTS_COUNT || request->len > SLOTS_PAYLOAD_MAX || c->used & 1u << slot)
		return RAMET_EPROTO;
	void *input = describe(c, slot, request);
	if (!input)
		return RAMET_ENOMEM;
	c->used |= 1u << slot;
	SLOTS_SET_SELDOM(c->slots.header->goes_on, (uint32_t)request->goes_on);
	c->generation[slot] = (c->generation[slot] + 1) % SLOT_GENERATIONS;
	*ret_input = input;
	return 0;
}

bool slots_publish(struct slots_client *c, unsigned slot)
{
	struct slots_header *header = c->slots.header;
	uint32_t ready = SLOT_WORD(c->generation[slot], SLOT_READY);
	if (c->slots.once) {
		atomic_store(&c->slots.slot[slot].word, ready);
		if (atomic_load(&header->ready) & 1u << slot)
			sleep_end(&c->slots.slot[slot].word);
		return !(atomic_load(&header->coming) & 1u << slot);
	}
	atomic_store_explicit(&c->slots.slot[slot].word, ready, memory_order_release);
	uint32_t place = c->tail++;
	if (c->tail - c->head >= SLOTS_RING)
		c->head = SLOTS_GET(header->head);
	atomic_store(
		&header->ring[place % SLOTS_RING], SLOTS_ENTRY(c->tail, slot, c->generation[slot]));
	if (sleep_take_down(&header->instance_asleep))
		sleep_change(&header->calls);
	return atomic_load(&header->instance_asleep) == SLOTS_ON_FD;
}

/* once: who waits there, or at least is on its way; the lowest: its memory was used last */
static unsigned choose(const struct slots_client *c, uint32_t free)
{
	const struct slots_header *header = c->slots.header;
	uint32_t waits = c->slots.once ? free & SLOTS_GET(header->ready) : 0;
	uint32_t coming = c->slots.once ? free & SLOTS_GET(header->coming) : 0;
	return (unsigned)__builtin_ctz(waits ? waits : coming ? coming : free);
}

int slots_submit(struct slots_client *c, const struct slots_request *request, unsigned *ret_slot,
	bool *ret_wake)
{
	void *input = NULL;
	if (request->len > SLOTS_PAYLOAD_MAX)
		return RAMET_ELIMIT;
	if (slots_closing(c))
		return RAMET_ECLOSED;
	uint32_t free = ~c->used & ((1u << SLOTS_COUNT) - 1);
	if (!free || !slots_ring_room(c))
		return RAMET_EAGAIN;
	unsigned at = choose(c, free);
	int rc = slots_claim(c, at, request, &input);
	if (rc < 0)
		return rc;
	if (request->len > 0)
		memcpy(input, request->data, request->len);
	*ret_slot = at;
	*ret_wake = slots_publish(c, at);
	return 0;
}

bool slots_done(const struct slots_client *c, unsigned slot)
{
	return atomic_load(&c->slots.slot[slot].word) == SLOT_WORD(c->generation[slot], SLOT_DONE);
}

void slots_watch(const struct slots_client *c, unsigned slot, struct slots_watch *ret)
{
	ret->word = &c->slots.slot[slot].word;
	ret->done = SLOT_WORD(c->generation[slot], SLOT_DONE);
}

bool slots_watch_done(const struct slots_watch *watch)
{
	return atomic_load_explicit(watch->word, memory_order_acquire) == watch->done;
}

bool slots_broken(const struct slots_client *c, unsigned slot)
{
	uint32_t word = SLOTS_GET(c->slots.slot[slot].word);
	return SLOT_GENERATION(word) != c->generation[slot] || SLOT_STATE(word) == SLOT_FREE ||
		SLOT_STATE(word) > SLOT_DONE;
}

const void *slots_input(const struct slots_client *c, unsigned slot, size_t *ret_len)
{
	uint64_t len = SLOTS_GET(c->slots.slot[slot].len);
	*ret_len = len;
	return payload_at(&c->slots, slot, PAYLOAD_INPUT, len);
}

int slots_answer(struct slots_client *c, unsigned slot, struct slots_answer *ret)
{
	const struct slot *s = &c->slots.slot[slot];
	slots_fetch_to_write(s->data); /* the next input goes there, too */
	uint64_t len = SLOTS_GET(s->output_len);
	unsigned flags = SLOTS_GET(s->output_flags);
	int status = SLOTS_GET(s->status);
	if (len > SLOTS_INLINE && len <= SLOTS_BULK && slots_map_bulk(&c->slots) < 0)
		return RAMET_ENOMEM;
	const void *data = payload_at(&c->slots, slot, PAYLOAD_OUTPUT, len);
	if (!data || status > 0)
		return RAMET_EPROTO;
	soil(c, slot, len);
	*ret = (struct slots_answer){
		.status = status,
		.data = data,
		.len = len,
		.binary = flags & SLOTS_BINARY,
		.begun = !(flags & SLOTS_NOT_BEGUN),
		.run_ns = SLOTS_GET(s->run_ns),
	};
	ret->servant = SLOTS_GET(s->len);
	ret->pid = (int32_t)(ret->servant >> 32 & INT32_MAX);
	ret->kind = ret->servant >> 28 & 7;
	ret->instance = ret->servant & 0xfffffff;
	return 0;
}

/* what large payloads leave behind goes with the lease, unless it becomes too much */
static void clean(struct slots_client *c, unsigned slot)
{
	if (c->dirty[slot] == 0 || c->dirty_all <= KEEP)
		return;
	for (int way = PAYLOAD_INPUT; way <= PAYLOAD_OUTPUT; way++)
		(void)madvise(
			payload_at(&c->slots, slot, way, SLOTS_BULK), SLOTS_BULK, MADV_REMOVE);
	c->dirty_all -= c->dirty[slot];
	c->dirty[slot] = 0;
}

void slots_release(struct slots_client *c, unsigned slot)
{
	clean(c, slot);
	atomic_store_explicit(&c->slots.slot[slot].word, SLOT_WORD(c->generation[slot], SLOT_FREE),
		memory_order_release);
	c->used &= ~(1u << slot);
}

bool slots_withdraw(struct slots_client *c, unsigned slot)
{
	uint32_t expected = SLOT_WORD(c->generation[slot], SLOT_READY);
	if (!atomic_compare_exchange_strong(&c->slots.slot[slot].word, &expected,
		    SLOT_WORD(c->generation[slot], SLOT_FREE)))
		return false;
	c->used &= ~(1u << slot);
	return true;
}

void slots_client_sleeps(struct slots_client *c)
{
	atomic_store(&c->slots.header->client_asleep, SLOTS_ON_FD);
}

uint32_t slots_client_dozes(struct slots_client *c)
{
	uint32_t seen = atomic_load(&c->slots.header->answers);
	atomic_store(&c->slots.header->client_asleep, SLOTS_ON_WORD);
	return seen;
}

void slots_client_doze(const struct slots_client *c, uint32_t seen, uint64_t ns)
{
	sleep_begin(&c->slots.header->answers, seen, ns);
}

void slots_client_wakes(struct slots_client *c)
{
	SLOTS_SET(c->slots.header->client_asleep, SLOTS_AWAKE);
}

bool slots_closing(const struct slots_client *c)
{
	return SLOTS_GET(c->slots.header->closing) != 0;
}

uint32_t slots_generation(const struct slots_client *c, unsigned slot)
{
	return c->generation[slot];
}

bool slots_client_spins(struct slots_client *c, struct spin *spin)
{
	struct slots_header *header = c->slots.header;
	SLOTS_SET_SELDOM(header->client_cpu, (uint32_t)sched_getcpu() + 1);
	return spin_worth(spin, SLOTS_GET(header->instance_cpu) - 1,
		SLOTS_GET(header->instance_asleep) == SLOTS_AWAKE, SLOTS_GET(header->goes_on) != 0);
}
