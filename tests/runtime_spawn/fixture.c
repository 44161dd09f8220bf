/* The client under test and its hosts. */
#include "tests/runtime_spawn/fixture.h"
#include "base/clock.h"
#include "runtime/spawn/cgroup_find.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *program(const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];
	char self[400] = "";
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return name;
	snprintf(path, sizeof(paths[0]), "%.*s/%s", (int)(strrchr(self, '/') - self), self, name);
	return path;
}

static void on_exited(void *user, uint64_t inst, const struct spawn_exit *how)
{
	struct fixture *f = user;
	if (f->exits < EVENTS_MAX) {
		f->exited[f->exits].inst = inst;
		f->exited[f->exits].how = *how;
	}
	f->exits++;
}

static void on_gone(void *user, uint64_t tmpl, const struct ramet_err *why)
{
	(void)tmpl;
	struct fixture *f = user;
	f->gone++;
	f->why_gone = *why;
}

static void on_lost(void *user, const struct ramet_err *why)
{
	struct fixture *f = user;
	f->lost++;
	f->why_lost = *why;
}

static const struct spawn_handler handler = {on_exited, on_gone, on_lost};

bool fixture_start(struct fixture *f, unsigned sandboxes)
{
	struct ramet_err err = {0};
	static unsigned number;
	*f = (struct fixture){0};
	snprintf(f->store, sizeof(f->store), "/tmp/ramet-test-spawn-XXXXXX");
	snprintf(f->node, sizeof(f->node), "test-%d-%u", getpid(), number++);
	if (!CHECK(mkdtemp(f->store) != NULL) || !CHECK(chmod(f->store, 0755) == 0))
		return false;
	if (!suite_check_ok(loop_create(&f->loop, &err), &err, "loop_create", __FILE__, __LINE__))
		return false;
	struct spawn_options options = {
		.spawn_path = program("ramet-spawn"),
		.stub_path = program("ramet-stub"),
		.store_dir = f->store,
		.node_name = f->node,
		.sandboxes = sandboxes,
	};
	int rc = spawn_client_start(f->loop, &options, &handler, f, &f->client, &err);
	return suite_check_ok(rc, &err, "spawn_client_start", __FILE__, __LINE__);
}

void fixture_stop(struct fixture *f)
{
	char command[128];
	spawn_client_stop(f->client);
	loop_destroy(f->loop);
	CHECK_INT(count_cgroups(f->node), 0);
	snprintf(command, sizeof(command), "rm -rf %s", f->store);
	if (f->store[0])
		CHECK_INT(system(command), 0);
}

bool fixture_wait(struct fixture *f, bool (*cond)(void *arg), void *arg)
{
	uint64_t deadline = now_ns() + WAIT_S * NSEC_PER_SEC;
	while (!cond(arg)) {
		uint64_t now = now_ns();
		if (now >= deadline || loop_turn(f->loop, deadline - now, NULL) < 0)
			return false;
	}
	return true;
}

/* --- hosts --- */

static void on_done(void *user, struct spawn_result *result)
{
	struct host *h = user;
	h->result = *result;
	h->done = true;
}

static bool is_done(void *arg)
{
	return ((struct host *)arg)->done;
}

static bool is_ended(void *arg)
{
	struct host *h = arg;
	for (unsigned i = 0; i < MIN(h->f->exits, EVENTS_MAX) && !h->ended; i++) {
		h->ended = h->f->exited[i].inst == h->inst;
		if (h->ended)
			h->how = h->f->exited[i].how;
	}
	return h->ended;
}

