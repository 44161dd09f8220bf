/* Talking to a template stub: see template.h for the contract and stub_proto.h for what travels. */
#include "rfork/template.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "rfork/stub_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEMPLATE_TIMEOUT_MS 5000

struct template
{
	pid_t pid;
	int fd;
	bool ready;
};

static const char *step_text(uint32_t step)
{
	static const char *const texts[] = {
#define STUB_STEP_TEXT(name, text) [STUB_STEP_##name] = text,
		STUB_STEPS(STUB_STEP_TEXT)
#undef STUB_STEP_TEXT
	};
	return step < ARRAY_LEN(texts) ? texts[step] : "do something";
}

pid_t template_pid(const struct template *tmpl)
{
	return tmpl->pid;
}

int template_fd(const struct template *tmpl)
{
	return tmpl->fd;
}

void template_destroy(struct template *tmpl)
{
	if (!tmpl)
		return;
	close_reset(&tmpl->fd);
	if (tmpl->pid > 0)
		kill(tmpl->pid, SIGKILL);
	free(tmpl);
}
DEFINE_CLEANUP(struct template, template_destroy)

static int stub_exec(const char *path, int socket_fd, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	char *argv[] = {(char *)"ramet-stub", NULL};
	char *envp[] = {NULL};
	sigset_t none;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&actions, socket_fd, STUB_SOCKET_FD);
	for (int fd = 1; fd <= 3; fd++)
		posix_spawn_file_actions_addclose(&actions, fd);
	posix_spawn_file_actions_addclosefrom_np(&actions, STUB_SOCKET_FD + 1);
	int rc = posix_spawn(ret_pid, path, &actions, &attr, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return rc;
}

int template_start(const char *stub_path, struct template **ret_template, struct ramet_err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, RAMET_EIO, "socketpair for a template");
	auto_close int ours = pair[0];
	auto_close int theirs = pair[1];
	AUTO(template_destroy) struct template *tmpl = calloc(1, sizeof(*tmpl));
	if (!tmpl)
		return err_nomem(err);
	tmpl->fd = steal_fd(&ours);
	int rc = stub_exec(stub_path, theirs, &tmpl->pid);
	if (rc != 0) {
		tmpl->pid = 0;
		errno = rc;
		return err_errno(err, RAMET_EIO, "start %s", stub_path);
	}
	*ret_template = steal_ptr(&tmpl);
	return 0;
}

static int stub_send(struct template *tmpl, const void *data, size_t len, const int *fds,
	unsigned nfds, struct ramet_err *err)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * STUB_FILES_PER_MSG)];
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (nfds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * nfds);
	}
	ssize_t n;
	do
		n = sendmsg(tmpl->fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(err, RAMET_EPEER, "send to template %d", tmpl->pid);
	return 0;
}

/* the stub's answer; a descriptor only with BUILT */
static int stub_wait(struct template *tmpl, uint32_t op, struct stub_reply *ret_reply, int *ret_fd,
	struct ramet_err *err)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct stub_reply reply;
	struct iovec iov = {.iov_base = &reply, .iov_len = sizeof(reply)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	struct pollfd pfd = {.fd = tmpl->fd, .events = POLLIN};

	int ready;
	do
		ready = poll(&pfd, 1, TEMPLATE_TIMEOUT_MS);
	while (ready < 0 && errno == EINTR);
	if (ready == 0)
		return err_set(err, RAMET_ETIMEOUT, "template %d did not answer in %d ms",
			tmpl->pid, TEMPLATE_TIMEOUT_MS);
	ssize_t n = recvmsg(tmpl->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n <= 0)
		return err_set(err, RAMET_EPEER, "template %d died", tmpl->pid);
	auto_close int fd = -1;
	if (msg.msg_controllen >= sizeof(struct cmsghdr) && control.header.cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	if (n != sizeof(reply) || reply.op != op)
		return err_set(err, RAMET_EPROTO, "template %d answered out of turn", tmpl->pid);
	if (reply.error) {
		errno = -reply.error;
		return err_errno(err, RAMET_EREFUSED, "template could not %s %#llx",
			step_text(reply.step), (unsigned long long)reply.arg);
	}
	if (ret_fd)
		*ret_fd = steal_fd(&fd);
	*ret_reply = reply;
	return 0;
}

/* Stubs say READY once they have left their file; taken here, so that starting one never waits. */
static int template_await_ready(struct template *tmpl, struct ramet_err *err)
{
	struct stub_reply reply;
	if (tmpl->ready)
		return 0;
	int rc = stub_wait(tmpl, STUB_READY, &reply, NULL, err);
	tmpl->ready = rc == 0;
	return rc;
}

static int filter_memfd(const struct template_setup *setup, int *ret_fd, struct ramet_err *err)
{
	size_t len = setup->seccomp_len * sizeof(struct sock_filter);
	auto_close int fd = memfd_create("ramet-filter", MFD_CLOEXEC);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "memfd_create for the system-call filter");
	if (write(fd, setup->seccomp, len) != (ssize_t)len)
		return err_errno(err, RAMET_EIO, "write the system-call filter");
	*ret_fd = steal_fd(&fd);
	return 0;
}

