/* Hosts, seeds, templates and clones, for tests. */
#include "tests/rfork/fork_world.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS ((int)suite_patience(20000))
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static const char *program(const char *name)
{
	static char path[512];
	const char *dir = getenv("RAMET_BIN");
	snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", name);
	return path;
}

static bool readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	return poll(&pfd, 1, TIMEOUT_MS) == 1;
}

static int start_host(struct fork_world *w, const char *const *argv, struct ramet_err *err)
{
	int pair[2];
	const char *path = program(argv[0]);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	w->pid = fork();
	if (w->pid == 0) {
		dup2(pair[1], 3);
		fcntl(3, F_SETFD, 0);
		close_range(4, ~0u, 0);
		execv(path, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(pair[1]);
	w->control = pair[0];
	return w->pid < 0 ? err_errno(err, RAMET_EIO, "fork") : 0;
}

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
	if (!readable(control) ||
		recvmsg(control, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(words) ||
		msg.msg_controllen < sizeof(cmsg.header))
		return -1;
	memcpy(fds, CMSG_DATA(&cmsg.header), sizeof(fds));
	*r = (struct capture_request){
		.pidfd = fds[0], .ready_fd = fds[1], .state = words[0], .timeout_ms = TIMEOUT_MS};
	return 0;
}

int fork_world_start(struct fork_world *w, const char *const *argv, struct ramet_err *err)
{
	int status = 0;
	*w = (struct fork_world){
		.uffd = -1, .control = -1, .request = {.pidfd = -1, .ready_fd = -1}};
	int rc = start_host(w, argv, err);
	if (rc < 0 || receive_shadow(w->control, &w->request) == 0)
		return rc;
	close_reset(&w->control);
	waitpid(w->pid, &status, 0);
	w->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == MEMORY_NOT_HERE)
		return err_set(err, RAMET_ENOTSUP, "the kernel lacks what \"%s\" needs", argv[1]);
	return err_set(err, RAMET_EIO, "the host did not reach its safepoint: %#x", status);
}

int fork_world_adopt(struct fork_world *w, int control, const struct fork_world *base,
	struct layer *layer, bool cloned, struct ramet_err *err)
{
	const struct memory_question q = {.op = MEMORY_CAPTURE};
	*w = (struct fork_world){
		.uffd = -1, .control = control, .request = {.pidfd = -1, .ready_fd = -1}};
	if (write(control, &q, sizeof(q)) != (ssize_t)sizeof(q) ||
		receive_shadow(control, &w->request) < 0)
		return err_set(err, RAMET_EIO, "the host did not reach its safepoint again");
	w->request.base = base->image;
	w->request.layer = layer;
	w->request.cloned = cloned;
	memset(w->request.seed_id, 0x5e, sizeof(w->request.seed_id));
	return 0;
}

static void end_shadow(struct fork_world *w)
{
	siginfo_t info;
	if (w->request.pidfd < 0)
		return;
	syscall(SYS_pidfd_send_signal, w->request.pidfd, SIGKILL, NULL, 0);
	waitid((idtype_t)3 /* P_PIDFD */, (id_t)w->request.pidfd, &info, WEXITED);
	close_reset(&w->request.pidfd);
	close_reset(&w->request.ready_fd);
}

int fork_world_capture(struct fork_world *w, struct ramet_err *err)
{
	int rc = capture_seed(&w->request, &w->image, &w->stats, err);
	end_shadow(w);
	return rc;
}

int fork_world_build(struct fork_world *w, const struct fork_setup *setup, struct ramet_err *err)
{
	const struct image *image = setup->image ? setup->image : w->image;
	const struct descriptor_view *d = &image->desc;
	int *fds = calloc(d->nfiles + 1, sizeof(*fds));
	if (!fds)
		return err_nomem(err);
	for (uint32_t i = 0; i < d->nfiles; i++)
		fds[i] = open(descriptor_string(d, d->files[i].path), O_RDONLY | O_CLOEXEC);
	struct template_setup of = {.desc_fd = image->desc_fd,
		.image_fd = image->fd,
		.layered = image->layer != NULL,
		.base_fd = image->layer ? image->layer->fd : -1,
		.file_fds = fds,
		.nfiles = d->nfiles,
		.uffd = setup->uffd,
		.record = setup->record,
		.mono_offset_ns = setup->clocks_ahead_ns,
		.boot_offset_ns = setup->clocks_ahead_ns,
		.seccomp = setup->filter,
		.seccomp_len = setup->filter_len,
		.landlock = setup->landlock,
		.ns_pidfd = -1};
	int rc = template_start(program("ramet-stub"), &w->tmpl, err);
	if (rc == 0)
		rc = template_build(w->tmpl, &of, &w->uffd, err);
	for (uint32_t i = 0; i < d->nfiles; i++)
		close(fds[i]);
	free(fds);
	return rc;
}

int fork_world_open(struct fork_world *w, const char *const *argv, struct ramet_err *err)
{
	const struct fork_setup plain = {0};
	int rc = fork_world_start(w, argv, err);
	if (rc == 0)
		rc = fork_world_capture(w, err);
	return rc < 0 ? rc : fork_world_build(w, &plain, err);
}

void fork_world_unbuild(struct fork_world *w)
{
	pid_t stub = w->tmpl ? template_pid(w->tmpl) : 0;
	template_destroy(w->tmpl);
	w->tmpl = NULL;
	if (stub > 0)
		waitpid(stub, NULL, 0);
	close_reset(&w->uffd);
}

void fork_world_close(struct fork_world *w)
{
	end_shadow(w);
	fork_world_unbuild(w);
	close_reset(&w->control);
	if (w->pid > 0)
		waitpid(w->pid, NULL, 0);
	image_put(w->image);
}

int fork_world_clone(struct fork_world *w, const uint64_t (*populate)[2], unsigned npopulate,
	struct fork_clone *ret, struct ramet_err *err)
{
	int pair[2];
	auto_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	struct template_clone clone = {.sandbox_pidfd = -1,
		.next_pidfd = -1,
		.control_fd = pair[1],
		.log_fd = null,
		.populate = (const uint64_t *)populate,
		.npopulate = npopulate};
	*ret = (struct fork_clone){.control = pair[0], .uffd = -1, .begin_ns = now_ns()};
	int rc = template_clone_send(w->tmpl, &clone, err);
	if (rc == 0 && w->uffd >= 0)
		rc = template_read_fork(w->uffd, TIMEOUT_MS, &ret->uffd, err);
	if (rc == 0)
		rc = template_clone_wait(w->tmpl, &ret->pid, err);
	close(pair[1]);
	return rc;
}

int fork_clone_end(struct fork_clone *clone)
{
	int status = -1;
	close_reset(&clone->control);
	if (clone->pid > 0)
		waitpid(clone->pid, &status, 0);
	close_reset(&clone->uffd);
	return status;
}

enum page_kind page_of(pid_t pid, uint64_t addr)
{
	char path[48];
	uint64_t entry = 0;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK_INT(pread(fd, &entry, sizeof(entry), (off_t)(addr / RFORK_PAGE * sizeof(entry))),
		sizeof(entry));
	if (!(entry >> 63))
		return PAGE_ABSENT;
	return entry >> 61 & 1 ? PAGE_SHARED : PAGE_OWN;
}

bool can_populate(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool can = madvise(page, 4096, MADV_POPULATE_WRITE) == 0;
	munmap(page, 4096);
	return can;
}

uint64_t memory_ask(int control, enum memory_op op, uint64_t page)
{
	struct memory_question q = {op, page};
	uint64_t value = UINT64_MAX;
	CHECK_INT(write(control, &q, sizeof(q)), sizeof(q));
	CHECK(readable(control));
	CHECK_INT(recv(control, &value, sizeof(value), MSG_DONTWAIT), sizeof(value));
	return value;
}
