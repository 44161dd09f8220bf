/* Forks carry over what a process has: every case of state.h, in 8 clones at once and in the host
 * that they were taken from, on this node and on a second one whose clocks are an hour away; with
 * its cure taken out it fails; and what cannot be carried over is refused by name. */
#include "base/err.h"
#include "tests/lib/suite.h"
#include "tests/rfork/state_world.h"

#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define MAX_CASES 128

static void report(const struct state_case *c, const char *who, const char *wrong)
{
	if (wrong[0])
		printf("  %s, %s: %s\n", c->name, who, wrong);
	CHECK(wrong[0] == '\0');
}

static void check_case(
	struct state_world *w, struct state_clone *clones, const struct state_case *c)
{
	for (unsigned i = 0; i < state_clones(); i++) {
		const char *wrong = state_ask(w, clones[i].control, c);
		if (strcmp(wrong, "absent") == 0) {
			suite_skip("%s: it is lacking here", c->name);
			return;
		}
		report(c, w->where == STATE_LOCAL ? "a local clone" : "a remote clone", wrong);
	}
	report(c, "the host", state_ask(w, w->host.control, c));
}

/* a host with these cases, and its clones */
static void check_together(enum state_where where, const struct state_case *const *cases)
{
	struct state_world w;
	struct state_clone clones[STATE_CLONES] = {0};
	struct ramet_err err = {0};
	unsigned fds = suite_count_fds();
	REQUIRE(state_world_start(&w, where, cases, NULL));
	REQUIRE_OK(state_world_capture(&w, &err), &err);
	for (unsigned i = 0; i < state_clones(); i++)
		REQUIRE_OK(state_clone_send(&w, &clones[i], &err), &err);
	for (unsigned i = 0; i < state_clones(); i++)
		REQUIRE_OK(state_clone_wait(&w, &clones[i], &err), &err);
	for (unsigned i = 0; cases[i]; i++)
		if (cases[i]->flags & STATE_BUSY)
			check_case(&w, clones, cases[i]);
	for (unsigned i = 0; cases[i]; i++)
		if (!(cases[i]->flags & STATE_BUSY))
			check_case(&w, clones, cases[i]);
	for (unsigned i = 0; i < state_clones(); i++)
		state_clone_end(&clones[i]);
	state_world_close(&w);
	CHECK_INT(suite_count_fds(), fds);
}

static void check_everywhere(enum state_where where)
{
	const struct state_case *together[MAX_CASES + 1] = {NULL};
	unsigned n = 0;
	if (where == STATE_REMOTE && !world_can_fault())
		return;
	for (const struct state_case *const *table = state_tables; *table; table++) {
		for (const struct state_case *c = *table; c->name; c++) {
			const struct state_case *const alone[2] = {c, NULL};
			if (c->refused)
				continue;
			if (c->flags & STATE_ALONE)
				check_together(where, alone);
			else if (CHECK(n < MAX_CASES))
				together[n++] = c;
		}
	}
	check_together(where, together);
}

static void test_local_clones(void)
{
	check_everywhere(STATE_LOCAL);
}

static void test_remote_clones(void)
{
	check_everywhere(STATE_REMOTE);
}

#ifdef RAMET_FAULT_POINTS
/* the cure is out: the capture, the clone or its check has to fail */
static void check_uncured(const struct state_case *c)
{
	const struct state_case *const alone[2] = {c, NULL};
	const enum state_where where = c->flags & STATE_FAR ? STATE_REMOTE : STATE_LOCAL;
	struct state_world w;
	struct state_clone clone = {.control = -1, .uffd = -1};
	struct ramet_err err = {0};
	REQUIRE(state_world_start(&w, where, alone, c->fault));
	int rc = state_world_capture(&w, &err);
	if (rc == 0)
		rc = state_clone_start(&w, &clone, &err);
	if (rc == 0 && state_ask(&w, clone.control, c)[0] == '\0') {
		printf("  %s: passes without its cure (%s)\n", c->name, c->fault);
		CHECK(false);
	}
	const char *wrong = state_ask(&w, w.host.control, c);
	if (strcmp(wrong, "absent") == 0)
		suite_skip("%s: it is lacking here", c->name);
	else
		report(c, "the host", wrong);
	state_clone_end(&clone);
	state_world_close(&w);
}

static void test_cases_fail_without_their_cures(void)
{
	bool remote = world_can_fault();
	for (const struct state_case *const *table = state_tables; *table; table++)
		for (const struct state_case *c = *table; c->name; c++)
			if (c->fault && (remote || !(c->flags & STATE_FAR)))
				check_uncured(c);
}
#else
static void test_cases_fail_without_their_cures(void)
{
	suite_skip("built without fault points");
}
#endif

static void check_refused(const struct state_case *c)
{
	const struct state_case *const alone[2] = {c, NULL};
	struct state_world w;
	struct ramet_err err = {0};
	REQUIRE(state_world_start(&w, STATE_LOCAL, alone, NULL));
	const char *before = state_ask(&w, w.host.control, c);
	if (strcmp(before, "absent") == 0) {
		suite_skip("%s: it is lacking here", c->name);
	} else {
		report(c, "before its capture", before);
		CHECK_INT(state_world_capture(&w, &err), RAMET_EREFUSED);
		if (!CHECK(strstr(err.msg, c->refused) != NULL))
			printf("  %s: %s\n", c->name, err.msg);
		report(c, "the host", state_ask(&w, w.host.control, c));
	}
	state_world_close(&w);
}

static void test_what_cannot_be_carried_over_is_refused(void)
{
	for (const struct state_case *const *table = state_tables; *table; table++)
		for (const struct state_case *c = *table; c->name; c++)
			if (c->refused)
				check_refused(c);
}

static void test_host_that_is_traced_is_refused(void)
{
	const struct state_case *const any[2] = {state_find("umask"), NULL};
	struct state_world w;
	struct ramet_err err = {0};
	REQUIRE(state_world_start(&w, STATE_LOCAL, any, NULL));
	REQUIRE(ptrace(PTRACE_SEIZE, w.host.pid, NULL, NULL) == 0);
	CHECK_INT(state_world_capture(&w, &err), RAMET_EREFUSED);
	CHECK(strstr(err.msg, "(test_state) traces the host") != NULL);
	CHECK_INT(ptrace(PTRACE_INTERRUPT, w.host.pid, NULL, NULL), 0);
	CHECK_INT(waitpid(w.host.pid, NULL, 0), w.host.pid);
	CHECK_INT(ptrace(PTRACE_DETACH, w.host.pid, NULL, NULL), 0);
	CHECK_STR(state_ask(&w, w.host.control, any[0]), "");
	state_world_close(&w);
}

SUITE_MAIN("state", TEST(test_local_clones), TEST(test_remote_clones),
	TEST(test_cases_fail_without_their_cures),
	TEST(test_what_cannot_be_carried_over_is_refused),
	TEST(test_host_that_is_traced_is_refused))
