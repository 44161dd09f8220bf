/* Calls through leases, in a cluster of daemons: what they return, where they go, and how leases
 * come and go. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/calls/call_cluster.h"
#include "tests/lib/suite.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONE_AFTER_ANOTHER 50
#define WORTH_WAITING_NS 200000 /* as in libramet/channel_slots_place.c */
#define STUCK_NS (2 * WORTH_WAITING_NS)
#define SLOTS 16 /* of a lease */
#define LEARNED 60 /* calls; what was before them has a part in 3,000 of the mean */

static struct call_cluster cluster;

static void test_begin(void)
{
	REQUIRE(call_cluster_open(&cluster, CALL_NODES));
	CHECK(call_deploy(&cluster, "native", "echo", NULL));
	CHECK(call_deploy(&cluster, "native", "nap", NULL));
	CHECK(call_deploy(&cluster, "native", "blob", NULL));
	CHECK(call_deploy(&cluster, "python", "who", NULL));
}

static void test_results(void)
{
	struct ramet_call_options options = call_there();
	REQUIRE(cluster.ramet != NULL);
	pid_t pid = call_lease(cluster.ramet, "echo");
	struct ramet_result *r = call_expect(cluster.ramet, "echo", "[1, \"two\"]", 0);
	REQUIRE(r != NULL);
	CHECK(call_was_leased(r));
	CHECK_STR(r->function, "echo");
	CHECK_STR((const char *)r->output, "[1, \"two\"]");
	CHECK(!r->binary && !r->failure && strlen(r->version) >= 16);
	CHECK_INT(r->start, RAMET_START_WARM);
	CHECK_INT(r->node, CALL_RUNS_ON);
	CHECK_INT(r->pid, pid);
	CHECK(r->instance > 0 && r->total_us > 0 && r->run_us <= r->total_us);
	ramet_result_free(r);

	CHECK(call_lease(cluster.ramet, "who") > 0);
	options.rank = 3;
	options.group = 5;
	r = call_end(call_begin(cluster.ramet, "who", "null", &options), 0);
	REQUIRE(r != NULL);
	CHECK_INT(r->rank, 3);
	CHECK(strstr(r->output, "\"rank\": 3") && strstr(r->output, "\"size\": 5") &&
		strstr(r->output, CALL_NODE ? "\"node\": 2" : "\"node\": 1"));
	ramet_result_free(r);
}

static void test_ids_are_unique(void)
{
	char first[40] = "";
	char text[2][300];
	for (int i = 0; i < 2; i++) {
		struct ramet_call *call = call_begin(cluster.ramet, "who", "null", NULL);
		char id[40];
		CHECK_INT(ramet_call_id(call, id, sizeof(id), -1, NULL), 0);
		CHECK(strcmp(id, first) != 0);
		memcpy(first, id, sizeof(id));
		struct ramet_result *r = call_end(call, 0);
		REQUIRE(r != NULL);
		CHECK_STR(r->call, id);
		snprintf(text[i], sizeof(text[i]), "%s", (const char *)r->output);
		ramet_result_free(r);
	}
	CHECK(strcmp(text[0], text[1]) != 0); /* the function sees a random id */
}

static void test_every_size(void)
{
	static const size_t sizes[] = {
		0, 1, 4000, 4096, 65535, 65536, 65537, 5u << 20, RAMET_MAX_PAYLOAD};
	struct ramet_call_options options = call_there();
	char *data = malloc(RAMET_MAX_PAYLOAD);
	options.flags = RAMET_CALL_BINARY;
	memset(data, 'x', RAMET_MAX_PAYLOAD);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct ramet_result *r = NULL;
		struct ramet_err err = {0};
		data[sizes[i] ? sizes[i] - 1 : 0] = (char)('a' + i);
		CHECK(call_lease(cluster.ramet, "echo") > 0); /* the last one may have taken long */
		REQUIRE_OK(ramet_call(cluster.ramet, "echo", data, sizes[i], &options, &r, &err),
			&err);
		CHECK_INT(r->output_len, sizes[i]);
		CHECK(r->binary && memcmp(r->output, data, sizes[i]) == 0 &&
			((const char *)r->output)[sizes[i]] == '\0');
		CHECK(call_was_leased(r));
		ramet_result_free(r);
	}
	free(data);
}

