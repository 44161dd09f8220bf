/* The client's side of leases where several things happen at once: threads that wait for different
 * functions, calls that are given up before they begin, leases that end under a call. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/calls/call_cluster.h"
#include "tests/lib/suite.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct call_cluster cluster;

static void test_begin(void)
{
	REQUIRE(call_cluster_open(&cluster, 1));
	CHECK(call_deploy(&cluster, "native", "echo", NULL));
	CHECK(call_deploy(&cluster, "native", "nap", NULL));
	CHECK(call_deploy(&cluster, "native", "patient", NULL));
}

/* a lease whose calls are known to be quick: others queue behind one */
static void warm_up(struct ramet *ramet, const char *function)
{
	CHECK(call_lease(ramet, function) > 0);
	for (unsigned i = 0; i < 30; i++)
		ramet_result_free(call_expect(ramet, function, "0", 0));
}

static void test_freeing_what_has_not_begun(void)
{
	struct ramet *ramet = NULL;
	struct ramet_call *any = NULL;
	struct ramet_err err = {0};
	REQUIRE(cluster.ramet != NULL);
	REQUIRE_OK(ramet_open(cluster.socket, &ramet, &err), &err);
	warm_up(ramet, "nap");
	struct ramet_call *first = call_begin(ramet, "nap", "200", NULL);
	ramet_call_free(call_begin(ramet, "nap", "0", NULL));
	ramet_result_free(call_end(first, 0));
	/* nothing is under way, and that is known */
	CHECK_INT(ramet_wait_any(ramet, NULL, 0, 1000, &any, NULL), RAMET_ENOTFOUND);
	ramet_close(ramet);
}

static void *naps(void *arg)
{
	ramet_result_free(call_expect(arg, "nap", "3000", 0));
	return NULL;
}

/* While one thread sleeps for all, another one's calls go to an instance that was told of nobody's
 * sleep; rametd would notice, some time later. */
static void test_answers_wake_whoever_sleeps(void)
{
	pthread_t thread;
	struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	REQUIRE_OK(ramet_open(cluster.socket, &ramet, &err), &err);
	warm_up(ramet, "echo");
	warm_up(ramet, "nap");
	uint64_t begin = now_ns();
	REQUIRE(pthread_create(&thread, NULL, naps, ramet) == 0);
	for (unsigned i = 0; i < 400; i++)
		ramet_result_free(call_expect(ramet, "echo", "1", 0));
	CHECK(now_ns() - begin < 3000 * NSEC_PER_MSEC);
	pthread_join(thread, NULL);
	ramet_close(ramet);
}

/* the ring is full of calls that were withdrawn, and the instance does not come to pass them */
static void test_giving_up_many(void)
{
	struct ramet *ramet = NULL;
	struct ramet_call_options options = ramet_call_options_default();
	struct ramet_err err = {0};
	options.deadline_ms = 5000;
	REQUIRE_OK(ramet_open(cluster.socket, &ramet, &err), &err);
	warm_up(ramet, "patient");
	uint64_t begin = now_ns();
	struct ramet_call *first = call_begin(ramet, "patient", "1", &options);
	CHECK_INT(ramet_wait(first, 50, NULL, NULL), RAMET_ETIMEOUT); /* it runs */
	for (unsigned i = 0; i < 80; i++)
		ramet_call_free(call_begin(ramet, "patient", "0", NULL));
	ramet_result_free(call_expect(ramet, "patient", "0", 0));
	CHECK(now_ns() - begin < 5000 * NSEC_PER_MSEC);
	CHECK_INT(ramet_cancel(first, NULL), 0);
	ramet_result_free(call_end(first, RAMET_ECANCELED));
	ramet_close(ramet);
}

static struct {
	char *input; /* a page that cannot be read until it may be */
	size_t len;
	sem_t touched, go_on;
} slow;

static void on_touch(int signal, siginfo_t *info, void *context)
{
	sem_post(&slow.touched);
	sem_wait(&slow.go_on);
	mprotect(slow.input, slow.len, PROT_READ);
}

static void *call_slowly(void *ramet)
{
	struct ramet_call_options options = ramet_call_options_default();
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	options.flags = RAMET_CALL_BINARY;
	CHECK_INT(ramet_call(ramet, "echo", slow.input, slow.len, &options, &r, &err), 0);
	CHECK(r && r->output_len == slow.len);
	ramet_result_free(r);
	return NULL;
}

