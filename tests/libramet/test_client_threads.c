/* One handle, many threads: no answer goes astray, no wait is forgotten. Run under the tsan preset
 * too. */
#include "base/err.h"
#include "ramet/ramet.h"
#include "tests/lib/suite.h"
#include "tests/libramet/fake_daemon.h"
#include "tests/libramet/temp_dir.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 8
#define ROUNDS 200

struct shared {
	struct ramet *ramet;
	atomic_uint good;
	unsigned number;
};

static void *call_many(void *arg)
{
	struct shared *s = arg;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ramet_result *r = NULL;
		char data[32];
		int len = snprintf(data, sizeof(data), "%lu%u", (unsigned long)pthread_self(), i);
		if (ramet_call(s->ramet, "echo", data, (size_t)len, NULL, &r, NULL) == 0 &&
			strcmp(r->output, data) == 0)
			s->good++;
		ramet_result_free(r);
	}
	return NULL;
}

static void *cancel_it(void *arg)
{
	ramet_cancel(arg, NULL);
	return NULL;
}

static void test_calls_side_by_side(void)
{
	struct temp_dir dir;
	struct shared s = {0};
	struct ramet_err err = {0};
	pthread_t threads[THREADS];
	temp_dir_make(&dir);
	struct fake_daemon *fake = fake_daemon_start(temp_dir_join(&dir, "sock"), 1);
	REQUIRE(fake != NULL);
	REQUIRE_OK(ramet_open(dir.joined, &s.ramet, &err), &err);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, call_many, &s);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(s.good, THREADS * ROUNDS);
	ramet_close(s.ramet);
	fake_daemon_stop(fake);
	temp_dir_remove(&dir);
}

/* a thread polls in its wait while another one sends */
static void test_cancel_from_another_thread(void)
{
	struct temp_dir dir;
	struct ramet *ramet;
	struct ramet_call *call;
	struct ramet_err err = {0};
	pthread_t thread;
	temp_dir_make(&dir);
	struct fake_daemon *fake = fake_daemon_start(temp_dir_join(&dir, "sock"), 1);
	REQUIRE(fake != NULL);
	REQUIRE_OK(ramet_open(dir.joined, &ramet, &err), &err);
	for (int i = 0; i < 20; i++) {
		REQUIRE_OK(ramet_call_async(ramet, "slow", "1", 1, NULL, &call, &err), &err);
		pthread_create(&thread, NULL, cancel_it, call);
		CHECK_INT(ramet_wait(call, -1, NULL, &err), RAMET_ECANCELED);
		pthread_join(thread, NULL);
		ramet_call_free(call);
	}
	ramet_close(ramet);
	fake_daemon_stop(fake);
	temp_dir_remove(&dir);
}

SUITE_MAIN("client_threads", TEST(test_calls_side_by_side), TEST(test_cancel_from_another_thread))