/* results that lie in a lease's memory: as many as one likes, and for longer than the handle */
static void test_results_in_place_are_kept(void)
{
	struct ramet_result *kept[20];
	struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	REQUIRE_OK(ramet_open(cluster.socket, &ramet, &err), &err);
	CHECK(call_lease(ramet, "blob") > 0);
	for (unsigned i = 0; i < ARRAY_LEN(kept); i++) {
		char size[16];
		snprintf(size, sizeof(size), "%u", 100000 + i);
		kept[i] = call_expect(ramet, "blob", size, 0);
	}
	ramet_close(ramet);
	for (unsigned i = 0; i < ARRAY_LEN(kept); i++) {
		REQUIRE(kept[i] != NULL);
		CHECK_INT(kept[i]->output_len, 100000 + i);
		CHECK(((const char *)kept[i]->output)[100000 + i - 1] == 'b' &&
			((const char *)kept[i]->output)[100000 + i] == 0);
		ramet_result_free(kept[i]);
	}
}

/* calls that take long do not queue behind each other, though one instance would have slots for all
 */
static void test_long_calls_run_side_by_side(void)
{
	struct ramet_call *calls[12];
	CHECK(call_lease(cluster.ramet, "nap") > 0);
	ramet_result_free(call_expect(cluster.ramet, "nap", "20", 0)); /* so much is known of it */
	uint64_t begin = now_ns();
	for (unsigned i = 0; i < ARRAY_LEN(calls); i++)
		calls[i] = call_begin(cluster.ramet, "nap", "400", NULL);
	for (unsigned i = 0; i < ARRAY_LEN(calls); i++)
		ramet_result_free(call_end(calls[i], 0));
	CHECK(now_ns() - begin < 12 * 400 * NSEC_PER_MSEC / 2);
}

static void test_many_short_ones_share_an_instance(void)
{
	struct ramet_call *calls[64];
	unsigned leased = 0;
	CHECK(call_lease(cluster.ramet, "echo") > 0);
	uint64_t begin = now_ns();
	for (unsigned i = 0; i < ONE_AFTER_ANOTHER; i++)
		ramet_result_free(call_expect(cluster.ramet, "echo", "7", 0));
	uint64_t each = (now_ns() - begin) / ONE_AFTER_ANOTHER;
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < ARRAY_LEN(calls); i++)
			calls[i] = call_begin(cluster.ramet, "echo", "7", NULL);
		for (unsigned i = 0; i < ARRAY_LEN(calls); i++) {
			struct ramet_result *r = call_end(calls[i], 0);
			leased += call_was_leased(r);
			ramet_result_free(r);
		}
	}
	if (leased <= 20 * 64 / 2 && each > STUCK_NS / 2)
		suite_skip("calls take so long here that they do not wait for each other");
	else
		CHECK(leased > 20 * 64 / 2);
}

/* Places in front of an instance are bounded: who does not want to wait for one is told. It has to
 * be quick: what is stuck for longer than a start takes has the next ones go by the socket. */
static int fill_places(
	struct ramet *ramet, struct ramet_call *calls[], unsigned most, unsigned *ret_sent)
{
	struct ramet_call_options options = call_there();
	struct ramet_err err = {0};
	int rc = 0;
	options.flags = RAMET_CALL_NOWAIT;
	for (*ret_sent = 0; rc == 0 && *ret_sent < most; *ret_sent += rc == 0)
		rc = ramet_call_async(ramet, "blob", "1", 1, &options, &calls[*ret_sent], &err);
	return rc;
}

/* How long a call runs, so that it is known to be quick: where it is not, no other waits behind it.
 * The slowest of so many that those before them weigh nothing: what is learned is not more. */
static double learn_time(struct ramet *ramet)
{
	double us = 0;
	for (unsigned i = 0; i < LEARNED; i++) {
		struct ramet_result *r = call_expect(ramet, "blob", "1", 0);
		us = r ? MAX(us, r->run_us) : us;
		ramet_result_free(r);
	}
	return us;
}

/* One round, with a handle of its own, so with one lease: what once went by the socket makes more
 * of them. Whether its places became full; *io_fastest: of rounds in which that is to be expected.
 */
static bool becomes_full(uint64_t *io_fastest)
{
	struct ramet_call *calls[40] = {0};
	struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	unsigned sent = 0;
	if (!suite_check_ok(ramet_open(cluster.socket, &ramet, &err), &err, "ramet_open", __FILE__,
		    __LINE__))
		return false;
	pid_t pid = call_lease(ramet, "blob");
	bool worth_waiting = learn_time(ramet) * 1e3 * SLOTS < WORTH_WAITING_NS;
	CHECK_INT(kill(pid, SIGSTOP), 0);
	uint64_t begin = now_ns();
	bool full = fill_places(ramet, calls, ARRAY_LEN(calls), &sent) == RAMET_EAGAIN;
	if (worth_waiting)
		*io_fastest = MIN(*io_fastest, now_ns() - begin);
	CHECK(!full || sent >= 8);
	CHECK_INT(kill(pid, SIGCONT), 0);
	for (unsigned i = 0; i < sent; i++)
		ramet_result_free(call_end(calls[i], 0));
	ramet_close(ramet);
	return full;
}

