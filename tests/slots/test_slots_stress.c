/* Millions of calls between a client and an instance on threads of their own, both of which sleep
 * as often as they can, on the memory or elsewhere by turns, while a keeper looks: no wake-up and
 * no call is lost, each answer is that of its call. For ThreadSanitizer above all. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "runtime/slots/spin.h"
#include "tests/lib/suite.h"
#include "tests/slots/lease_memory.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CALLS 200000
#define CALLS_MOST (20ull * CALLS) /* so many until the keeper has halted the instance once */
#define MEETINGS 20000
#define LOST_MS 20000 /* nothing takes so long unless a wake-up is lost */
#define LOST_NS (LOST_MS * NSEC_PER_MSEC)
#define LAST UINT64_MAX /* the number of the call after which there is none */

struct stress {
	struct lease_memory m;
	int wake_instance, wake_client;
	atomic_bool stop;
	bool spin;
	unsigned burst;
	uint64_t calls, served, withdrawn;
	atomic_uint halted; /* times */
	unsigned begun_halted; /* calls that began then */
	atomic_uint lost;
};

static bool wait_for(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	eventfd_t count;
	if (poll(&pfd, 1, LOST_MS) != 1)
		return false;
	(void)eventfd_read(fd, &count);
	return true;
}

static bool waiting(const void *arg)
{
	return slots_waiting(arg);
}

static void serve_one(struct stress *s, const struct slots_call *call)
{
	uint64_t numbers[2];
	memcpy(numbers, call->data, sizeof(numbers));
	numbers[1] = ~numbers[0];
	void *to = slots_output(&s->m.instance, call, sizeof(numbers));
	memcpy(to, numbers, sizeof(numbers));
	const struct slots_outcome outcome = {.len = sizeof(numbers)};
	if (numbers[0] == LAST)
		atomic_store(&s->stop, true);
	else
		s->served++;
	if (slots_finish(&s->m.instance, call, &outcome))
		eventfd_write(s->wake_client, 1);
}

static void *instance_main(void *arg)
{
	struct stress *s = arg;
	struct slots_call call;
	struct spin spin = {0};
	unsigned sleeps = 0;
	while (!atomic_load(&s->stop)) {
		if (slots_take(&s->m.instance, &call) == 1) {
			serve_one(s, &call);
			continue;
		}
		if (s->spin && spin_until(&spin, waiting, &s->m.instance))
			continue;
		if (++sleeps % 3 != 0) {
			uint64_t begin = now_ns();
			slots_instance_dozes(&s->m.instance, LOST_NS);
			s->lost += now_ns() - begin >= LOST_NS;
			continue;
		}
		if (slots_instance_sleeps(&s->m.instance))
			continue;
		if (!wait_for(s->wake_instance))
			s->lost++;
		slots_instance_wakes(&s->m.instance);
	}
	return NULL;
}

/* Nothing begins after the call that it is halted for. We don't kill it: it goes on when the next
 * halt comes too late. */
static void halt(struct stress *s, unsigned slot, uint32_t generation)
{
	struct slots_view view;
	if (!slots_halt(&s->m.keeper, slot, generation))
		return;
	s->halted++;
	for (unsigned i = 0; i < 20; i++) {
		usleep(10);
		slots_look(&s->m.keeper, &view);
		struct slots_running same;
		s->begun_halted += (view.runs & ~(1u << slot)) != 0 ||
			(slots_look_at(&s->m.keeper, slot, &same) && same.generation != generation);
	}
	while (slots_halt(&s->m.keeper, slot, generation))
		usleep(10);
}

static void *keeper_main(void *arg)
{
	struct stress *s = arg;
	struct slots_view view;
	unsigned looks = 0;
	while (!atomic_load(&s->stop)) {
		slots_look(&s->m.keeper, &view);
		(void)slots_expire(&s->m.keeper, 1, NULL, 0);
		struct slots_running running;
		unsigned slot = view.runs ? (unsigned)__builtin_ctz(view.runs) : 0;
		if (view.runs && slots_look_at(&s->m.keeper, slot, &running)) {
			if (++looks % 16 == 0)
				halt(s, slot, running.generation);
			(void)slots_cancel(&s->m.keeper, slot, running.generation);
		}
		usleep(50);
	}
	return NULL;
}

static unsigned submit_some(struct stress *s, unsigned want, uint64_t number)
{
	unsigned n = 0;
	while (n < want) {
		uint64_t numbers[2] = {number + n, 0};
		const struct slots_request request = {
			.data = numbers, .len = sizeof(numbers), .number = number + n};
		unsigned slot;
		bool wake = false;
		if (slots_submit(&s->m.client, &request, &slot, &wake) < 0)
			break;
		if (wake)
			eventfd_write(s->wake_instance, 1);
		n++;
	}
	return n;
}

static unsigned collect(struct stress *s)
{
	unsigned n = 0;
	for (unsigned i = 0; i < SLOTS_COUNT; i++) {
		struct slots_answer a;
		uint64_t numbers[2];
		if (!(s->m.client.used & 1u << i) || !slots_done(&s->m.client, i))
			continue;
		CHECK_INT(slots_answer(&s->m.client, i, &a), 0);
		memcpy(numbers, a.data, sizeof(numbers));
		if (numbers[1] != ~numbers[0] || a.len != sizeof(numbers))
			s->lost++;
		slots_release(&s->m.client, i);
		n++;
	}
	return n;
}

