/* Templates and clones through ramet-spawn: a host is captured in its sandbox and forked into
 * others. */
#include "base/clock.h"
#include "rfork/capture.h"
#include "rfork/safepoint.h"
#include "tests/runtime_spawn/fixture.h"
#include "tests/runtime_spawn/tests.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SUM (99999ull * 100000 / 2 + 8 + 42) /* what tests/rfork/counter_host.c answers, plus n */
#define TMPL 7

struct world {
	struct fixture f;
	struct host host;
	struct image *image;
	bool built;
	struct ramet_err built_err;
};

static int receive_shadow(int control, struct capture_request *r)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * 2)];
	} cmsg;
	uint64_t words[2];
	int fds[2];
	struct iovec iov = {.iov_base = words, .iov_len = sizeof(words)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &cmsg,
		.msg_controllen = sizeof(cmsg)};
	struct pollfd pfd = {.fd = control, .events = POLLIN};
	if (poll(&pfd, 1, WAIT_S * 1000) != 1 ||
		recvmsg(control, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(words) ||
		msg.msg_controllen < sizeof(cmsg.header))
		return -1;
	memcpy(fds, CMSG_DATA(&cmsg.header), sizeof(fds));
	*r = (struct capture_request){
		.pidfd = fds[0], .ready_fd = fds[1], .state = words[0], .timeout_ms = 5000};
	return 0;
}

static bool capture(struct world *w)
{
	struct capture_request request;
	struct capture_stats stats = {0};
	struct ramet_err err = {0};
	if (!CHECK(receive_shadow(w->host.control, &request) == 0))
		return false;
	int rc = capture_seed(&request, &w->image, &stats, &err);
	syscall(SYS_pidfd_send_signal, request.pidfd, SIGKILL, NULL, 0);
	close(request.pidfd);
	close(request.ready_fd);
	return suite_check_ok(rc, &err, "capture_seed", __FILE__, __LINE__);
}

static void on_built(void *user, struct spawn_result *result)
{
	struct world *w = user;
	w->built = true;
	w->built_err = result->err;
}

static bool is_built(void *arg)
{
	return ((struct world *)arg)->built;
}

static bool build(struct world *w, uint64_t tmpl, bool uffd)
{
	const struct descriptor_view *d = &w->image->desc;
	const char **files = calloc(d->nfiles + 1, sizeof(*files));
	struct ramet_err err = {0};
	for (uint32_t i = 0; files && i < d->nfiles; i++)
		files[i] = descriptor_string(d, d->files[i].path);
	struct spawn_template setup = {
		.tmpl = tmpl,
		.desc_fd = w->image->desc_fd,
		.image_fd = w->image->fd,
		.files = files,
		.nfiles = files ? d->nfiles : 0,
		.tenant = {TEST_UID, TEST_UID, "test"},
		.group = "templates",
		.limits = {.pids = 64},
		.uffd = uffd,
	};
	w->built = false;
	int rc = spawn_template(w->f.client, &setup, on_built, w, NULL, &err);
	free(files);
	return suite_check_ok(rc, &err, "spawn_template", __FILE__, __LINE__) &&
		CHECK(fixture_wait(&w->f, is_built, w)) &&
		suite_check_ok(w->built_err.code, &w->built_err, "build", __FILE__, __LINE__);
}

static bool world_open(struct world *w, bool uffd, const char *faults)
{
	const char *const argv[] = {program("counter_host"), NULL};
	*w = (struct world){0};
	setenv("RAMET_FAULT", faults, 1);
	bool ok = fixture_start(&w->f, 4);
	unsetenv("RAMET_FAULT");
	if (ok && uffd && !spawn_client_caps(w->f.client)->userfaultfd) {
		suite_skip("%s", spawn_client_caps(w->f.client)->detail);
		fixture_stop(&w->f);
		return false;
	}
	return ok && host_begin(&w->f, &w->host, &(struct host_options){.argv = argv}) &&
		host_started(&w->host) && capture(w) && build(w, TMPL, uffd);
}