int template_build(struct template *tmpl, const struct template_setup *setup, int *ret_uffd,
	struct ramet_err *err)
{
	struct stub_build build = {.op = STUB_BUILD,
		.flags = (setup->uffd ? STUB_UFFD : 0) | (setup->record ? STUB_RECORD : 0) |
			(setup->seccomp ? STUB_SECCOMP : 0) |
			(setup->ns_pidfd >= 0 ? STUB_JOIN : 0) |
			(setup->drop_groups ? STUB_GROUP : 0) | (setup->layered ? STUB_BASE : 0) |
			(setup->landlock ? STUB_LANDLOCK : 0),
		.gid = setup->gid,
		.nfiles = setup->nfiles,
		.seccomp_len = setup->seccomp_len,
		.mono_offset_ns = setup->mono_offset_ns,
		.boot_offset_ns = setup->boot_offset_ns};
	auto_close int filter = -1;
	if (fault_hit("template.clocks"))
		build.mono_offset_ns = build.boot_offset_ns = 0;
	int rc = template_await_ready(tmpl, err);
	if (rc == 0 && setup->seccomp)
		rc = filter_memfd(setup, &filter, err);
	if (rc < 0)
		return rc;
	off_t len = lseek(setup->desc_fd, 0, SEEK_END);
	if (len < (off_t)sizeof(struct descriptor_header))
		return err_set(err, RAMET_EINVAL, "template: the descriptor's file has %lld bytes",
			(long long)len);
	build.desc_len = (uint64_t)len;

	int fds[5] = {setup->desc_fd, setup->image_fd};
	unsigned nfds = 2;
	if (setup->layered)
		fds[nfds++] = setup->base_fd;
	if (filter >= 0)
		fds[nfds++] = filter;
	if (setup->ns_pidfd >= 0)
		fds[nfds++] = setup->ns_pidfd;
	rc = stub_send(tmpl, &build, sizeof(build), fds, nfds, err);
	for (uint32_t done = 0; rc == 0 && done < setup->nfiles;) {
		struct stub_files files = {
			.op = STUB_FILES, .count = MIN(setup->nfiles - done, STUB_FILES_PER_MSG)};
		rc = stub_send(
			tmpl, &files, sizeof(files), setup->file_fds + done, files.count, err);
		done += files.count;
	}
	struct stub_reply reply;
	int uffd = -1;
	if (rc == 0)
		rc = stub_wait(tmpl, STUB_BUILT, &reply, &uffd, err);
	if (rc < 0)
		return rc;
	*ret_uffd = uffd;
	return 0;
}

int template_clone_send(
	struct template *tmpl, const struct template_clone *clone, struct ramet_err *err)
{
	struct stub_clone request = {.op = STUB_CLONE,
		.flags = (clone->sandbox_pidfd >= 0 ? STUB_SANDBOX : 0) |
			(clone->drop ? STUB_DROP : 0) | (clone->prepared ? STUB_PREPARED : 0) |
			(clone->next_pidfd >= 0 ? STUB_NEXT : 0),
		.uid = clone->uid,
		.npopulate = MIN(clone->npopulate, (uint32_t)STUB_MAX_POPULATE)};
	if (request.npopulate)
		memcpy(request.populate, clone->populate,
			request.npopulate * sizeof(request.populate[0]));
	int fds[5] = {clone->log_fd, clone->log_fd, clone->control_fd};
	unsigned nfds = 3;
	if (clone->sandbox_pidfd >= 0)
		fds[nfds++] = clone->sandbox_pidfd;
	if (clone->next_pidfd >= 0)
		fds[nfds++] = clone->next_pidfd;
	size_t len = offsetof(struct stub_clone, populate) +
		request.npopulate * sizeof(request.populate[0]);
	return stub_send(tmpl, &request, len, fds, nfds, err);
}

int template_clone_wait(struct template *tmpl, pid_t *ret_pid, struct ramet_err *err)
{
	struct stub_reply reply;
	int rc = stub_wait(tmpl, STUB_CLONED, &reply, NULL, err);
	if (rc < 0)
		return rc;
	*ret_pid = reply.pid;
	return 0;
}

int template_read_fork(int uffd, unsigned timeout_ms, int *ret_child_uffd, struct ramet_err *err)
{
	uint64_t deadline = now_ns() + timeout_ms * NSEC_PER_MSEC;
	for (;;) {
		struct uffd_msg msg;
		ssize_t n = read(uffd, &msg, sizeof(msg));
		if (n == (ssize_t)sizeof(msg) && msg.event == UFFD_EVENT_FORK) {
			*ret_child_uffd = (int)msg.arg.fork.ufd;
			return 0;
		}
		if (n == (ssize_t)sizeof(msg))
			return err_set(err, RAMET_EINTERNAL,
				"a template's memory changed (userfaultfd event %u)", msg.event);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return err_errno(err, RAMET_EIO, "read a template's userfaultfd");
		uint64_t now = now_ns();
		if (now >= deadline)
			return err_set(err, RAMET_ETIMEOUT, "no fork event in %u ms", timeout_ms);
		struct pollfd pfd = {.fd = uffd, .events = POLLIN};
		poll(&pfd, 1, (int)((deadline - now) / NSEC_PER_MSEC) + 1);
	}
}
