/* Leases on other nodes, as far as they differ from those here: where they are taken, and nodes
 * that end. (What is alike is tested by the suites that are built for another node, CALL_NODE.) */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/calls/call_cluster.h"
#include "tests/lib/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CROWD 64 /* instances that a node has at most */
#define ROUNDS 50
#define SOON_NS (15 * NSEC_PER_SEC)

static struct call_cluster cluster;

static void test_begin(void)
{
	struct ramet_deploy_options there = ramet_deploy_options_default();
	there.node = 2;
	REQUIRE(call_cluster_open(&cluster, 3));
	CHECK(call_deploy(&cluster, "native", "patient", NULL));
	CHECK(call_deploy(&cluster, "native", "nap", NULL));
	CHECK(call_deploy(&cluster, "native", "echo", &there));
	CHECK(call_deploy(&cluster, "native", "blob", &there));
}

static pid_t daemon_of(unsigned node)
{
	char path[sizeof(cluster.dir) + 32];
	int pid = 0;
	snprintf(path, sizeof(path), "%s/node%u/pid", cluster.dir, node);
	FILE *file = fopen(path, "re");
	CHECK(file && fscanf(file, "%d", &pid) == 1);
	if (file)
		fclose(file);
	return pid;
}

/* calls function on that node until its calls go through a lease; false: a check failed */
static bool lease_on(const char *function, uint32_t node)
{
	struct ramet_call_options options = ramet_call_options_default();
	uint64_t deadline = now_ns() + SOON_NS;
	options.node = node;
	while (now_ns() < deadline) {
		struct ramet_result *r =
			call_end(call_begin(cluster.ramet, function, "0", &options), 0);
		bool leased = r && r->node == node && call_was_leased(r);
		ramet_result_free(r);
		if (leased)
			return true;
	}
	return CHECK(!"no lease there");
}

/* our node is full of others' calls: those that may run anywhere go to another, and are leased
 * there
 */
static void test_where_there_is_room(void)
{
	struct ramet_call_options options = ramet_call_options_default();
	struct ramet_call *crowd[CROWD];
	unsigned leased = 0;
	REQUIRE(cluster.ramet != NULL);
	options.node = 1;
	for (unsigned i = 0; i < CROWD; i++)
		crowd[i] = call_begin(cluster.ramet, "patient", "1", &options);
	uint64_t deadline = now_ns() + SOON_NS;
	while (leased < 20 && now_ns() < deadline) {
		struct ramet_result *r = call_expect(cluster.ramet, "echo", "5", 0);
		leased += r && r->node != 1 && call_was_leased(r);
		ramet_result_free(r);
	}
	CHECK_INT(leased, 20);
	for (unsigned i = 0; i < CROWD; i++)
		ramet_call_free(crowd[i]);
}

struct naps { /* on their way at once: more than a node's capacity, fewer than all nodes' */
	struct ramet_call *calls[CROWD];
	unsigned count;
};

static void naps_begin(struct naps *naps)
{
	struct ramet_call_options anywhere = ramet_call_options_default();
	for (unsigned i = 0; i < naps->count; i++)
		naps->calls[i] = call_begin(cluster.ramet, "nap", "30", &anywhere);
}

/* each is waited for and begun again; how many of them ran on node 1, and how many through leases
 * there */
static void naps_again(struct naps *naps, unsigned *ret_here, unsigned *ret_leased)
{
	*ret_here = *ret_leased = 0;
	for (unsigned i = 0; i < naps->count; i++) {
		struct ramet_result *r = naps->calls[i] ? call_end(naps->calls[i], 0) : NULL;
		*ret_here += r && r->node == 1;
		*ret_leased += r && r->node == 1 && call_was_leased(r);
		ramet_result_free(r);
	}
	naps_begin(naps);
}

static void naps_end(struct naps *naps)
{
	for (unsigned i = 0; i < naps->count; i++)
		ramet_call_free(naps->calls[i]);
}

/* While there was room nowhere else, node 1 has given more leases than it has room for: when there
 * is, slow calls go there. */
