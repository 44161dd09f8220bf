/* A lease's slots, step by step: who may do what in which state, and what the others see of it. */
#include "base/clock.h"
#include "base/err.h"
#include "runtime/slots/layout.h"
#include "tests/lib/suite.h"
#include "tests/slots/lease_memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONG_NS (20 * NSEC_PER_SEC) /* nothing takes so long unless a wake-up is lost */

static struct slots_view look(const struct lease_memory *m)
{
	struct slots_view view;
	slots_look(&m->keeper, &view);
	return view;
}

static int turned_over(const unsigned char *data, size_t len, unsigned char first)
{
	for (size_t i = 0; i < len; i += lease_memory_step(len))
		if (data[i] != (unsigned char)~(first + i))
			return 0;
	return 1;
}

static void fill(unsigned char *data, size_t len, unsigned char first)
{
	for (size_t i = 0; i < len; i += lease_memory_step(len))
		data[i] = (unsigned char)(first + i);
}

static void test_a_call_of_every_size(void)
{
	static const size_t sizes[] = {0, 1, 64, SLOTS_INLINE - 1, SLOTS_INLINE, SLOTS_INLINE + 1,
		65536, 8u << 20, SLOTS_PAYLOAD_MAX};
	struct lease_memory m;
	struct slots_answer a;
	unsigned char *data = malloc(SLOTS_PAYLOAD_MAX);
	if (!lease_memory_open(&m))
		return;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fill(data, sizes[i], (unsigned char)i);
		int slot = lease_memory_submit(&m, data, sizes[i], 0);
		CHECK_INT(slot, 0); /* the one used last is used again */
		CHECK(!slots_done(&m.client, 0));
		CHECK_INT(lease_memory_serve(&m), 1);
		CHECK(slots_done(&m.client, 0));
		CHECK_INT(slots_answer(&m.client, 0, &a), 0);
		CHECK_INT(a.status, 0);
		CHECK_INT(a.len, sizes[i]);
		CHECK_INT(a.run_ns, 7);
		CHECK(a.begun);
		CHECK(turned_over(a.data, a.len, (unsigned char)i));
		slots_release(&m.client, 0);
	}
	CHECK_INT(lease_memory_submit(&m, data, SLOTS_PAYLOAD_MAX + 1, 0), RAMET_ELIMIT);
	CHECK_INT(lease_memory_serve(&m), 0);
	CHECK_INT(look(&m).served, sizeof(sizes) / sizeof(sizes[0]));
	free(data);
	lease_memory_close(&m);
}

static void test_full_and_in_order(void)
{
	struct lease_memory m;
	if (!lease_memory_open(&m))
		return;
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < SLOTS_COUNT; i++)
			CHECK_INT(lease_memory_submit(&m, &(unsigned char){(unsigned char)i}, 1, 0),
				i);
		CHECK_INT(lease_memory_submit(&m, "x", 1, 0), RAMET_EAGAIN);
		CHECK_INT(look(&m).waiting, SLOTS_COUNT);
		for (unsigned i = 0; i < SLOTS_COUNT; i++) {
			CHECK_INT(lease_memory_serve(&m), 1);
			CHECK(slots_done(&m.client, i)); /* as they were submitted */
			CHECK(i + 1 == SLOTS_COUNT || !slots_done(&m.client, i + 1));
		}
		CHECK_INT(look(&m).unread, SLOTS_COUNT);
		for (unsigned i = 0; i < SLOTS_COUNT; i++)
			slots_release(&m.client, i);
	}
	lease_memory_close(&m);
}