bool host_begin(struct fixture *f, struct host *h, const struct host_options *options)
{
	static uint64_t next_inst = 100;
	static const char *const env[] = {"PROBE=yes", NULL};
	const char *const argv[] = {program("spawn_probe"), options->what, options->arg, NULL};
	int control[2], log[2];
	struct ramet_err err = {0};
	*h = (struct host){.f = f, .inst = next_inst++, .pidfd = -1};
	if (!CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) == 0) ||
		!CHECK(pipe2(log, O_CLOEXEC) == 0))
		return false;
	h->control = control[0];
	h->log = log[0];
	uid_t uid = options->uid ? options->uid : TEST_UID;
	struct spawn_host host = {
		.inst = h->inst,
		.argv = options->argv ? options->argv : argv,
		.env = env,
		.dir = options->dir,
		.tenant = {uid == ROOT_UID ? 0 : uid, uid == ROOT_UID ? 0 : uid, "test",
			options->tenant_limits},
		.group = options->group,
		.limits = options->limits,
		.control_fd = control[1],
		.log_fd = log[1],
	};
	int rc = spawn_host(f->client, &host, on_done, h, NULL, &err);
	close(control[1]);
	close(log[1]);
	return suite_check_ok(rc, &err, "spawn_host", __FILE__, __LINE__);
}

bool host_started(struct host *h)
{
	if (!CHECK(fixture_wait(h->f, is_done, h)) || h->result.err.code != 0)
		return false;
	h->pidfd = (int)syscall(SYS_pidfd_open, h->result.pid, 0);
	return true;
}

bool host_finish(struct host *h)
{
	if (!CHECK(fixture_wait(h->f, is_ended, h)))
		return false;
	size_t cap = 65536;
	h->output = malloc(cap);
	struct pollfd pfd = {.fd = h->log, .events = POLLIN};
	while (h->output && h->output_len < cap - 1 && CHECK(poll(&pfd, 1, WAIT_S * 1000) == 1)) {
		ssize_t n = read(h->log, h->output + h->output_len, cap - 1 - h->output_len);
		if (n <= 0)
			break;
		h->output_len += (size_t)n;
	}
	if (h->output)
		h->output[h->output_len] = '\0';
	return h->output != NULL;
}

void host_close(struct host *h)
{
	close_reset(&h->control);
	close_reset(&h->log);
	close_reset(&h->pidfd);
	free(h->output);
	h->output = NULL;
}

bool host_run(struct fixture *f, struct host *h, const struct host_options *options)
{
	if (!host_begin(f, h, options))
		return false;
	if (!host_started(h)) {
		CHECK_STR(h->result.err.msg, "");
		return false;
	}
	return host_finish(h) && CHECK_INT(h->how.status, 0);
}

const char *host_value(const struct host *h, const char *key)
{
	static char values[4][256];
	static unsigned next;
	char *value = values[next++ % 4];
	size_t len = strlen(key);
	value[0] = '\0';
	for (const char *line = h->output; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) == 0 && line[len] == ' ') {
			snprintf(value, sizeof(values[0]), "%.*s",
				(int)strcspn(line + len + 1, "\n"), line + len + 1);
			break;
		}
	}
	return value;
}

/* --- the machine --- */

unsigned count_children(pid_t pid)
{
	char path[64];
	unsigned count = 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	auto_fclose FILE *f = fopen(path, "re");
	int child;
	while (f && fscanf(f, "%d", &child) == 1)
		count += 1 + count_children(child);
	return count;
}

unsigned count_fds(pid_t pid)
{
	char path[64];
	unsigned count = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	auto_closedir DIR *dir = opendir(path);
	while (dir && readdir(dir))
		count++;
	return count;
}

/* but those of `ip netns add`: clusters of other tests come and go */
unsigned count_mounts(void)
{
	char line[4096];
	unsigned count = 0;
	auto_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
	while (f && fgets(line, sizeof(line), f))
		count += !strstr(line, "/run/netns");
	return count;
}

unsigned count_cgroups(const char *node)
{
	static struct cgroup_place place;
	unsigned count = 0;
	cgroup_find(NULL, NULL, &place);
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		char path[PATH_MAX + 64];
		snprintf(path, sizeof(path), "%s/ramet/%s", place.dirs[c], node);
		auto_closedir DIR *dir = place.dirs[c][0] ? opendir(path) : NULL;
		for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
			count += e->d_type == DT_DIR && strcmp(e->d_name, "..") != 0;
	}
	return count;
}

bool wait_gone(int pidfd)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	return poll(&pfd, 1, WAIT_S * 1000) == 1;
}
