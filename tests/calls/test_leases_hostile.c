/* Clients that have a lease and do with their connection what libramet never does: rametd goes on
 * serving the others. */
#include "base/cleanup.h"
#include "runtime/slots/layout.h"
#include "runtime/slots/slots.h"
#include "tests/calls/call_cluster.h"
#include "tests/calls/raw_client.h"
#include "tests/lib/suite.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static struct call_cluster cluster;

static void test_begin(void)
{
	static const char *const native[] = {"count", "echo", "nap"};
	REQUIRE(call_cluster_open(&cluster, 1));
	for (unsigned i = 0; i < ARRAY_LEN(native); i++)
		CHECK(call_deploy(&cluster, "native", native[i], NULL));
}

/* what it is told of the death cannot be sent: its connection is closed in the middle of that */
static void test_deaf_when_the_instance_dies(void)
{
	struct raw_client c;
	struct raw_lease lease;
	REQUIRE(cluster.ramet != NULL);
	ramet_result_free(call_expect(cluster.ramet, "count", "0", 0));
	REQUIRE(raw_open(&c, cluster.socket));
	REQUIRE(raw_lease(&c, "count", &lease));
	CHECK_INT(shutdown(c.fd, SHUT_RD), 0);
	CHECK_INT(kill(lease.pid, SIGKILL), 0);
	for (unsigned i = 0; i < 20; i++)
		ramet_result_free(call_expect(cluster.ramet, "count", "0", 0));
	raw_lease_close(&lease);
	raw_close(&c);
}

/* stopped, or busy with what its client says is done: it is not lost for the others */
static void test_an_instance_that_does_not_return(void)
{
	struct raw_client c;
	struct raw_lease lease;
	ramet_result_free(call_expect(cluster.ramet, "echo", "0", 0));
	REQUIRE(raw_open(&c, cluster.socket));
	REQUIRE(raw_lease(&c, "echo", &lease));
	CHECK_INT(kill(lease.pid, SIGSTOP), 0);
	raw_ask(&c, "cancel", "of", NULL, lease.req, -1);
	CHECK(raw_answer(&c, lease.req, "ended"));
	CHECK(kill(lease.pid, 0) < 0);
	ramet_result_free(call_expect(cluster.ramet, "echo", "0", 0));
	raw_lease_close(&lease);
	raw_close(&c);
}

struct obstinate {
	struct raw_lease lease;
	atomic_bool stop, told;
	atomic_uint calls;
};

/* Many at a time, whatever it is told. */
static void *goes_on_calling(void *arg)
{
	struct obstinate *o = arg;
	struct slots_client client = {0};
	const struct slots_request request = {.data = "20", .len = 2};
	unsigned slot;
	bool wake;
	if (!CHECK_INT(slots_open(dup(o->lease.memory_fd), &client.slots, NULL), 0))
		return NULL;
	bool last = false;
	while (!last) {
		last = atomic_load(&o->stop); /* and what was answered before that */
		atomic_store(&client.slots.header->closing, 0);
		while (slots_submit(&client, &request, &slot, &wake) == 0)
			o->calls++;
		(void)eventfd_write(o->lease.wake_fd, 1);
		for (slot = 0; slot < SLOTS_COUNT; slot++)
			if (client.used & 1u << slot && slots_done(&client, slot)) {
				struct slots_answer answer = {0};
				(void)slots_answer(&client, slot, &answer);
				if (answer.status == RAMET_EPROTO)
					atomic_store(&o->told, true);
				slots_release(&client, slot);
			}
	}
	slots_close(&client.slots);
	return NULL;
}

/* nor for what never gives it back */
static void test_a_client_that_goes_on_calling(void)
{
	struct raw_client c;
	struct obstinate o = {0};
	pthread_t thread;
	struct ramet_deploy_options options = ramet_deploy_options_default();
	ramet_result_free(call_expect(cluster.ramet, "nap", "0", 0));
	REQUIRE(raw_open(&c, cluster.socket));
	REQUIRE(raw_lease(&c, "nap", &o.lease));
	CHECK_INT(pthread_create(&thread, NULL, goes_on_calling, &o), 0);
	while (atomic_load(&o.calls) < 20)
		sched_yield();
	options.deadline_ms = 12345;
	CHECK(call_deploy(&cluster, "native", "nap", &options)); /* another version */
	CHECK(raw_answer(&c, o.lease.req, "ended"));
	CHECK(kill(o.lease.pid, 0) < 0);
	atomic_store(&o.stop, true);
	pthread_join(thread, NULL);
	CHECK(o.told); /* else the version's end was the end of it */
	ramet_result_free(call_expect(cluster.ramet, "nap", "0", 0));
	raw_lease_close(&o.lease);
	raw_close(&c);
}

/* A call in the slots that the instance does not begin: for it is not in the ring, or because it
 * was told to begin none. */
static void never_begun(bool halted)
{
	struct raw_client c;
	struct raw_lease lease;
	struct slots_client client = {0};
	const struct slots_request request = {.data = "0", .len = 1};
	struct ramet_deploy_options options = ramet_deploy_options_default();
	unsigned slot;
	bool wake;
	ramet_result_free(call_expect(cluster.ramet, "nap", "0", 0));
	REQUIRE(raw_open(&c, cluster.socket));
	REQUIRE(raw_lease(&c, "nap", &lease));
	REQUIRE(slots_open(dup(lease.memory_fd), &client.slots, NULL) == 0);
	if (halted) {
		atomic_store(&client.slots.header->halted, 1);
		CHECK_INT(slots_submit(&client, &request, &slot, &wake), 0);
		CHECK_INT(eventfd_write(lease.wake_fd, 1), 0);
	} else {
		atomic_store(&client.slots.slot[3].word, SLOT_WORD(1, SLOT_READY));
	}
	options.deadline_ms = halted ? 23456 : 34567;
	CHECK(call_deploy(&cluster, "native", "nap", &options)); /* another version */
	CHECK(raw_answer(&c, lease.req, "ended"));
	CHECK(kill(lease.pid, 0) < 0);
	slots_close(&client.slots);
	raw_lease_close(&lease);
	raw_close(&c);
	ramet_result_free(call_expect(cluster.ramet, "nap", "0", 0));
}

static void test_what_is_never_begun(void)
{
	never_begun(true);
	never_begun(false);
}

static void test_end(void)
{
	call_cluster_close(&cluster);
}

SUITE_MAIN("leases_hostile", TEST(test_begin), TEST(test_deaf_when_the_instance_dies),
	TEST(test_an_instance_that_does_not_return), TEST(test_a_client_that_goes_on_calling),
	TEST(test_what_is_never_begun), TEST(test_end))
