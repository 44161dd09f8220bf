/* The memory of a lease: a header, 16 slots, and behind them, sparse, room for large inputs and
 * outputs. For runtime/slots/ alone; slots.h has what the others call. All of it may be written at
 * any time by either side, so each loads a word once and believes no index and no length before it
 * has checked its copy.
 *
 * Why each side sees what it must see (C11 model; x86 gives all but the seq_cst stores for
 * nothing):
 *
 * - Input. The client writes a FREE slot's bytes, stores READY (release), stores the slot's ring
 * entry (seq_cst). The instance loads the entry (acquire) and takes the slot by compare-and-swap
 * READY to RUNNING (acquire): what was written before READY is seen.
 * - Output. The instance writes the bytes, stores DONE (seq_cst, so also release). The client loads
 * DONE (acquire).
 * - One owner. READY can become RUNNING (instance, or keeper when that has died or is late) or FREE
 * (client withdraws): each by compare-and-swap from the very value, so exactly one wins. RUNNING
 * becomes DONE by the instance, or by the keeper after ramet-spawn has said that the instance is
 * dead. DONE becomes FREE by the client only. The generation in the word is that of the call, so
 * that who looked before a slot was used anew loses the compare-and-swap.
 * - No lost wake-up. Who is about to sleep stores its flag, then looks once more (ring entry, or
 * slot); who has published looks at the flag afterwards. All four are seq_cst, hence in one order:
 * either the sleeper's last look comes after the store and sees it, or the flag was set before the
 * publisher looked, who then wakes it. A sleep is short on a word of this memory (futex(2)), which
 * the publisher changes before it wakes: `calls` or `answers`; a sleep that comes after the change
 * ends at once. Or it is long, in epoll(7) on an eventfd, which keeps a wake-up that comes
 * before the sleep. The flag says which; where it is a futex, the publisher takes it down, so that
 * the next one does not wake again. The word is one and the same for all sleeps: a publisher may
 * have looked at the flag of an earlier sleep, take down that of a later one, and wakes it for
 * nothing, but wakes it. A flag left up costs one needless wake-up.
 * - Who is killed for one call runs no other. The keeper stores `halted`, then looks whether that
 * call still runs; the instance stores DONE, then looks at `halted` before it takes the next. All
 * four are seq_cst: if the keeper's look came first and saw RUNNING, the instance sees `halted`.
 *
 * - `once`: no call without an instance. The client stores READY, then looks at `coming`; the
 * keeper takes a slot's bit there away, then looks for READY. All four are seq_cst: either the
 * keeper sees the call, or the client that nobody comes, and wakes the keeper.
 *
 * tests/slots checks it with millions of calls under ThreadSanitizer, and with hostile
 * counterparts. */
#ifndef RUNTIME_SLOTS_LAYOUT_H
#define RUNTIME_SLOTS_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#define SLOTS_MAGIC 0x534c4f54u
#define SLOTS_LAYOUT 6u
#define SLOTS_LINE 64
#define SLOTS_RING 64u /* more than slots: withdrawn calls leave their entries behind */
#define SLOTS_BYTES 4096u
#define SLOTS_INLINE (SLOTS_BYTES - SLOTS_LINE)
#define SLOTS_BULK (64u << 20) /* of one slot's input, and of its output */
#define SLOTS_BULK_STRIDE \
	(SLOTS_BULK + SLOTS_BYTES) /* whoever reads a text there may end it with a NUL */
#define SLOTS_BULK_AT (1u << 20)

/* what is ordered by the word of its slot, or by nothing */
#define SLOTS_GET(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define SLOTS_SET(field, value) atomic_store_explicit(&(field), value, memory_order_relaxed)
/* the same for what the other side reads at each call and is seldom another: a line that is not
 * written stays in both caches */
#define SLOTS_SET_SELDOM(field, value) \
	do { \
		if (SLOTS_GET(field) != (value)) \
			SLOTS_SET(field, value); \
	} while (0)

/* A line that the other side has written is fetched to be written: once, instead of to be read
 * and, when it is written, once more. For what lies on several lines, they come at the same time.
 */
static inline void slots_fetch_to_write(const void *line)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0"
			 :
			 : "m"(*(const char *)line)); /* at worst it does nothing */
#else
	__builtin_prefetch(line, 1);
#endif
}

/* how a side sleeps */
enum slots_sleep { SLOTS_AWAKE, SLOTS_ON_WORD, SLOTS_ON_FD };