static void test_slow_calls_leave_a_full_node(void)
{
	struct ramet_call_options options = ramet_call_options_default();
	struct naps naps = {.count = MIN((unsigned)sysconf(_SC_NPROCESSORS_ONLN) + 1, CROWD)};
	struct ramet_call *crowd[2 * CROWD];
	unsigned here = 0, leased = 0, spread = 0;
	REQUIRE(cluster.ramet != NULL);
	for (unsigned i = 0; i < 2 * CROWD; i++) {
		options.node = 2 + i % 2;
		crowd[i] = call_begin(cluster.ramet, "patient", "1", &options);
	}
	naps_begin(&naps);
	uint64_t deadline = now_ns() + SOON_NS;
	while (leased < naps.count && now_ns() < deadline)
		naps_again(&naps, &here, &leased);
	CHECK_INT(leased, naps.count);
	for (unsigned i = 0; i < 2 * CROWD; i++)
		ramet_call_free(crowd[i]);
	deadline = now_ns() + SOON_NS;
	while (spread < ROUNDS && now_ns() < deadline) {
		naps_again(&naps, &here, &leased);
		spread += here < naps.count;
	}
	CHECK_INT(spread, ROUNDS);
	naps_end(&naps);
}

/* Inputs that have gone in part, and answers that nobody reads, for longer than anybody may be
 * silent, and than leases may be idle. */
static void takes_its_time(const char *function, const void *data, size_t len, size_t answer)
{
	static const struct timespec nap = {.tv_sec = 4};
	struct ramet_call_options options = ramet_call_options_default();
	struct ramet_call *call = NULL;
	struct ramet_err err = {0};
	options.node = 2;
	options.flags = RAMET_CALL_BINARY;
	REQUIRE(lease_on(function, 2));
	REQUIRE_OK(
		ramet_call_async(cluster.ramet, function, data, len, &options, &call, &err), &err);
	nanosleep(&nap, NULL);
	struct ramet_result *r = call_end(call, 0);
	CHECK(r && call_was_leased(r) && r->output_len == answer);
	ramet_result_free(r);
}

static void test_a_client_that_takes_its_time(void)
{
	static char data[32u << 20];
	takes_its_time("echo", data, sizeof(data), sizeof(data));
	takes_its_time("blob", "33554432", 8, 33554432);
}

/* a call that runs there is lost, and says so; others go on */
static void test_a_node_that_dies(void)
{
	struct ramet_call_options options = ramet_call_options_default();
	options.node = 3;
	REQUIRE(lease_on("patient", 3) && lease_on("patient", 2));
	struct ramet_call *call = call_begin(cluster.ramet, "patient", "1", &options);
	CHECK_INT(ramet_wait(call, 30, NULL, NULL), RAMET_ETIMEOUT);
	uint64_t begin = now_ns();
	CHECK_INT(kill(daemon_of(3), SIGKILL), 0);
	struct ramet_result *r = call_end(call, RAMET_ELOST);
	CHECK(now_ns() - begin < SOON_NS);
	CHECK(r && r->failure && r->failure->node == 3);
	ramet_result_free(r);
	CHECK(lease_on("patient", 2));
}

static void test_a_node_that_ends(void)
{
	struct ramet_call_options options = ramet_call_options_default();
	options.node = 2;
	REQUIRE(lease_on("patient", 2));
	struct ramet_call *call = call_begin(cluster.ramet, "patient", "1", &options);
	CHECK_INT(ramet_wait(call, 30, NULL, NULL), RAMET_ETIMEOUT);
	CHECK_INT(kill(daemon_of(2), SIGTERM), 0);
	ramet_result_free(call_end(call, RAMET_ELOST));
	CHECK(lease_on("patient", 1));
}

static void test_end(void)
{
	call_cluster_close(&cluster);
}

SUITE_MAIN("leases_nodes", TEST(test_begin), TEST(test_where_there_is_room),
	TEST(test_slow_calls_leave_a_full_node), TEST(test_a_client_that_takes_its_time),
	TEST(test_a_node_that_dies), TEST(test_a_node_that_ends), TEST(test_end))
