/* Templates and clones through ramet-spawn: a host is captured in its sandbox and forked into
 * others. */
#include "rfork/safepoint.h"
#include "tests/runtime_spawn/template_world.h"
#include "tests/runtime_spawn/tests.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUM (99999ull * 100000 / 2 + 8 + 42) /* what tests/rfork/counter_host.c answers, plus n */

/* asks it once */
static void check_answer(struct host *h, uint64_t n)
{
	uint64_t answer[4] = {0};
	struct pollfd pfd = {.fd = h->control, .events = POLLIN};
	CHECK_INT(write(h->control, &n, sizeof(n)), sizeof(n));
	CHECK_INT(poll(&pfd, 1, WAIT_S * 1000), 1);
	CHECK_INT(read(h->control, answer, sizeof(answer)), sizeof(answer));
	CHECK_INT(answer[0], SUM + n);
	CHECK_INT(answer[1], 2); /* its pid, as it sees it */
	CHECK_INT(answer[3], SAFEPOINT_CLONE);
	CHECK(answer[2] > h->result.begin_ns);
}

static void check_status_line(pid_t pid, const char *start, const char *rest)
{
	char path[64], line[256];
	bool found = false;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	auto_fclose FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, start, strlen(start)) == 0) {
			CHECK_STR(line + strlen(start), rest);
			found = true;
		}
	}
	suite_check(found, start, __FILE__, __LINE__);
}

static void check_rights(pid_t pid)
{
	check_status_line(pid, "Uid:\t", "60001\t60001\t60001\t60001");
	check_status_line(pid, "Gid:\t", "60001\t60001\t60001\t60001");
	check_status_line(pid, "Groups:\t", " ");
	check_status_line(pid, "CapPrm:\t", "0000000000000000");
	check_status_line(pid, "CapEff:\t", "0000000000000000");
	check_status_line(pid, "CapAmb:\t", "0000000000000000");
	check_status_line(pid, "NoNewPrivs:\t", "1");
}

void test_clones_of_a_template(void)
{
	struct world w;
	struct host clones[12] = {0};
	REQUIRE(world_open(&w, &(struct world_options){0}));
	for (unsigned i = 0; i < ARRAY_LEN(clones); i++)
		REQUIRE(clone_begin(&w, &clones[i], TMPL)); /* more than there are sandboxes */
	for (unsigned i = 0; i < ARRAY_LEN(clones); i++) {
		REQUIRE(host_started(&clones[i]));
		CHECK_INT(clones[i].result.uffd, -1);
		check_answer(&clones[i], i + 1);
	}
	check_rights(clones[0].result.pid);
	spawn_drop(w.f.client, TMPL); /* they live on */
	for (unsigned i = 0; i < ARRAY_LEN(clones); i++)
		clone_finish(&clones[i]);
	REQUIRE(clone_begin(&w, &clones[0], TMPL));
	CHECK(!host_started(&clones[0]));
	CHECK_INT(clones[0].result.err.code, RAMET_ENOTFOUND);
	host_close(&clones[0]);
	CHECK_INT(w.f.gone, 0);
	world_close(&w);
}

void test_clones_with_userfaultfd(void)
{
	struct world w;
	struct host clone = {0};
	if (!world_open(&w, &(struct world_options){.uffd = true}))
		return;
	for (unsigned i = 0; i < 20; i++) {
		REQUIRE(clone_begin(&w, &clone, TMPL));
		REQUIRE(host_started(&clone));
		CHECK(clone.result.uffd >= 0);
		check_answer(&clone, i);
		clone_finish(&clone);
	}
	world_close(&w);
}

/* three clones, while one of the sandboxes taken ends right then; false: the test is over */
static bool clone_while_one_dies(bool uffd, unsigned which)
{
	struct world w;
	struct host clone = {0};
	char faults[32];
	snprintf(faults, sizeof(faults), "sandbox.dying:%u:1", which);
	const struct world_options options = {.uffd = uffd, .faults = faults};
	bool ok = world_open(&w, &options);
	if (!ok)
		return false;
	for (unsigned i = 0; ok && i < 3; i++) {
		ok = CHECK(clone_begin(&w, &clone, TMPL)) && CHECK(host_started(&clone));
		if (ok) {
			check_answer(&clone, i);
			clone_finish(&clone);
		}
	}
	world_close(&w);
	return ok;
}

