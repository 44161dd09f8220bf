/* A counterpart that writes anything anywhere in a lease's memory, in a process of its own: whoever
 * is honest stays within its memory, never loops, and gets an answer or an error from each
 * function. */
#include "base/err.h"
#include "runtime/slots/layout.h"
#include "tests/lib/suite.h"
#include "tests/slots/lease_memory.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 100000
#define ROUNDS_MOST (100 * ROUNDS) /* until something was seen */

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* words that mean something, and any others */
static uint32_t word(uint64_t *state)
{
	uint64_t r = next(state);
	switch (r % 5) {
	case 0:
		return SLOT_WORD((r >> 8) % 64, (r >> 16) % 8);
	case 1:
		return (uint32_t)SLOTS_ENTRY((r >> 8) % 128, (r >> 16) % 16, 0);
	case 2:
		return 0;
	case 3:
		return UINT32_MAX;
	default:
		return (uint32_t)(r >> 32);
	}
}

/* all of the header but its first line, and all slots' control lines and data */
static void scribble(const struct slots *slots)
{
	uint64_t state = 88172645463325252u;
	volatile uint32_t *words = (volatile uint32_t *)(void *)slots->header;
	const size_t count = (size_t)SLOTS_BYTES * (1 + SLOTS_COUNT) / 4;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		size_t at = next(&state) % count;
		if (next(&state) % 2) /* where it matters */
			at = next(&state) % 2 ? 16 + next(&state) % 224
					      : (1 + next(&state) % SLOTS_COUNT) * SLOTS_BYTES / 4 +
					next(&state) % 16;
		if (at >= 16)
			words[at] = word(&state);
	}
}

static pid_t scribbler(const struct slots *slots)
{
	pid_t pid = fork();
	if (pid == 0)
		scribble(slots);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
}

/* Who scribbles without a pause leaves nothing that looks well, for as long as it has a CPU. */
static bool goes_on(unsigned round, unsigned seen)
{
	return round < ROUNDS || (seen == 0 && round < ROUNDS_MOST);
}

static uint64_t sum(const unsigned char *data, size_t len)
{
	uint64_t total = 0;
	for (size_t i = 0; i < len; i += 4096)
		total += data[i];
	return total;
}

static void test_hostile_instance(void)
{
	struct lease_memory m;
	unsigned answered = 0;
	volatile uint64_t total = 0;
	if (!lease_memory_open(&m))
		return;
	(void)slots_map_bulk(&m.client.slots);
	pid_t pid = scribbler(&m.keeper);
	for (unsigned i = 0; goes_on(i, answered); i++) {
		if (i % 16 == 0) { /* there is room now and then */
			atomic_store(&m.keeper.header->closing, 0);
			atomic_store(&m.keeper.header->head, m.client.tail);
		}
		(void)lease_memory_submit(&m, "hello", 5, i);
		for (unsigned slot = 0; slot < SLOTS_COUNT; slot++) {
			struct slots_answer a;
			size_t len;
			if (!(m.client.used & 1u << slot))
				continue;
			(void)slots_input(&m.client, slot, &len);
			if (i % 16 == 0) /* an answer now and then, with whatever is there */
				atomic_store(&m.keeper.slot[slot].word,
					SLOT_WORD(m.client.generation[slot], SLOT_DONE));
			if (slots_done(&m.client, slot) && slots_answer(&m.client, slot, &a) == 0) {
				CHECK(a.len <= SLOTS_PAYLOAD_MAX && a.status <= 0);
				total += sum(a.data, a.len);
				answered++;
			}
			if (slots_done(&m.client, slot) || slots_broken(&m.client, slot))
				slots_release(&m.client, slot);
			else
				(void)slots_withdraw(&m.client, slot);
		}
	}
	end(pid);
	CHECK(answered > 0); /* else nothing was tested */
	lease_memory_close(&m);
}

static void test_hostile_client(void)
{
	struct lease_memory m;
	unsigned taken = 0;
	volatile uint64_t total = 0;
	if (!lease_memory_open(&m))
		return;
	(void)slots_map_bulk(&m.instance.slots);
	pid_t pid = scribbler(&m.keeper);
	for (unsigned i = 0; goes_on(i, taken); i++) {
		struct slots_call call;
		struct slots_view view;
		/* what it waits for next comes now and then */
		if (i % 16 == 0) {
			unsigned slot = i / 16 % SLOTS_COUNT;
			atomic_store(&m.keeper.slot[slot].word, SLOT_WORD(i, SLOT_READY));
			atomic_store(&m.keeper.header->ring[m.instance.head % SLOTS_RING],
				SLOTS_ENTRY(m.instance.head + 1, slot, i));
		}
		int rc = slots_take(&m.instance, &call);
		CHECK(rc == 0 || rc == 1 || rc == RAMET_EPROTO);
		slots_look(&m.keeper, &view);
		CHECK(view.waiting + view.running + view.unread <= SLOTS_COUNT);
		(void)slots_expire(&m.keeper, i, "late", 4);
		(void)slots_cancelled(&m.instance, i % SLOTS_COUNT);
		if (rc != 1)
			continue;
		CHECK(call.slot < SLOTS_COUNT && call.len <= SLOTS_PAYLOAD_MAX);
		total += sum(call.data, call.len);
		taken++;
		(void)slots_finish(&m.instance, &call, &(struct slots_outcome){.len = 4});
	}
	slots_abandon(&m.keeper, RAMET_ECRASH, "why", 3);
	end(pid);
	CHECK(taken > 0);
	lease_memory_close(&m);
}

SUITE_MAIN("slots_hostile", TEST(test_hostile_instance), TEST(test_hostile_client))
