/* Events of calls through the library: their order, waiting for them, and that what is not freed is
 * not asked for. */
#include "base/clock.h"
#include "base/err.h"
#include "cluster/client_proto.h"
#include "ramet/ramet.h"
#include "tests/lib/suite.h"
#include "tests/libramet/client_fixture.h"

#include <poll.h>

static struct ramet_call *listen_to(struct fixture *f, const char *function, const char *data)
{
	struct ramet_call_options o = ramet_call_options_default();
	struct ramet_call *call = NULL;
	struct ramet_err err = {0};
	o.flags = RAMET_CALL_EVENTS;
	CHECK_INT(ramet_call_async(f->ramet, function, data, strlen(data), &o, &call, &err), 0);
	return call;
}

static void check_chunk(struct ramet_call *call, const char *text)
{
	struct ramet_event *event = NULL;
	struct ramet_err err = {0};
	REQUIRE_OK(ramet_next_event(call, -1, &event, &err), &err);
	CHECK_INT(event->size, sizeof(*event));
	CHECK(!event->progress && !event->binary);
	CHECK_INT(event->len, strlen(text));
	CHECK_STR((const char *)event->chunk, text);
	CHECK_STR(event->text, "");
	ramet_event_free(event);
}

static void check_emitted(struct ramet_call *call)
{
	struct ramet_event *event = NULL;
	struct ramet_err err = {0};
	check_chunk(call, "[1]");
	REQUIRE_OK(ramet_next_event(call, -1, &event, &err), &err);
	CHECK(event->progress && event->fraction == 0.5);
	CHECK_STR(event->text, "halfway");
	CHECK_INT(event->len, 0);
	ramet_event_free(event);
	check_chunk(call, "[1]");
	event = NULL;
	CHECK_INT(ramet_next_event(call, -1, &event, &err), RAMET_ENOTFOUND);
	CHECK(event == NULL);
}

static void check_null(struct ramet_call *call)
{
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	REQUIRE_OK(ramet_wait(call, -1, &r, &err), &err);
	CHECK_STR(r->output, "null");
	ramet_result_free(r);
}

static void test_events_before_and_after_the_result(void)
{
	struct fixture f;
	REQUIRE(setup(&f) == 0);
	struct ramet_call *call = listen_to(&f, "emit", "[1]");
	check_emitted(call);
	check_null(call);
	ramet_call_free(call);
	call = listen_to(&f, "emit", "[1]");
	check_null(call); /* they are kept */
	check_emitted(call);
	ramet_call_free(call);
	call = listen_to(&f, "emit", "[1]");
	check_chunk(call, "[1]");
	ramet_call_free(call); /* two are left */
	teardown(&f);
}

static void test_who_does_not_listen(void)
{
	struct fixture f;
	struct ramet_call_options o = ramet_call_options_default();
	struct ramet_call *call = NULL;
	struct ramet_event *event = NULL;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	bool events = true;
	REQUIRE(setup(&f) == 0);
	REQUIRE_OK(ramet_call_async(f.ramet, "emit", "1", 1, NULL, &call, &err), &err);
	CHECK_INT(ramet_next_event(call, -1, &event, &err), RAMET_EINVAL);
	check_null(call); /* what it was sent all the same is dropped */
	ramet_call_free(call);
	const struct message *sent = fake_daemon_last(f.fake, "call");
	CHECK(wire_get_bool_or(sent->root, "events", false, &events, &err) == 0 && !events);
	o.flags = RAMET_CALL_EVENTS;
	CHECK_INT(ramet_call(f.ramet, "emit", "1", 1, &o, &r, &err), RAMET_EINVAL);
	CHECK(r == NULL && strstr(err.msg, "ramet_next_event") != NULL);
	o.flags |= RAMET_CALL_DETACH;
	CHECK_INT(ramet_call_async(f.ramet, "emit", "1", 1, &o, &call, &err), RAMET_EINVAL);
	teardown(&f);
}

static void test_waiting_for_events(void)
{
	struct fixture f;
	struct ramet_event *event = NULL;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	struct ramet_call *call = listen_to(&f, "slow", "1");
	CHECK_INT(ramet_next_event(call, 0, &event, &err), RAMET_ETIMEOUT);
	CHECK_INT(ramet_next_event(call, 5, &event, &err), RAMET_ETIMEOUT);
	CHECK_INT(ramet_cancel(call, &err), 0);
	CHECK_INT(ramet_next_event(call, -1, &event, &err), RAMET_ENOTFOUND);
	CHECK_INT(ramet_wait(call, -1, &r, &err), RAMET_ECANCELED);
	ramet_result_free(r);
	ramet_call_free(call);
	call = listen_to(&f, "drop", "1"); /* the connection */
	CHECK_INT(ramet_next_event(call, -1, &event, &err), RAMET_ENOTFOUND);
	CHECK_INT(ramet_wait(call, -1, &r, &err), RAMET_EPEER);
	ramet_result_free(r);
	ramet_call_free(call);
	teardown(&f);
}

