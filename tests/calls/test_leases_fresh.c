/* Functions whose every call has an instance of its own, through leases: clones wait in line, and
 * nothing passes from one call to the next. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/calls/call_cluster.h"
#include "tests/lib/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct call_cluster cluster;

static void test_begin(void)
{
	static const char *const native[] = {
		"count", "echo", "patient", "stubborn", "misbehave", "nap", "soil"};
	struct ramet_deploy_options options = ramet_deploy_options_default();
	options.fresh = "fresh";
	REQUIRE(call_cluster_open(&cluster, CALL_NODES));
	for (unsigned i = 0; i < ARRAY_LEN(native); i++)
		CHECK(call_deploy(&cluster, "native", native[i], &options));
	CHECK(call_deploy(&cluster, "python", "fail", &options));
	CHECK(call_deploy(&cluster, "python", "who", &options));
}

static void test_nothing_is_left_of_a_call(void)
{
	pid_t last = 0;
	REQUIRE(cluster.ramet != NULL);
	CHECK(call_lease(cluster.ramet, "count") > 0);
	for (unsigned i = 0; i < 200; i++) {
		struct ramet_result *r = call_expect(cluster.ramet, "count", "0", 0);
		REQUIRE(r != NULL);
		CHECK(call_was_leased(r));
		CHECK_STR((const char *)r->output, "1");
		CHECK(r->pid != last && r->pid > 0 && r->instance > 0);
		/* a node that does not have all of its pages yet forks it from the other one */
		CHECK(r->start == RAMET_START_LOCAL_FORK ||
			(CALL_NODE && r->start == RAMET_START_REMOTE_FORK));
		last = r->pid;
		ramet_result_free(r);
	}
}

static void test_random_ids_and_errors(void)
{
	char last[400] = "";
	for (unsigned i = 0; i < 10; i++) {
		struct ramet_result *r = call_expect(cluster.ramet, "who", "0", 0);
		REQUIRE(r != NULL);
		CHECK(strcmp(last, r->output) != 0);
		strncpy(last, r->output, sizeof(last) - 1);
		ramet_result_free(r);
		r = call_expect(cluster.ramet, "fail", "1", RAMET_EUSER);
		CHECK(r && r->failure && strcmp(r->failure->type, "ValueError") == 0);
		ramet_result_free(r);
	}
}

static void test_many_at_once(void)
{
	struct ramet_call *calls[100];
	CHECK(call_lease(cluster.ramet, "count") > 0);
	for (unsigned i = 0; i < ARRAY_LEN(calls); i++)
		calls[i] = call_begin(cluster.ramet, "count", "0", NULL);
	for (unsigned i = 0; i < ARRAY_LEN(calls); i++) {
		struct ramet_result *r = call_end(calls[i], 0);
		CHECK(r && strcmp(r->output, "1") == 0);
		ramet_result_free(r);
	}
	CHECK(call_lease(cluster.ramet, "nap") > 0);
	uint64_t begin = now_ns();
	for (unsigned i = 0; i < 8; i++)
		calls[i] = call_begin(cluster.ramet, "nap", "500", NULL);
	for (unsigned i = 0; i < 8; i++)
		ramet_result_free(call_end(calls[i], 0));
	CHECK(now_ns() - begin < 8 * 500 * NSEC_PER_MSEC / 2);
}

static void test_ends(void)
{
	struct ramet_call_options options = call_there();
	options.deadline_ms = 50;
	CHECK(call_lease(cluster.ramet, "stubborn") > 0);
	ramet_result_free(
		call_end(call_begin(cluster.ramet, "stubborn", "1", &options), RAMET_EDEADLINE));
	CHECK(call_lease(cluster.ramet, "patient") > 0);
	ramet_result_free(
		call_end(call_begin(cluster.ramet, "patient", "1", &options), RAMET_EDEADLINE));
	struct ramet_call *call = call_begin(cluster.ramet, "patient", "1", NULL);
	CHECK_INT(ramet_wait(call, 50, NULL, NULL), RAMET_ETIMEOUT);
	CHECK_INT(ramet_cancel(call, NULL), 0);
	ramet_result_free(call_end(call, RAMET_ECANCELED));
	for (unsigned i = 0; i < 5; i++) {
		CHECK(call_lease(cluster.ramet, "misbehave") > 0);
		struct ramet_result *r =
			call_expect(cluster.ramet, "misbehave", "\"crash\"", RAMET_ECRASH);
		CHECK(r && r->failure && r->failure->signal == SIGSEGV);
		CHECK(r && r->pid > 0 && r->instance > 0); /* whose end it was */
		CHECK(r && r->start != RAMET_START_WARM);
		ramet_result_free(r);
		ramet_result_free(
			call_expect(cluster.ramet, "misbehave", "\"exit\"", RAMET_ECRASH));
	}
}