static void test_back_pressure(void)
{
	uint64_t fastest = UINT64_MAX;
	bool full = false;
	for (unsigned round = 0; round < 50 && !full; round++)
		full = becomes_full(&fastest);
	if (!full && fastest == UINT64_MAX)
		suite_skip("calls take so long here that they do not wait for each other");
	else if (!full && fastest > STUCK_NS)
		suite_skip("so many calls take longer here than one may be stuck");
	else
		CHECK(full);
}

struct worker {
	pthread_t thread;
	unsigned good;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	for (unsigned i = 0; i < 300; i++) {
		char text[32];
		struct ramet_result *r = NULL;
		snprintf(text, sizeof(text), "%p%u", arg, i);
		if (ramet_call(cluster.ramet, "echo", text, strlen(text),
			    &(struct ramet_call_options){sizeof(struct ramet_call_options),
				    RAMET_CALL_BINARY, 0, 0, 0, 0, 0},
			    &r, NULL) == 0)
			w->good += r->output_len == strlen(text) &&
				memcmp(r->output, text, strlen(text)) == 0;
		ramet_result_free(r);
	}
	return NULL;
}

static void test_threads_share_a_handle(void)
{
	struct worker workers[6] = {0};
	for (unsigned i = 0; i < ARRAY_LEN(workers); i++)
		CHECK_INT(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (unsigned i = 0; i < ARRAY_LEN(workers); i++) {
		pthread_join(workers[i].thread, NULL);
		CHECK_INT(workers[i].good, 300);
	}
}

/* what other threads wait for inside ramet_call() is not found */
static void test_any_call_is_one_that_was_sent_off(void)
{
	struct worker workers[3] = {0};
	for (unsigned i = 0; i < ARRAY_LEN(workers); i++)
		CHECK_INT(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (unsigned i = 0; i < 20; i++) {
		struct ramet_call *any = NULL;
		struct ramet_call *call = call_begin(cluster.ramet, "nap", "5", NULL);
		CHECK_INT(ramet_wait_any(cluster.ramet, NULL, 0, 10000, &any, NULL), 0);
		CHECK(any == call);
		ramet_result_free(call_end(call, 0));
		CHECK_INT(
			ramet_wait_any(cluster.ramet, NULL, 0, 10000, &any, NULL), RAMET_ENOTFOUND);
	}
	for (unsigned i = 0; i < ARRAY_LEN(workers); i++) {
		pthread_join(workers[i].thread, NULL);
		CHECK_INT(workers[i].good, 300);
	}
}

static void test_a_descriptor_to_poll(void)
{
	struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	REQUIRE_OK(ramet_open(cluster.socket, &ramet, &err), &err);
	CHECK(call_lease(ramet, "echo") > 0);
	struct pollfd pfd = {.fd = ramet_fd(ramet), .events = POLLIN};
	for (unsigned i = 0; i < 200; i++) {
		struct ramet_call *any = NULL;
		struct ramet_call *call = call_begin(ramet, "echo", "1", NULL);
		do
			CHECK_INT(poll(&pfd, 1, 10000), 1);
		while (ramet_wait_any(ramet, NULL, 0, 0, &any, NULL) == RAMET_ETIMEOUT);
		CHECK(any == call);
		ramet_result_free(call_end(call, 0));
	}
	/* a wake-up may be late, but it is the last one */
	unsigned late = 0;
	while (late < 3 && poll(&pfd, 1, 20) == 1) {
		struct ramet_call *any = NULL;
		late++;
		CHECK_INT(ramet_wait_any(ramet, NULL, 0, 0, &any, NULL), RAMET_ENOTFOUND);
	}
	CHECK(late < 3);
	ramet_close(ramet);
}

/* what is forgotten while it runs harms nobody */
static void test_forgotten_calls(void)
{
	CHECK(call_lease(cluster.ramet, "nap") > 0);
	for (unsigned i = 0; i < 30; i++) {
		struct ramet_call *call = call_begin(cluster.ramet, "nap", "1", NULL);
		ramet_call_free(call);
	}
	ramet_result_free(call_expect(cluster.ramet, "nap", "0", 0));
}

static void test_a_new_version_takes_over(void)
{
	struct ramet_deploy_options options = ramet_deploy_options_default();
	const char *const env[] = {"GENERATION=2", NULL};
	char before[100];
	CHECK(call_lease(cluster.ramet, "echo") > 0);
	struct ramet_result *r = call_expect(cluster.ramet, "echo", "1", 0);
	REQUIRE(r != NULL);
	snprintf(before, sizeof(before), "%s", r->version);
	ramet_result_free(r);
	options.env = env;
	CHECK(call_deploy(&cluster, "native", "echo", &options));
	r = call_expect(cluster.ramet, "echo", "1", 0);
	REQUIRE(r != NULL);
	CHECK(strcmp(r->version, before) != 0); /* from the first call after the answer on */
	ramet_result_free(r);
	CHECK(call_lease(cluster.ramet, "echo") > 0);
}

static void test_a_removed_function(void)
{
	CHECK(call_deploy(&cluster, "native", "patient", NULL));
	CHECK(call_lease(cluster.ramet, "patient") > 0);
	struct ramet_call *call = call_begin(cluster.ramet, "patient", "1", NULL);
	CHECK_INT(ramet_wait(call, 50, NULL, NULL), RAMET_ETIMEOUT);
	CHECK_INT(ramet_remove(cluster.ramet, "patient", NULL), 0);
	ramet_result_free(call_end(call, RAMET_EREVOKED));
	ramet_result_free(call_expect(cluster.ramet, "patient", "0", RAMET_ENOTFOUND));
}

static FILE *run_ramet(const char *arguments)
{
	char command[512];
	snprintf(command, sizeof(command), "RAMET_SOCKET=%s %s/ramet %s", cluster.socket,
		getenv("RAMET_BIN"), arguments);
	return popen(command, "re");
}

static void test_output_belongs_to_its_call(void)
{
	CHECK(call_deploy(&cluster, "native", "noisy", NULL));
	CHECK(call_lease(cluster.ramet, "noisy") > 0);
	for (unsigned i = 1; i <= 3; i++) {
		char text[64];
		char line[256];
		unsigned lines = 0;
		snprintf(text, sizeof(text), "%u", i);
		struct ramet_result *r = call_expect(cluster.ramet, "noisy", text, 0);
		REQUIRE(r != NULL && call_was_leased(r));
		snprintf(line, sizeof(line), "logs --call %s", r->call);
		FILE *logs = run_ramet(line);
		snprintf(text, sizeof(text), "this is %u", i);
		while (logs && fgets(line, sizeof(line), logs)) {
			CHECK(strstr(line, text) != NULL);
			lines++;
		}
		CHECK_INT(lines, 1);
		CHECK(logs != NULL && pclose(logs) == 0);
		ramet_result_free(r);
	}
}

/* what `ramet ps` says of a process: "leased", "idle" */
static void state_of(pid_t pid, char state[16])
{
	char line[512];
	FILE *ps = run_ramet("ps");
	state[0] = '\0';
	while (ps && fgets(line, sizeof(line), ps)) {
		int found = 0;
		char word[16];
		if (sscanf(line, "%*s %*s %d %*s %15s", &found, word) == 2 && found == pid)
			memcpy(state, word, sizeof(word));
	}
	CHECK(ps != NULL && pclose(ps) == 0);
}

static void test_an_idle_lease_is_taken_back(void)
{
	uint64_t deadline = now_ns() + 20 * NSEC_PER_SEC;
	pid_t pid = call_lease(cluster.ramet, "nap");
	char state[16];
	state_of(pid, state);
	CHECK_STR(state, "leased");
	while (strcmp(state, "leased") == 0 && now_ns() < deadline)
		state_of(pid, state);
	CHECK_STR(state, "idle");
	CHECK(call_lease(cluster.ramet, "nap") > 0);
}

static void test_end(void)
{
	call_cluster_close(&cluster);
}

SUITE_MAIN("leases", TEST(test_begin), TEST(test_results), TEST(test_ids_are_unique),
	TEST(test_every_size), TEST(test_results_in_place_are_kept),
	TEST(test_long_calls_run_side_by_side), TEST(test_many_short_ones_share_an_instance),
	TEST(test_back_pressure), TEST(test_threads_share_a_handle),
	TEST(test_any_call_is_one_that_was_sent_off), TEST(test_a_descriptor_to_poll),
	TEST(test_forgotten_calls), TEST(test_a_new_version_takes_over),
	TEST(test_a_removed_function), TEST(test_output_belongs_to_its_call),
	TEST(test_an_idle_lease_is_taken_back), TEST(test_end))