/* a call that has events is found; one after the other of both takes its turn */
static void test_any_has_an_event(void)
{
	struct fixture f;
	struct ramet_call *any = NULL;
	struct ramet_event *event = NULL;
	struct ramet_err err = {0};
	unsigned events = 0;
	unsigned done = 0;
	REQUIRE(setup(&f) == 0);
	struct ramet_call *calls[] = {listen_to(&f, "emit", "[1]"), listen_to(&f, "slow", "1"),
		listen_to(&f, "emit", "[2]")};
	int fd = ramet_fd(f.ramet);
	while (done < 2) {
		int rc = ramet_wait_any(f.ramet, NULL, 0, 0, &any, &err);
		if (rc == RAMET_ETIMEOUT) {
			struct pollfd p = {.fd = fd, .events = POLLIN};
			REQUIRE(poll(&p, 1, 10000) == 1);
			continue;
		}
		REQUIRE(rc == 0 && any != calls[1]);
		rc = ramet_next_event(any, 0, &event, &err);
		if (rc == 0) {
			events++;
			ramet_event_free(event);
		} else if (rc == RAMET_ENOTFOUND) {
			check_null(any);
			done++;
		} else {
			CHECK_INT(rc, RAMET_ETIMEOUT);
		}
	}
	CHECK_INT(events, 6);
	for (unsigned i = 0; i < 3; i++)
		ramet_call_free(calls[i]);
	teardown(&f);
}

/* as much as may be open has come, the rest comes as they are freed; also after everything is
 * closed */
static void test_events_that_are_not_freed(void)
{
	struct fixture f;
	struct ramet_event *open[128] = {NULL};
	struct ramet_err err = {0};
	unsigned n = 0;
	REQUIRE(setup(&f) == 0);
	struct ramet_call *call = listen_to(&f, "flood", "1");
	while (n < 63) {
		REQUIRE_OK(ramet_next_event(call, -1, &open[n], &err), &err);
		CHECK_INT(open[n++]->len, 65536);
	}
	CHECK_INT(ramet_next_event(call, 0, &open[n], &err), RAMET_ETIMEOUT);
	CHECK_INT(ramet_next_event(call, 50, &open[n], &err), RAMET_ETIMEOUT);
	while (n > 0)
		ramet_event_free(open[--n]);
	for (unsigned i = 63; i < 192; i++) {
		REQUIRE_OK(ramet_next_event(call, -1, &open[0], &err), &err);
		ramet_event_free(open[0]);
	}
	CHECK_INT(ramet_next_event(call, -1, &open[0], &err), RAMET_ENOTFOUND);
	check_null(call);
	ramet_call_free(call);
	call = listen_to(&f, "flood", "1");
	REQUIRE_OK(ramet_next_event(call, -1, &open[0], &err), &err);
	REQUIRE_OK(ramet_next_event(call, -1, &open[1], &err), &err);
	ramet_call_free(call);
	ramet_event_free(open[0]);
	ramet_close(f.ramet);
	CHECK_INT(((const char *)open[1]->chunk)[0], '1');
	ramet_event_free(open[1]);
	ramet_event_free(NULL);
	f.ramet = NULL;
	teardown(&f);
}

static void test_what_is_no_event_ends_the_call(void)
{
	struct fixture f;
	struct ramet_event *event = NULL;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	struct ramet_call *call = listen_to(&f, "badevent", "1");
	CHECK_INT(ramet_next_event(call, -1, &event, &err), RAMET_ENOTFOUND);
	CHECK_INT(ramet_wait(call, -1, &r, &err), RAMET_EPROTO);
	ramet_result_free(r);
	ramet_call_free(call);
	call = listen_to(&f, "emit", "[1]"); /* the others go on */
	check_emitted(call);
	ramet_call_free(call);
	teardown(&f);
}

SUITE_MAIN("client_events", TEST(test_events_before_and_after_the_result),
	TEST(test_who_does_not_listen), TEST(test_waiting_for_events), TEST(test_any_has_an_event),
	TEST(test_events_that_are_not_freed), TEST(test_what_is_no_event_ends_the_call))