#define SOILED 11 /* kinds; see soil() */
#define AFTERWARDS 48 /* calls: each slot has had some */

static unsigned long long find_clean(const char *mode)
{
	char how[16] = "";
	unsigned long long socket = 0;
	struct ramet_result *r = call_expect(cluster.ramet, "soil", mode, 0);
	CHECK(r && sscanf(r->output, "%15s %llu", how, &socket) == 2);
	CHECK_STR(how, "clean");
	ramet_result_free(r);
	return socket;
}

static void add_new(unsigned long long *seen, unsigned *nseen, unsigned long long socket)
{
	for (unsigned i = 0; i < *nseen; i++)
		if (seen[i] == socket)
			return;
	seen[(*nseen)++] = socket;
}

/* Clones of a line have their descriptors one after the other, and find them as new: those in which
 * something was left go. */
static void test_descriptors_are_as_new(void)
{
	unsigned long long seen[AFTERWARDS];
	CHECK(call_lease(cluster.ramet, "soil") > 0);
	for (unsigned kind = 1; kind <= SOILED; kind++) {
		char mode[16];
		unsigned nseen = 0;
		snprintf(mode, sizeof(mode), "%u", kind);
		unsigned long long soiled = find_clean(mode);
		for (unsigned i = 0; i < AFTERWARDS; i++) {
			unsigned long long socket = find_clean("0");
			CHECK(kind == SOILED || socket != soiled);
			add_new(seen, &nseen, socket);
		}
		CHECK(nseen < AFTERWARDS / 2); /* or none was given on */
	}
}

/* a client that goes leaves no line behind: the end of the daemon would be late */
static void test_clients_come_and_go(void)
{
	for (unsigned i = 0; i < 5; i++) {
		struct ramet *ramet = NULL;
		struct ramet_err err = {0};
		REQUIRE_OK(ramet_open(cluster.socket, &ramet, &err), &err);
		pid_t pid = call_lease(ramet, "patient");
		struct ramet_call *call = call_begin(ramet, "patient", "1", NULL);
		ramet_close(ramet);
		ramet_result_free(call_end(call, RAMET_ECLOSED));
		CHECK(pid > 0);
	}
}

static bool answers(const char *input, const char *output)
{
	struct ramet_result *r = call_expect(cluster.ramet, "turns", input, 0);
	bool same = r && strcmp(r->output, output) == 0;
	ramet_result_free(r);
	return same;
}

/* whatever the line does at that moment: it ends, and nobody is served by the old version */
static void test_a_new_version(void)
{
	static const char *const handlers[] = {"count", "echo"};
	static const char *const outputs[] = {"1", "7"};
	struct ramet_deploy_options options = ramet_deploy_options_default();
	struct ramet_call *calls[12];
	char file[512];
	options.fresh = "fresh";
	options.name = "turns";
	snprintf(file, sizeof(file), "%s/libcall_functions.so", CALL_LIBS);
	for (unsigned turn = 0; turn < 20; turn++) {
		struct ramet_err err = {0};
		options.handler = handlers[turn % 2];
		for (unsigned i = 0; turn > 0 && i < ARRAY_LEN(calls); i++)
			calls[i] = call_begin(cluster.ramet, "turns", "7", NULL);
		REQUIRE_OK(ramet_deploy(cluster.ramet, file, &options, NULL, &err), &err);
		for (unsigned i = 0; turn > 0 && i < ARRAY_LEN(calls); i++)
			ramet_result_free(call_end(calls[i], 0));
		for (unsigned i = 0; i < 5; i++)
			CHECK(answers("7", outputs[turn % 2]));
	}
}

static void test_end(void)
{
	call_cluster_close(&cluster);
}

SUITE_MAIN("leases_fresh", TEST(test_begin), TEST(test_nothing_is_left_of_a_call),
	TEST(test_random_ids_and_errors), TEST(test_many_at_once), TEST(test_ends),
	TEST(test_descriptors_are_as_new), TEST(test_clients_come_and_go), TEST(test_a_new_version),
	TEST(test_end))
