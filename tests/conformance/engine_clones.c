/* That an engine lives in clones of its host. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/conformance/engine_cases.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define CLONES 64
#define LOOPS "2000000"
#define TRIES 5
#define SHORT_NS 100000000ull

static bool open_clones(struct clone_world *w)
{
	const struct syscall_filter *filter = engine_filter(SYSCALLS_ISOLATES);
	*w = (struct clone_world){.filter = filter->filter,
		.filter_len = filter->len,
		.landlock = !(engine_spec.lacks & LACKS_ISOLATES),
		.fork = {.uffd = -1, .control = -1, .request = {.pidfd = -1, .ready_fd = -1}}};
	return engine_open(&w->host, &(struct engine_options){0});
}

static unsigned threads_of(pid_t pid)
{
	char path[64];
	unsigned count = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		count += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return count;
}

void test_clones_have_what_was_there(void)
{
	struct clone_world w;
	struct clone clone = {.control = -1};
	REQUIRE(open_clones(&w));
	CHECK_STR(ask(w.host.control, "count", ""), "1");
	CHECK_INT(threads_of(w.host.pid), 1);
	REQUIRE(clone_world_capture(&w));
	CHECK_STR(ask(w.host.control, "count", ""), "2"); /* the host goes on */
	for (int i = 0; i < 3; i++) {
		REQUIRE(clone_start(&w, &clone));
		CHECK_INT(threads_of(clone.pid), 1);
		CHECK_STR(ask(clone.control, "count", ""), "2");
		CHECK_STR(ask(clone.control, "count", ""), "3");
		double said = strtod(ask(clone.control, "now", ""), NULL);
		CHECK(said > (double)time(NULL) - 60 && said < (double)time(NULL) + 60);
		engine_fails(clone.control, &(struct host_request){.function = "fail"}, "EUSER");
		CHECK_STR(ask(clone.control, "echo", "[2]"), "[2]");
		clone_end(&clone);
	}
	clone_world_close(&w);
}

void test_clones_differ(void)
{
	static char said[CLONES][64];
	struct clone_world w;
	struct clone clone = {.control = -1};
	REQUIRE(open_clones(&w));
	CHECK(strlen(ask(w.host.control, "draw", "")) > 0); /* its generator is seeded */
	REQUIRE(clone_world_capture(&w));
	for (int i = 0; i < CLONES; i++) {
		REQUIRE(clone_start(&w, &clone));
		snprintf(said[i], sizeof(said[i]), "%s", ask(clone.control, "draw", ""));
		CHECK(strcmp(said[i], ask(clone.control, "draw", "")) != 0);
		clone_end(&clone);
		for (int j = 0; j < i; j++)
			CHECK(strcmp(said[i], said[j]) != 0);
	}
	clone_world_close(&w);
}

/* CPU time, which others do not take away */
static uint64_t used_ns(pid_t pid)
{
	clockid_t clock;
	struct timespec ts = {0};
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t timed(int control, pid_t pid)
{
	uint64_t begin = used_ns(pid);
	CHECK(strlen(ask(control, "loop", LOOPS)) > 0);
	return used_ns(pid) - begin;
}

/* The best of a few. */
void test_clones_have_compiled_code(void)
{
	uint64_t steady = UINT64_MAX, first = UINT64_MAX;
	struct clone_world w;
	struct clone clone = {.control = -1};
	REQUIRE(open_clones(&w));
	for (int i = 0; i < 2 * TRIES; i++) {
		uint64_t ns = timed(w.host.control, w.host.pid);
		steady = i < TRIES ? steady : MIN(steady, ns);
	}
	REQUIRE(clone_world_capture(&w));
	for (int i = 0; i < TRIES; i++) {
		REQUIRE(clone_start(&w, &clone));
		first = MIN(first, timed(clone.control, clone.pid));
		clone_end(&clone);
	}
	if (!CHECK(steady > 0 && first < 3 * steady))
		fprintf(stderr, "    %llu ns, in a clone at first %llu\n",
			(unsigned long long)steady, (unsigned long long)first);
	clone_world_close(&w);
}

void test_clones_keep_deadlines(void)
{
	struct clone_world w;
	struct clone clone = {.control = -1};
	REQUIRE(open_clones(&w));
	REQUIRE(clone_world_capture(&w));
	for (int i = 0; i < 2; i++) {
		REQUIRE(clone_start(&w, &clone));
		engine_fails(clone.control,
			&(struct host_request){
				.function = "spin", .deadline_ns = now_ns() + SHORT_NS},
			"EDEADLINE");
		clone_end(&clone);
	}
	clone_check(&w, "count", "1"); /* its siblings do not notice */
	clone_world_close(&w);
}