static void test_withdrawn_calls_are_not_run(void)
{
	struct lease_memory m;
	if (!lease_memory_open(&m))
		return;
	/* more than the ring has entries, while the instance does not look: then there is no room
	 */
	unsigned withdrawn = 0;
	while (lease_memory_submit(&m, "x", 1, 0) >= 0) {
		CHECK(slots_withdraw(&m.client, 0));
		withdrawn++;
	}
	CHECK_INT(withdrawn, SLOTS_RING);
	CHECK_INT(lease_memory_serve(&m), 0);
	int slot = lease_memory_submit(&m, "x", 1, 0);
	CHECK_INT(slot, 0);
	CHECK_INT(lease_memory_serve(&m), 1);
	CHECK(!slots_withdraw(&m.client, 0)); /* too late */
	CHECK(slots_done(&m.client, 0));
	lease_memory_close(&m);
}

static void test_sleeping_and_waking(void)
{
	struct lease_memory m;
	const struct slots_request request = {.data = "x", .len = 1};
	unsigned slot;
	bool wake = true;
	struct slots_call call;
	if (!lease_memory_open(&m))
		return;
	CHECK_INT(slots_submit(&m.client, &request, &slot, &wake), 0);
	CHECK(!wake); /* nobody sleeps */
	CHECK(slots_instance_sleeps(&m.instance)); /* and there is a call */
	CHECK_INT(slots_take(&m.instance, &call), 1);
	CHECK(!slots_instance_sleeps(&m.instance));
	CHECK_INT(slots_submit(&m.client, &request, &slot, &wake), 0);
	CHECK(wake);
	slots_instance_wakes(&m.instance);
	CHECK(!slots_finish(&m.instance, &call, &(struct slots_outcome){0}));
	CHECK_INT(slots_take(&m.instance, &call), 1);
	slots_client_sleeps(&m.client);
	CHECK(slots_finish(&m.instance, &call, &(struct slots_outcome){0}));
	slots_client_wakes(&m.client);
	lease_memory_close(&m);
}

/* where each call has an instance of its own: who waits, else who is on its way, else whoever the
 * keeper sends */
static void test_calls_go_where_somebody_comes(void)
{
	struct lease_memory m;
	struct slots_view view;
	const struct slots_request request = {.data = "x", .len = 1};
	unsigned slot;
	bool wake = false;
	if (!lease_memory_open_once(&m))
		return;
	CHECK_INT(slots_submit(&m.client, &request, &slot, &wake), 0);
	CHECK_INT(slot, 0);
	CHECK(wake);
	slots_set_coming(&m.keeper, 0, true);
	slots_set_coming(&m.keeper, 3, true);
	slots_set_coming(&m.keeper, 5, true);
	slots_wait_own(&m.instance, 5, 1);
	CHECK_INT(slots_submit(&m.client, &request, &slot, &wake), 0);
	CHECK_INT(slot, 5);
	CHECK(!wake);
	CHECK_INT(slots_submit(&m.client, &request, &slot, &wake), 0);
	CHECK_INT(slot, 3);
	CHECK(!wake);
	slots_set_coming(&m.keeper, 3, false); /* it has ended before it took the call */
	slots_look(&m.keeper, &view);
	CHECK_INT(view.waits, 1 << 0 | 1 << 3 | 1 << 5);
	CHECK_INT(slots_submit(&m.client, &request, &slot, &wake), 0);
	CHECK_INT(slot, 1);
	CHECK(wake);
	lease_memory_close(&m);
}

/* what was withdrawn leaves its turn behind, which is not that of the next call in its slot */
static void test_turns_are_kept(void)
{
	struct lease_memory m;
	struct slots_call call;
	if (!lease_memory_open(&m))
		return;
	CHECK_INT(lease_memory_submit(&m, "a", 1, 0), 0);
	CHECK_INT(lease_memory_submit(&m, "b", 1, 0), 1);
	CHECK(slots_withdraw(&m.client, 0));
	CHECK_INT(lease_memory_submit(&m, "c", 1, 0), 0);
	CHECK_INT(slots_take(&m.instance, &call), 1);
	CHECK_INT(*(const char *)call.data, 'b');
	(void)slots_finish(&m.instance, &call, &(struct slots_outcome){0});
	CHECK_INT(slots_take(&m.instance, &call), 1);
	CHECK_INT(*(const char *)call.data, 'c');
	(void)slots_finish(&m.instance, &call, &(struct slots_outcome){0});
	CHECK_INT(slots_take(&m.instance, &call), 0);
	lease_memory_close(&m);
}

