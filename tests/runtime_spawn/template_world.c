/* Hosts, seeds, templates and clones in ramet-spawn, for tests. */
#include "tests/runtime_spawn/template_world.h"

#include "rfork/capture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

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
	struct capture_request request = {.pidfd = -1, .ready_fd = -1};
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

/* path: of the first file, or NULL */
static bool build(struct world *w, uint64_t tmpl, bool uffd, bool record, const char *path)
{
	const struct descriptor_view *d = &w->image->desc;
	const char **files = calloc(d->nfiles + 1, sizeof(*files));
	struct ramet_err err = {0};
	for (uint32_t i = 0; files && i < d->nfiles; i++)
		files[i] = i == 0 && path ? path : descriptor_string(d, d->files[i].path);
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
		.record = record,
	};
	w->built = false;
	int rc = spawn_template(w->f.client, &setup, on_built, w, NULL, &err);
	free(files);
	return suite_check_ok(rc, &err, "spawn_template", __FILE__, __LINE__) &&
		CHECK(fixture_wait(&w->f, is_built, w));
}

bool world_build(struct world *w, uint64_t tmpl, bool uffd, bool record)
{
	return build(w, tmpl, uffd, record, NULL) &&
		suite_check_ok(w->built_err.code, &w->built_err, "build", __FILE__, __LINE__);
}

int world_build_with(struct world *w, uint64_t tmpl, const char *path)
{
	return build(w, tmpl, false, false, path) ? w->built_err.code : RAMET_EINTERNAL;
}

/* what is asked for and the machine cannot */
static bool is_lacking(const struct spawn_caps *caps, const struct world_options *options)
{
	return (options->uffd && !caps->userfaultfd) || (options->record && !caps->uffd_wp);
}

bool world_open(struct world *w, const struct world_options *options)
{
	const char *const counter[] = {program("counter_host"), NULL};
	const struct host_options host = {.argv = options->argv ? options->argv : counter};
	*w = (struct world){0};
	setenv("RAMET_FAULT", options->faults ? options->faults : "", 1);
	bool ok = fixture_start(&w->f, 4);
	unsetenv("RAMET_FAULT");
	if (ok && is_lacking(spawn_client_caps(w->f.client), options)) {
		suite_skip("%s", spawn_client_caps(w->f.client)->detail);
		fixture_stop(&w->f);
		return false;
	}
	return ok && host_begin(&w->f, &w->host, &host) && host_started(&w->host) && capture(w) &&
		world_build(w, TMPL, options->uffd, options->record);
}

void world_close(struct world *w)
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
	result->uffd = -1;
	h->done = true;
}

static bool clone_ask(struct world *w, struct host *h, struct spawn_clone clone)
{
	static uint64_t next_inst = 100000;
	int control[2], log[2];
	struct ramet_err err = {0};
	*h = (struct host){.f = &w->f, .inst = next_inst++, .pidfd = -1, .result = {.uffd = -1}};
	if (!CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) == 0) ||
		!CHECK(pipe2(log, O_CLOEXEC) == 0))
		return false;
	h->control = control[0];
	h->log = log[0];
	clone.inst = h->inst;
	clone.control_fd = control[1];
	clone.log_fd = log[1];
	int rc = spawn_clone(w->f.client, &clone, on_cloned, h, NULL, &err);
	close(control[1]);
	close(log[1]);
	return suite_check_ok(rc, &err, "spawn_clone", __FILE__, __LINE__);
}

bool clone_begin(struct world *w, struct host *h, uint64_t tmpl)
{
	return clone_ask(w, h, (struct spawn_clone){.tmpl = tmpl});
}

bool clone_begin_populated(
	struct world *w, struct host *h, const uint64_t (*populate)[2], unsigned npopulate)
{
	return clone_ask(w, h,
		(struct spawn_clone){.tmpl = TMPL,
			.populate = (const uint64_t *)populate,
			.npopulate = npopulate});
}

void clone_finish(struct host *h)
{
	close_reset(&h->control);
	CHECK(host_finish(h));
	CHECK_INT(h->how.status, 0);
	CHECK_INT(h->how.signal, 0);
	close_reset(&h->result.uffd);
	host_close(h);
}
