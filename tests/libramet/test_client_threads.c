/* One handle, many threads: no answer goes astray, no wait is forgotten. Run under the tsan preset
 * too. */
#include "base/clock.h"
#include "base/err.h"
#include "ramet/ramet.h"
#include "tests/lib/suite.h"
#include "tests/libramet/client_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 8
#define ROUNDS 200
#define LOOKED_AT 5000
#define LONG_NS (20 * NSEC_PER_SEC) /* nothing takes so long unless a wake-up is lost */

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
	struct fixture f;
	struct shared s = {0};
	pthread_t threads[THREADS];
	REQUIRE(setup(&f) == 0);
	s.ramet = f.ramet;
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, call_many, &s);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(s.good, THREADS * ROUNDS);
	teardown(&f);
}

/* a thread polls in its wait while another one sends */
static void test_cancel_from_another_thread(void)
{
	struct fixture f;
	struct ramet_call *call;
	struct ramet_err err = {0};
	pthread_t thread;
	REQUIRE(setup(&f) == 0);
	for (int i = 0; i < 20; i++) {
		REQUIRE_OK(ramet_call_async(f.ramet, "slow", "1", 1, NULL, &call, &err), &err);
		pthread_create(&thread, NULL, cancel_it, call);
		CHECK_INT(ramet_wait(call, -1, NULL, &err), RAMET_ECANCELED);
		pthread_join(thread, NULL);
		ramet_call_free(call);
	}
	teardown(&f);
}

struct looker {
	struct ramet_call *call; /* has no answer */
	atomic_bool stop;
	unsigned looks;
};

static void *look_again_and_again(void *arg)
{
	struct looker *l = arg;
	for (; !atomic_load(&l->stop); l->looks++)
		if (ramet_wait(l->call, 0, NULL, NULL) != RAMET_ETIMEOUT)
			break;
	return NULL;
}

/* what one that only looks takes from the connection is what another one sleeps for */
static void test_looking_delays_nobody(void)
{
	struct fixture f;
	struct looker l = {0};
	struct ramet_err err = {0};
	pthread_t thread;
	REQUIRE(setup(&f) == 0);
	REQUIRE_OK(ramet_call_async(f.ramet, "slow", "1", 1, NULL, &l.call, &err), &err);
	pthread_create(&thread, NULL, look_again_and_again, &l);
	uint64_t begin = now_ns();
	for (int i = 0; i < LOOKED_AT && now_ns() - begin < LONG_NS; i++) {
		struct ramet_call *call;
		REQUIRE_OK(ramet_call_async(f.ramet, "echo", "1", 1, NULL, &call, &err), &err);
		CHECK_INT(ramet_wait(call, LONG_NS / NSEC_PER_MSEC, NULL, &err), 0);
		ramet_call_free(call);
	}
	CHECK(now_ns() - begin < LONG_NS);
	atomic_store(&l.stop, true);
	pthread_join(thread, NULL);
	CHECK(l.looks > 0);
	ramet_call_free(l.call);
	teardown(&f);
}

static void *free_it(void *arg)
{
	ramet_call_free(arg);
	return NULL;
}

/* who waits for any call learns that there is none any more */
static void test_free_from_another_thread(void)
{
	struct fixture f;
	struct ramet_call *call;
	struct ramet_err err = {0};
	pthread_t thread;
	REQUIRE(setup(&f) == 0);
	for (int i = 0; i < 20; i++) {
		struct ramet_call *any = NULL;
		REQUIRE_OK(ramet_call_async(f.ramet, "slow", "1", 1, NULL, &call, &err), &err);
		pthread_create(&thread, NULL, free_it, call);
		CHECK_INT(ramet_wait_any(f.ramet, NULL, 0, LONG_NS / NSEC_PER_MSEC, &any, &err),
			RAMET_ENOTFOUND);
		pthread_join(thread, NULL);
	}
	teardown(&f);
}

SUITE_MAIN("client_threads", TEST(test_looking_delays_nobody), TEST(test_free_from_another_thread),
	TEST(test_calls_side_by_side), TEST(test_cancel_from_another_thread))