/* on the memory: whoever publishes wakes, takes the flag down, and says that nothing else is to be
 * done */
static void test_dozing_and_waking(void)
{
	struct lease_memory m;
	const struct slots_request request = {.data = "x", .len = 1};
	unsigned slot;
	bool wake = true;
	struct slots_call call;
	if (!lease_memory_open(&m))
		return;
	CHECK_INT(slots_submit(&m.client, &request, &slot, &wake), 0);
	uint64_t begin = now_ns();
	slots_instance_dozes(&m.instance, LONG_NS); /* there is a call */
	CHECK(now_ns() - begin < LONG_NS);
	CHECK_INT(slots_take(&m.instance, &call), 1);
	uint32_t seen = slots_client_dozes(&m.client);
	CHECK(!slots_finish(&m.instance, &call, &(struct slots_outcome){0}));
	begin = now_ns();
	slots_client_doze(&m.client, seen, LONG_NS); /* the answer came in between */
	slots_client_doze(&m.client, seen, LONG_NS);
	CHECK(now_ns() - begin < LONG_NS);
	seen = slots_client_dozes(&m.client);
	slots_rouse_client(&m.keeper);
	slots_client_doze(&m.client, seen, LONG_NS);
	CHECK(now_ns() - begin < LONG_NS);
	slots_client_wakes(&m.client);
	seen = slots_client_dozes(&m.client);
	begin = now_ns();
	slots_client_doze(&m.client, seen, NSEC_PER_MSEC); /* for nothing */
	CHECK(now_ns() - begin >= NSEC_PER_MSEC);
	lease_memory_close(&m);
}

static void test_who_died_of_a_call_is_told(void)
{
	const struct slots_dead who = {.pid = 4321, .kind = 2, .instance = 77};
	struct lease_memory m;
	struct slots_answer a;
	struct slots_call call;
	if (!lease_memory_open_once(&m))
		return;
	CHECK_INT(lease_memory_submit(&m, "abc", 3, 0), 0);
	CHECK_INT(slots_take_own(&m.instance, 0, &call), 1);
	slots_abandon_one(&m.keeper, 0, &who, RAMET_ECRASH, "why", 3);
	CHECK_INT(slots_answer(&m.client, 0, &a), 0);
	CHECK_INT(a.status, RAMET_ECRASH);
	CHECK_INT(a.pid, 4321);
	CHECK_INT(a.kind, 2);
	CHECK_INT(a.instance, 77);
	lease_memory_close(&m);
}

static void test_late_calls_are_answered_by_the_keeper(void)
{
	struct lease_memory m;
	struct slots_answer a;
	if (!lease_memory_open(&m))
		return;
	CHECK_INT(lease_memory_submit(&m, "x", 1, 1000), 0);
	CHECK_INT(lease_memory_submit(&m, "x", 1, 2000), 1);
	CHECK_INT(lease_memory_submit(&m, "x", 1, 0), 2);
	CHECK_INT(slots_expire(&m.keeper, 999, "late", 4), 0);
	CHECK_INT(slots_expire(&m.keeper, 1000, "late", 4), 1);
	CHECK(slots_done(&m.client, 0));
	CHECK(!slots_done(&m.client, 1));
	CHECK_INT(slots_answer(&m.client, 0, &a), 0);
	CHECK_INT(a.status, RAMET_EDEADLINE);
	CHECK(a.len == 4 && memcmp(a.data, "late", 4) == 0);
	CHECK_INT(a.servant, 0); /* nobody has served it */
	CHECK_INT(lease_memory_serve(&m), 1);
	CHECK(slots_done(&m.client, 1)); /* the first was passed over */
	lease_memory_close(&m);
}