enum slot_state { SLOT_FREE, SLOT_READY, SLOT_RUNNING, SLOT_DONE };
#define SLOT_STATE(word) ((enum slot_state)((word)&7u))
#define SLOT_GENERATION(word) ((word) >> 3)
#define SLOT_WORD(generation, state) ((uint32_t)(generation) << 3 | (uint32_t)(state))
#define SLOT_GENERATIONS (1u << 29)
#define SLOTS_NOT_BEGUN 2u

/* One line of control, then the bytes of an input or output that fits. */
struct slot {
	_Alignas(SLOTS_LINE) _Atomic uint32_t word; /* generation and state */
	_Atomic uint16_t flags; /* SLOTS_BINARY, of the input */
	_Atomic uint16_t output_flags; /* SLOTS_BINARY, SLOTS_NOT_BEGUN */
	_Atomic uint64_t len; /* of the input; of an answer: SLOTS_SERVANT, who gave it */
	_Atomic uint64_t deadline_ns; /* of the node's CLOCK_MONOTONIC; 0: none */
	_Atomic uint64_t number; /* of the call, for its id */
	_Atomic uint32_t rank, size;
	_Atomic uint32_t span_ms; /* from its beginning to the deadline */
	_Atomic int32_t
		status; /* 0, or a RAMET_E… and the output is an error map (runtime/host_proto.h) */
	_Atomic uint64_t output_len;
	_Atomic uint64_t run_ns;
	unsigned char data[SLOTS_INLINE];
};
_Static_assert(sizeof(struct slot) == SLOTS_BYTES, "a slot is a page");

/* what one side writes lies on lines that the other does not write, but for what wakes: the flags
 * of sleepers and the words that they sleep on */
struct slots_header { /* NOLINT(clang-analyzer-optin.performance.Padding) */
	uint32_t magic, layout, once; /* never written again */
	/* by the client */
	_Alignas(SLOTS_LINE) _Atomic uint64_t
		ring[SLOTS_RING]; /* ticket of the call, its slot, and which call in it */
	_Alignas(SLOTS_LINE) _Atomic uint32_t client_asleep; /* enum slots_sleep */
	_Atomic uint32_t calls; /* changes before an instance that sleeps on it is woken */
	_Atomic uint32_t client_cpu; /* where it was last, and one more */
	_Atomic uint32_t goes_on; /* it sends more calls before it waits for this one */
	/* by the instance */
	_Alignas(SLOTS_LINE) _Atomic uint32_t instance_asleep; /* enum slots_sleep */
	_Atomic uint32_t instance_cpu;
	_Atomic uint32_t ready; /* once: slots whose instances wait, a bit each */
	_Atomic uint32_t answers; /* changes before a client that sleeps on it is woken */
	_Alignas(SLOTS_LINE) _Atomic uint64_t served,
		failed; /* calls: what is written at each of them */
	_Atomic uint32_t head; /* entries of the ring that it is through with */
	_Atomic uint64_t last_number; /* of the call that was taken last */
	_Atomic uint32_t last_rank;
	/* by the keeper */
	_Alignas(SLOTS_LINE) _Atomic uint32_t closing; /* nothing new may be submitted */
	_Atomic uint32_t halted; /* nothing new may be begun */
	_Atomic uint32_t coming; /* once: slots that have an instance, or will have, a bit each */
	_Alignas(SLOTS_LINE) _Atomic uint32_t
		cancel[16]; /* for each slot the generation that is to end, and one more */
};
_Static_assert(sizeof(struct slots_header) <= SLOTS_BYTES, "the header is a page");

/* who gave an answer, where each call has an instance of its own */
#define SLOTS_SERVANT(pid, kind, instance) \
	((uint64_t)(uint32_t)(pid) << 32 | ((uint32_t)(kind)&7u) << 28 | \
		((uint32_t)(instance)&0xfffffffu))

/* A ring entry: its ticket from 1 on, so that an entry never written is none, and the generation of
 * the call: the entry of one that was withdrawn is not that of the next one in its slot, which has
 * its own turn. */
#define SLOTS_ENTRY(ticket, slot, generation) \
	((uint64_t)(generation) << 32 | (uint32_t)((uint32_t)(ticket) << 4 | (slot)))
#define SLOTS_ENTRY_TICKET(entry) ((uint32_t)(entry) >> 4)
#define SLOTS_ENTRY_SLOT(entry) ((uint32_t)(entry) % SLOTS_COUNT)
#define SLOTS_ENTRY_GENERATION(entry) ((uint32_t)((entry) >> 32) % SLOT_GENERATIONS)

#endif
