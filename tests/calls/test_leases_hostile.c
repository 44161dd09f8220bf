/* Clients that have a lease and do with their connection what libramet never does: rametd goes on
 * serving the others. */
#include "base/cleanup.h"
#include "tests/calls/call_cluster.h"
#include "tests/calls/raw_client.h"
#include "tests/lib/suite.h"

#include <signal.h>
#include <sys/socket.h>

static struct call_cluster cluster;

static void test_begin(void)
{
	static const char *const native[] = {"count", "echo"};
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

static void test_end(void)
{
	call_cluster_close(&cluster);
}

SUITE_MAIN("leases_hostile", TEST(test_begin), TEST(test_deaf_when_the_instance_dies),
	TEST(test_an_instance_that_does_not_return), TEST(test_end))