static void test_what_a_dead_instance_leaves(void)
{
	struct lease_memory m;
	struct slots_call call;
	struct slots_answer a;
	size_t len = 0;
	if (!lease_memory_open(&m))
		return;
	CHECK_INT(lease_memory_submit(&m, "done", 4, 0), 0);
	CHECK_INT(lease_memory_serve(&m), 1);
	CHECK_INT(lease_memory_submit(&m, "ran", 3, 77), 1);
	CHECK_INT(slots_take(&m.instance, &call), 1);
	CHECK_INT(lease_memory_submit(&m, "waited", 6, 0), 2);
	struct slots_view view = look(&m);
	CHECK_INT(view.running, 1);
	CHECK_INT(view.runs, 1 << 1);
	struct slots_running running;
	CHECK(!slots_look_at(&m.keeper, 0, &running));
	CHECK(slots_look_at(&m.keeper, 1, &running));
	CHECK_INT(running.deadline_ns, 77);
	CHECK_INT(running.span_ms, 5);
	CHECK_INT(running.generation, slots_generation(&m.client, 1));
	slots_abandon(&m.keeper, RAMET_ECRASH, "why", 3);

	CHECK_INT(slots_answer(&m.client, 0, &a), 0);
	CHECK_INT(a.status, 0); /* what was answered stays */
	CHECK(slots_done(&m.client, 1) && slots_done(&m.client, 2));
	CHECK_INT(slots_answer(&m.client, 1, &a), 0);
	CHECK_INT(a.status, RAMET_ECRASH);
	CHECK(a.begun && a.len == 3 && memcmp(a.data, "why", 3) == 0);
	CHECK_INT(slots_answer(&m.client, 2, &a), 0);
	CHECK_INT(a.status, RAMET_ELOST);
	CHECK(!a.begun);
	const void *input = slots_input(&m.client, 2, &len);
	CHECK(len == 6 && memcmp(input, "waited", 6) == 0); /* to be sent again */
	CHECK(slots_closing(&m.client));
	CHECK_INT(lease_memory_submit(&m, "x", 1, 0), RAMET_ECLOSED);
	lease_memory_close(&m);
}

static void test_cancelling_what_runs(void)
{
	struct lease_memory m;
	struct slots_call call;
	if (!lease_memory_open(&m))
		return;
	CHECK_INT(lease_memory_submit(&m, "x", 1, 0), 0);
	uint32_t generation = slots_generation(&m.client, 0);
	CHECK_INT(slots_cancel(&m.keeper, 0, generation), RAMET_ENOTFOUND); /* it waits */
	CHECK_INT(slots_take(&m.instance, &call), 1);
	CHECK(!slots_cancelled(&m.instance, 0));
	CHECK_INT(slots_cancel(&m.keeper, 0, generation + 1), RAMET_ENOTFOUND);
	CHECK_INT(slots_cancel(&m.keeper, SLOTS_COUNT, generation), RAMET_ENOTFOUND);
	CHECK_INT(slots_cancel(&m.keeper, 0, generation), 0);
	CHECK(slots_cancelled(&m.instance, 0));
	slots_finish(&m.instance, &call, &(struct slots_outcome){.status = RAMET_ECANCELED});
	slots_release(&m.client, 0);
	/* the next call in that slot is another one */
	CHECK_INT(lease_memory_submit(&m, "x", 1, 0), 0);
	CHECK_INT(slots_take(&m.instance, &call), 1);
	CHECK(!slots_cancelled(&m.instance, 0));
	lease_memory_close(&m);
}