/* a call is taken back now and then: it either is not run, or is answered */
static unsigned withdraw_one(struct stress *s, uint64_t number)
{
	unsigned slot = (unsigned)(number % SLOTS_COUNT);
	return number % 17 == 0 && s->m.client.used & 1u << slot &&
		slots_withdraw(&s->m.client, slot);
}

static unsigned sleep_elsewhere(struct stress *s)
{
	slots_client_sleeps(&s->m.client);
	unsigned n = collect(s);
	if (n == 0 && s->m.client.used && !wait_for(s->wake_client))
		s->lost++;
	slots_client_wakes(&s->m.client);
	return n;
}

static unsigned doze(struct stress *s)
{
	uint32_t seen = slots_client_dozes(&s->m.client);
	unsigned n = collect(s);
	uint64_t begin = now_ns();
	if (n == 0 && s->m.client.used)
		slots_client_doze(&s->m.client, seen, LOST_NS);
	s->lost += now_ns() - begin >= LOST_NS;
	slots_client_wakes(&s->m.client);
	return n;
}

static void drive(struct stress *s)
{
	unsigned sleeps = 0;
	uint64_t submitted = 0;
	uint64_t over = 0;
	uint64_t withdrawn = 0;
	s->calls = CALLS;
	while (over < s->calls && s->lost == 0) {
		uint64_t left = s->calls - submitted;
		unsigned most = (unsigned)MIN(left, (uint64_t)s->burst);
		submitted += submit_some(s, most, submitted);
		unsigned gone = withdraw_one(s, submitted);
		withdrawn += gone;
		unsigned n = collect(s) + gone;
		over += n;
		if (n == 0)
			over += ++sleeps % 3 == 0 ? sleep_elsewhere(s) : doze(s);
		if (over == s->calls && s->halted == 0 && s->calls < CALLS_MOST)
			s->calls += CALLS;
	}
	CHECK_INT(over, s->calls);
	CHECK_INT(s->lost, 0);
	s->withdrawn = withdrawn;
	if (s->lost > 0)
		atomic_store(&s->stop, true); /* it is asleep for a while */
	else
		CHECK_INT(submit_some(s, 1, LAST), 1);
}

static void stress(unsigned burst, bool spin)
{
	static struct stress s;
	pthread_t instance;
	pthread_t keeper;
	memset(&s, 0, sizeof(s));
	if (!lease_memory_open(&s.m))
		return;
	s.burst = burst;
	s.spin = spin;
	s.wake_instance = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s.wake_client = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK_INT(pthread_create(&instance, NULL, instance_main, &s), 0);
	CHECK_INT(pthread_create(&keeper, NULL, keeper_main, &s), 0);
	drive(&s);
	pthread_join(instance, NULL);
	pthread_join(keeper, NULL);
	struct slots_view view;
	slots_look(&s.m.keeper, &view);
	CHECK_INT(view.waiting + view.running, 0);
	CHECK_INT(s.served + s.withdrawn, s.calls); /* each once */
	CHECK(s.halted > 0);
	CHECK_INT(s.begun_halted, 0);
	close(s.wake_instance);
	close(s.wake_client);
	lease_memory_close(&s.m);
}

static void test_one_at_a_time(void)
{
	stress(1, false);
}

static void test_one_at_a_time_spinning(void)
{
	stress(1, true);
}

static void test_many_outstanding(void)
{
	stress(SLOTS_COUNT, false);
}

static void test_a_few_outstanding_spinning(void)
{
	stress(3, true);
}

/* A call goes to a slot whose instance ends at this moment: the keeper sees it, or is woken. */
struct meeting {
	struct lease_memory m;
	atomic_uint turn; /* of each meeting three: it begins, and either of the two is through */
	bool seen;
};

static void wait_for_turn(struct meeting *meeting, unsigned turn)
{
	while (atomic_load(&meeting->turn) < turn)
		sched_yield();
}

static void *leave(void *arg)
{
	struct meeting *meeting = arg;
	struct slots_view view;
	for (unsigned i = 0; i < MEETINGS; i++) {
		wait_for_turn(meeting, 3 * i + 1);
		slots_set_coming(&meeting->m.keeper, 0, false);
		slots_look(&meeting->m.keeper, &view);
		meeting->seen = view.waits & 1;
		atomic_fetch_add(&meeting->turn, 1);
	}
	return NULL;
}

static void test_nobody_is_missed(void)
{
	static struct meeting meeting;
	const struct slots_request request = {.data = "x", .len = 1};
	pthread_t keeper;
	unsigned missed = 0;
	if (!lease_memory_open_once(&meeting.m))
		return;
	CHECK_INT(pthread_create(&keeper, NULL, leave, &meeting), 0);
	for (unsigned i = 0; i < MEETINGS; i++) {
		unsigned slot = 1;
		bool wake = false;
		slots_set_coming(&meeting.m.keeper, 0, true);
		atomic_fetch_add(&meeting.turn, 1);
		int rc = slots_submit(&meeting.m.client, &request, &slot, &wake);
		atomic_fetch_add(&meeting.turn, 1);
		wait_for_turn(&meeting, 3 * i + 3);
		missed += rc < 0 || slot != 0 || (!wake && !meeting.seen);
		missed += !slots_withdraw(&meeting.m.client, slot);
	}
	pthread_join(keeper, NULL);
	CHECK_INT(missed, 0);
	lease_memory_close(&meeting.m);
}

SUITE_MAIN("slots_stress", TEST(test_one_at_a_time), TEST(test_one_at_a_time_spinning),
	TEST(test_many_outstanding), TEST(test_a_few_outstanding_spinning),
	TEST(test_nobody_is_missed))