static bool is_leased(pid_t pid)
{
	char command[512];
	char line[512];
	bool leased = false;
	snprintf(command, sizeof(command), "RAMET_SOCKET=%s %s/ramet ps", cluster.socket,
		getenv("RAMET_BIN"));
	FILE *ps = popen(command, "re");
	while (ps && fgets(line, sizeof(line), ps)) {
		int found = 0;
		char word[16];
		if (sscanf(line, "%*s %*s %d %*s %15s", &found, word) == 2 && found == pid)
			leased = strcmp(word, "leased") == 0;
	}
	CHECK(ps != NULL && pclose(ps) == 0);
	return leased;
}

/* its input is still being copied when the lease is taken back for being idle */
static void test_a_lease_that_ends_under_a_call(void)
{
	const struct sigaction action = {.sa_sigaction = on_touch, .sa_flags = SA_SIGINFO};
	struct sigaction before;
	struct ramet *ramet = NULL;
	pthread_t thread;
	struct ramet_err err = {0};
	uint64_t deadline = now_ns() + 20 * NSEC_PER_SEC;
	REQUIRE_OK(ramet_open(cluster.socket, &ramet, &err), &err);
	slow.len = (size_t)sysconf(_SC_PAGESIZE);
	slow.input = mmap(NULL, slow.len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(slow.input != MAP_FAILED);
	sem_init(&slow.touched, 0, 0);
	sem_init(&slow.go_on, 0, 0);
	CHECK_INT(sigaction(SIGSEGV, &action, &before), 0);
	pid_t pid = call_lease(ramet, "echo");
	REQUIRE(pthread_create(&thread, NULL, call_slowly, ramet) == 0);
	sem_wait(&slow.touched);
	while (is_leased(pid) && now_ns() < deadline)
		;
	sem_post(&slow.go_on);
	pthread_join(thread, NULL);
	CHECK_INT(sigaction(SIGSEGV, &before, NULL), 0);
	munmap(slow.input, slow.len);
	ramet_close(ramet);
}

/* The answer to the question for a lease is read late, with the next call: that is no other clock.
 */
static void test_a_lease_that_is_noticed_late(void)
{
	struct ramet_call_options options = ramet_call_options_default();
	struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	options.deadline_ms = 1000;
	REQUIRE_OK(ramet_open(cluster.socket, &ramet, &err), &err);
	ramet_result_free(call_expect(ramet, "nap", "0", 0));
	CHECK(call_lease(cluster.ramet, "nap") > 0);
	/* all instances are leased: it goes by the socket, and what served it is asked for after */
	struct ramet_call *others[8];
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		others[i] = call_begin(cluster.ramet, "nap", "300", NULL);
	ramet_result_free(call_expect(ramet, "nap", "100", 0));
	uint64_t until = now_ns() + 1300 * NSEC_PER_MSEC;
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		ramet_result_free(call_end(others[i], 0));
	while (now_ns() < until)
		ramet_result_free(call_expect(cluster.ramet, "echo", "0", 0));
	ramet_result_free(call_end(call_begin(ramet, "nap", "0", &options), 0));
	ramet_close(ramet);
}

/* what runs through a lease when the cluster goes down ends as what runs by the socket does */
static void test_end(void)
{
	struct ramet_call_options options = ramet_call_options_default();
	options.node = 1; /* by the socket */
	CHECK(call_lease(cluster.ramet, "patient") > 0);
	struct ramet_call *leased = call_begin(cluster.ramet, "patient", "1", NULL);
	struct ramet_call *other = call_begin(cluster.ramet, "patient", "1", &options);
	CHECK_INT(ramet_wait(leased, 50, NULL, NULL), RAMET_ETIMEOUT);
	call_cluster_down(&cluster);
	ramet_result_free(call_end(other, RAMET_ECLOSED));
	ramet_result_free(call_end(leased, RAMET_ECLOSED));
	call_cluster_close(&cluster);
}

SUITE_MAIN("leases_client", TEST(test_begin), TEST(test_freeing_what_has_not_begun),
	TEST(test_answers_wake_whoever_sleeps), TEST(test_giving_up_many),
	TEST(test_a_lease_that_ends_under_a_call), TEST(test_a_lease_that_is_noticed_late),
	TEST(test_end))