static void test_who_is_killed_for_one_call_begins_no_other(void)
{
	struct lease_memory m;
	struct slots_call call;
	if (!lease_memory_open(&m))
		return;
	CHECK_INT(lease_memory_submit(&m, "x", 1, 0), 0);
	CHECK_INT(lease_memory_submit(&m, "x", 1, 0), 1);
	uint32_t generation = slots_generation(&m.client, 0);
	CHECK(!slots_halt(&m.keeper, 0, generation)); /* it waits */
	CHECK_INT(slots_take(&m.instance, &call), 1);
	CHECK(!slots_halt(&m.keeper, 0, generation + 1));
	slots_finish(&m.instance, &call, &(struct slots_outcome){0});
	CHECK(!slots_halt(&m.keeper, 0, generation)); /* it has ended */
	CHECK_INT(slots_take(&m.instance, &call), 1); /* so the next one begins */
	CHECK_INT(call.slot, 1);
	CHECK_INT(lease_memory_submit(&m, "x", 1, 0), 2);
	CHECK(slots_halt(&m.keeper, 1, slots_generation(&m.client, 1)));
	slots_finish(&m.instance, &call, &(struct slots_outcome){0});
	CHECK_INT(slots_take(&m.instance, &call), 0);
	CHECK_INT(look(&m).waiting, 1); /* to be called elsewhere */
	lease_memory_close(&m);
}

static void test_memory_that_is_no_lease(void)
{
	struct slots slots;
	struct ramet_err err = {0};
	int fd = memfd_create("small", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK_INT(slots_open(fd, &slots, &err), RAMET_EPROTO); /* not sealed */
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	CHECK_INT(slots_open(fd, &slots, &err), RAMET_EPROTO); /* not its size */
	close(fd);
	int pipes[2];
	CHECK_INT(pipe(pipes), 0);
	CHECK_INT(slots_open(pipes[0], &slots, &err), RAMET_EPROTO);
	close(pipes[0]);
	close(pipes[1]);
	CHECK_INT(slots_open(-1, &slots, &err), RAMET_EPROTO);
	struct lease_memory m;
	if (!lease_memory_open(&m))
		return;
	m.keeper.header->magic = 1;
	fd = fcntl(m.keeper.fd, F_DUPFD_CLOEXEC, 0);
	CHECK_INT(slots_open(fd, &slots, &err), RAMET_EPROTO);
	close(fd);
	lease_memory_close(&m);
}

static void test_large_payloads_do_not_pile_up(void)
{
	struct lease_memory m;
	struct slots_answer a;
	struct stat st;
	const size_t len = 40u << 20;
	unsigned char *data = calloc(1, len);
	if (!lease_memory_open(&m))
		return;
	for (unsigned i = 0; i < SLOTS_COUNT; i++) /* all slots at once: 1.25 GiB in and out */
		CHECK_INT(lease_memory_submit(&m, data, len, 0), i);
	for (unsigned i = 0; i < SLOTS_COUNT; i++) {
		CHECK_INT(lease_memory_serve(&m), 1);
		CHECK_INT(slots_answer(&m.client, i, &a), 0);
		slots_release(&m.client, i);
	}
	CHECK_INT(fstat(m.keeper.fd, &st), 0);
	CHECK(st.st_blocks * 512 <= 600 << 20);
	free(data);
	lease_memory_close(&m);
}

SUITE_MAIN("slots", TEST(test_a_call_of_every_size), TEST(test_full_and_in_order),
	TEST(test_withdrawn_calls_are_not_run), TEST(test_sleeping_and_waking),
	TEST(test_dozing_and_waking), TEST(test_turns_are_kept),
	TEST(test_calls_go_where_somebody_comes), TEST(test_who_died_of_a_call_is_told),
	TEST(test_late_calls_are_answered_by_the_keeper), TEST(test_what_a_dead_instance_leaves),
	TEST(test_cancelling_what_runs), TEST(test_who_is_killed_for_one_call_begins_no_other),
	TEST(test_memory_that_is_no_lease), TEST(test_large_payloads_do_not_pile_up))
