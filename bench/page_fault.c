/* One fault, everything on one CPU: our pager with the page in a peer's memory, against the least
 * that any pager can do, a loop that answers each fault of another process. That one puts pages
 * where ours does, into a memfd that siblings share; for comparison also one with UFFDIO_COPY,
 * whose pages nobody shares. */
#include "bench/page.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "bench/remote.h"
#include "bench/report.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdpass.h"

#define ROUNDS 15
#define PAGES (PAGE_MB * 256u)
#define STEP ((size_t)PAGES * 5 / 13 | 1) /* as apps/touch.c scatters */

/* --- the bare one --- */

/* in the child: memory whose faults the parent serves; its time per page goes back over the socket.
 * memfd -1: anonymous */
static int bare_child(int sock, int memfd)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0)
		return 1;
	volatile char *memory = mmap(NULL, PAGES * RFORK_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | (memfd < 0 ? MAP_ANONYMOUS : 0), memfd, 0);
	struct uffdio_register reg = {.range = {(uintptr_t)memory, PAGES * RFORK_PAGE},
		.mode = UFFDIO_REGISTER_MODE_MISSING};
	if (memory == MAP_FAILED || ioctl(fd, UFFDIO_REGISTER, &reg) < 0)
		return 2;
	uint64_t base = (uintptr_t)memory;
	struct iovec iov = {&base, sizeof(base)};
	if (fdpass_send(sock, &iov, 1, &fd, 1, 0) != sizeof(base))
		return 3;
	close(fd);
	uint64_t begin = now_ns();
	for (size_t i = 0; i < PAGES; i++)
		(void)memory[i * STEP % PAGES * RFORK_PAGE];
	uint64_t ns = now_ns() - begin;
	return send(sock, &ns, sizeof(ns), 0) == sizeof(ns) ? 0 : 4;
}

static int bare_fill(int uffd, int memfd, uint64_t base, uint64_t addr)
{
	static const char page[RFORK_PAGE] = {1};
	struct uffdio_continue go_on = {.range = {addr, RFORK_PAGE}};
	struct uffdio_copy copy = {.dst = addr, .src = (uintptr_t)page, .len = RFORK_PAGE};
	if (memfd < 0)
		return ioctl(uffd, UFFDIO_COPY, &copy);
	if (pwrite(memfd, page, RFORK_PAGE, (off_t)(addr - base)) != RFORK_PAGE)
		return -1;
	return ioctl(uffd, UFFDIO_CONTINUE, &go_on) == 0 ? 0
							 : ioctl(uffd, UFFDIO_WAKE, &go_on.range);
}

/* until the child's answer is there */
static int bare_serve(int uffd, int memfd, uint64_t base, int sock, uint64_t *ret_ns)
{
	struct pollfd pfds[] = {{uffd, POLLIN, 0}, {sock, POLLIN, 0}};
	for (;;) {
		if (poll(pfds, 2, 10000) <= 0)
			return -1;
		if (pfds[1].revents)
			return recv(sock, ret_ns, sizeof(*ret_ns), 0) == sizeof(*ret_ns) ? 0 : -1;
		struct uffd_msg msg;
		ssize_t n = read(uffd, &msg, sizeof(msg));
		if (n < 0 && errno == EAGAIN)
			continue; /* a signal has taken the fault back */
		uint64_t addr = msg.arg.pagefault.address & ~(RFORK_PAGE - 1);
		if (n != sizeof(msg) || bare_fill(uffd, memfd, base, addr) < 0)
			return -1;
	}
}

static int bare_parent(int sock, int memfd, uint64_t *ret_ns)
{
	int fds[FDPASS_MAX];
	unsigned nfds = 0;
	uint64_t base;
	int rc = -1;
	if (fdpass_recv(sock, &base, sizeof(base), fds, &nfds, 0) == sizeof(base) && nfds == 1)
		rc = bare_serve(fds[0], memfd, base, sock, ret_ns);
	fdpass_close(fds, nfds);
	return rc;
}

static int bare_round(bool shared, double *ret_us, struct ramet_err *err)
{
	int sockets[2];
	uint64_t ns = 0;
	int wstatus = 0;
	auto_close int memfd = shared ? memfd_create("bench-bare", MFD_CLOEXEC) : -1;
	if (shared && (memfd < 0 || ftruncate(memfd, PAGES * RFORK_PAGE) < 0))
		return err_errno(err, RAMET_EIO, "memfd");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	auto_close int ours = sockets[0];
	auto_close int theirs = sockets[1];
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(err, RAMET_EIO, "fork");
	if (pid == 0)
		_exit(bare_child(theirs, memfd));
	close_reset(&theirs);
	int rc = bare_parent(ours, memfd, &ns);
	while (waitpid(pid, &wstatus, 0) < 0 && errno == EINTR)
		;
	if (rc < 0)
		return err_set(err, RAMET_EIO, "the bare userfaultfd failed, status %d", wstatus);
	*ret_us = (double)ns / PAGES / 1e3;
	return 0;
}

/* --- ours --- */

static int our_round(struct remote *r, double *ret_us, struct ramet_err *err)
{
	struct copy copy = {0};
	struct pager_stats before;
	struct pager_stats after;
	double ns = 0;
	int rc = copy_begin(r, &copy, err);
	if (rc == 0)
		rc = copy_clone(r, &copy, &(struct clone_options){0}, err);
	if (rc == 0) {
		pager_child_stats(copy.child, &before);
		rc = page_touch(copy.proc, true, &ns, err);
	}
	if (rc == 0) {
		pager_child_stats(copy.child, &after);
		*ret_us = ns / (double)(after.faults - before.faults) / 1e3;
	}
	copy_end(&copy, r->node);
	return rc;
}

static int rounds(struct node *node, const char *provider, const char *name, struct image *image,
	struct ramet_err *err)
{
	CLEANUP(remote_fini) struct remote remote = {0};
	CLEANUP(samples_fini) struct samples ours = {0}, shared = {0}, copied = {0};
	char other[64];
	int rc = remote_open(&remote, provider, node, image, NULL, err);
	for (int i = -1; rc == 0 && i < ROUNDS; i++) {
		double us = 0;
		double shared_us = 0;
		double copied_us = 0;
		rc = our_round(&remote, &us, err);
		if (rc == 0)
			rc = bare_round(true, &shared_us, err);
		if (rc == 0)
			rc = bare_round(false, &copied_us, err);
		if (rc < 0 || i < 0)
			continue;
		samples_add(&ours, us);
		samples_add(&shared, shared_us);
		samples_add(&copied, copied_us);
	}
	if (rc < 0)
		return rc;
	snprintf(other, sizeof(other), "%s_copy", name);
	report_samples(name, "us", &ours,
		"a bare userfaultfd on that CPU, served by another process into a shared memfd",
		&shared);
	report_samples(other, "us", &ours,
		"the same with UFFDIO_COPY, which fills pages that nobody shares", &copied);
	return 0;
}

int page_fault(struct ramet_err *err)
{
	struct node node;
	struct proc *host = NULL;
	struct image *image = NULL;
	int rc = node_open(&node, 0, err);
	if (rc == 0)
		rc = page_host(&node, &host, &image, err);
	if (rc == 0)
		rc = rounds(&node, "mem", "same_cpu_fault", image, err);
	if (rc == 0)
		rc = rounds(&node, "tcp", "same_cpu_fault_tcp", image, err);
	proc_free(host);
	image_put(image);
	node_close(&node);
	return rc;
}