static void world_close(struct world *w)
{
	close_reset(&w->host.control); /* it ends */
	CHECK(host_finish(&w->host));
	CHECK_INT(w->host.how.status, 0);
	host_close(&w->host);
	fixture_stop(&w->f);
	image_put(w->image);
}

/* --- clones --- */

static void on_cloned(void *user, struct spawn_result *result)
{
	struct host *h = user;
	h->result = *result;
	result->pidfd = -1;
	result->uffd = -1;
	h->done = true;
}

static bool clone_begin(struct world *w, struct host *h, uint64_t tmpl)
{
	static uint64_t next_inst = 100000;
	int control[2], log[2];
	struct ramet_err err = {0};
	*h = (struct host){.f = &w->f, .inst = next_inst++, .result = {.pidfd = -1, .uffd = -1}};
	if (!CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) == 0) ||
		!CHECK(pipe2(log, O_CLOEXEC) == 0))
		return false;
	h->control = control[0];
	h->log = log[0];
	struct spawn_clone clone = {
		.tmpl = tmpl, .inst = h->inst, .control_fd = control[1], .log_fd = log[1]};
	int rc = spawn_clone(w->f.client, &clone, on_cloned, h, NULL, &err);
	close(control[1]);
	close(log[1]);
	return suite_check_ok(rc, &err, "spawn_clone", __FILE__, __LINE__);
}

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

static void finish(struct host *h)
{
	close_reset(&h->control);
	CHECK(host_finish(h));
	CHECK_INT(h->how.status, 0);
	CHECK_INT(h->how.signal, 0);
	close_reset(&h->result.uffd);
	host_close(h);
}

void test_clones_of_a_template(void)
{
	struct world w;
	struct host clones[12];
	REQUIRE(world_open(&w, false, ""));
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
		finish(&clones[i]);
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
	struct host clone;
	if (!world_open(&w, true, ""))
		return;
	for (unsigned i = 0; i < 20; i++) {
		REQUIRE(clone_begin(&w, &clone, TMPL));
		REQUIRE(host_started(&clone));
		CHECK(clone.result.uffd >= 0);
		check_answer(&clone, i);
		finish(&clone);
	}
	world_close(&w);
}

void test_clone_into_a_dying_sandbox_is_repeated(void)
{
	struct world w;
	struct host clone;
	for (int uffd = 0; uffd < 2; uffd++) {
		if (!world_open(&w, uffd, "sandbox.dying:1:1")) /* the host takes the first */
			return;
		for (unsigned i = 0; i < 3; i++) {
			REQUIRE(clone_begin(&w, &clone, TMPL));
			REQUIRE(host_started(&clone));
			check_answer(&clone, i);
			finish(&clone);
		}
		world_close(&w);
	}
}

void test_killed_clone_leaves_the_others(void)
{
	struct world w;
	struct host a, b;
	REQUIRE(world_open(&w, false, ""));
	REQUIRE(clone_begin(&w, &a, TMPL) && clone_begin(&w, &b, TMPL));
	REQUIRE(host_started(&a) && host_started(&b));
	spawn_kill(w.f.client, a.inst);
	CHECK(host_finish(&a));
	CHECK_INT(a.how.signal, SIGKILL);
	host_close(&a);
	check_answer(&b, 3);
	finish(&b);
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

void test_end_of_a_template_is_told(void)
{
	struct world w;
	struct host clone;
	REQUIRE(world_open(&w, false, ""));
	REQUIRE(clone_begin(&w, &clone, TMPL) && host_started(&clone));
	CHECK_INT(kill_templates(spawn_client_pid(w.f.client)), 1);
	CHECK(fixture_wait(&w.f, is_gone, &w.f));
	CHECK_INT(w.f.gone, 1);
	CHECK(strstr(w.f.why_gone.msg, "signal 9") != NULL);
	check_answer(&clone, 5); /* lives on */
	REQUIRE(build(&w, TMPL, false));
	finish(&clone);
	REQUIRE(clone_begin(&w, &clone, TMPL) && host_started(&clone));
	check_answer(&clone, 6);
	finish(&clone);
	world_close(&w);
}