/* The host takes the first; the first clone one for itself and one that the template gets ready
 * for, each further clone the next of these. */
void test_clone_into_a_dying_sandbox_is_repeated(void)
{
	for (unsigned which = 1; which <= 4; which++)
		if (!clone_while_one_dies(which % 2, which) ||
			!clone_while_one_dies(!(which % 2), which))
			return;
}

void test_killed_clone_leaves_the_others(void)
{
	struct world w;
	struct host a = {0}, b = {0};
	REQUIRE(world_open(&w, &(struct world_options){0}));
	REQUIRE(clone_begin(&w, &a, TMPL) && clone_begin(&w, &b, TMPL));
	REQUIRE(host_started(&a) && host_started(&b));
	spawn_kill(w.f.client, a.inst);
	CHECK(host_finish(&a));
	CHECK_INT(a.how.signal, SIGKILL);
	host_close(&a);
	check_answer(&b, 3);
	clone_finish(&b);
	world_close(&w);
}

/* a template is named as what it is a template of, but outside of any sandbox */
static bool is_template(pid_t pid)
{
	char path[64], comm[32] = "", ours[64] = "", its[64] = "";
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	if (readlink("/proc/self/ns/pid", ours, sizeof(ours) - 1) < 0 ||
		readlink(path, its, sizeof(its) - 1) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	auto_fclose FILE *file = fopen(path, "re");
	return file && fgets(comm, sizeof(comm), file) && strcmp(comm, "counter_host\n") == 0 &&
		strcmp(ours, its) == 0;
}

static unsigned kill_templates(pid_t spawn)
{
	char path[64];
	int pid;
	unsigned count = 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", spawn, spawn);
	auto_fclose FILE *children = fopen(path, "re");
	while (children && fscanf(children, "%d", &pid) == 1) {
		if (is_template(pid) && kill(pid, SIGKILL) == 0)
			count++;
	}
	return count;
}

static bool is_gone(void *arg)
{
	return ((struct fixture *)arg)->gone > 0;
}

/* between the look at a file and its use its tenant may have put anything in its place */
void test_files_that_a_tenant_may_not_map(void)
{
	struct world w;
	char secret[] = "/tmp/ramet-secret-XXXXXX";
	char fifo[sizeof(secret) + 8];
	auto_close int fd = mkstemp(secret); /* ours, and nobody else may read it */
	snprintf(fifo, sizeof(fifo), "%s.fifo", secret);
	REQUIRE(fd >= 0 && mkfifo(fifo, 0600) == 0 && chmod(fifo, 0666) == 0);
	REQUIRE(world_open(&w, &(struct world_options){0}));
	CHECK_INT(world_build_with(&w, TMPL + 1, secret), RAMET_EIO);
	CHECK(strstr(w.built_err.msg, "Permission denied") != NULL);
	CHECK_INT(world_build_with(&w, TMPL + 1, fifo), RAMET_EREFUSED);
	CHECK(world_build(&w, TMPL + 1, false, false));
	world_close(&w);
	unlink(secret);
	unlink(fifo);
}

void test_end_of_a_template_is_told(void)
{
	struct world w;
	struct host clone = {0};
	REQUIRE(world_open(&w, &(struct world_options){0}));
	REQUIRE(clone_begin(&w, &clone, TMPL) && host_started(&clone));
	CHECK_INT(kill_templates(spawn_client_pid(w.f.client)), 1);
	CHECK(fixture_wait(&w.f, is_gone, &w.f));
	CHECK_INT(w.f.gone, 1);
	CHECK(strstr(w.f.why_gone.msg, "signal 9") != NULL);
	check_answer(&clone, 5); /* lives on */
	REQUIRE(world_build(&w, TMPL, false, false));
	clone_finish(&clone);
	REQUIRE(clone_begin(&w, &clone, TMPL) && host_started(&clone));
	check_answer(&clone, 6);
	clone_finish(&clone);
	world_close(&w);
}
