/* One fault, everything on one CPU: our pager with the page in a peer's memory, against the least that
 * any pager can do, a process that answers each fault of another with UFFDIO_COPY. */
#include "bench/page.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "bench/remote.h"
#include "bench/report.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
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

/* in the child: memory whose faults the parent serves; its time per page goes back over the socket */
static int bare_child(int sock)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0)
		return 1;
	volatile char *memory = mmap(NULL, PAGES * RFORK_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = {
		.range = {(uintptr_t)memory, PAGES * RFORK_PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	if (memory == MAP_FAILED || ioctl(fd, UFFDIO_REGISTER, &reg) < 0)
		return 2;
	char byte = 0;
	struct iovec iov = {&byte, 1};
	if (fdpass_send(sock, &iov, 1, &fd, 1, 0) != 1)
		return 3;
	close(fd);
	uint64_t begin = now_ns();
	for (size_t i = 0; i < PAGES; i++)
		(void)memory[i * STEP % PAGES * RFORK_PAGE];
	uint64_t ns = now_ns() - begin;
	return send(sock, &ns, sizeof(ns), 0) == sizeof(ns) ? 0 : 4;
}

/* until the child's answer is there */
static int bare_serve(int uffd, int sock, uint64_t *ret_ns)
{
	static const char page[RFORK_PAGE] = {1};
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
		if (n != sizeof(msg))
			return -1;
		struct uffdio_copy copy = {.dst = msg.arg.pagefault.address & ~(RFORK_PAGE - 1),
			.src = (uintptr_t)page,
			.len = RFORK_PAGE};
		if (ioctl(uffd, UFFDIO_COPY, &copy) < 0)
			return -1;
	}
}

static int bare_round(double *ret_us, struct ramet_err *err)
{
	int sockets[2];
	int fds[FDPASS_MAX];
	unsigned nfds = 0;
	uint64_t ns = 0;
	int wstatus = 0;
	char byte;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	auto_close int ours = sockets[0];
	auto_close int theirs = sockets[1];
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(err, RAMET_EIO, "fork");
	if (pid == 0)
		_exit(bare_child(theirs));
	close_reset(&theirs);
	int rc = -1;
	if (fdpass_recv(ours, &byte, 1, fds, &nfds, 0) == 1 && nfds == 1)
		rc = bare_serve(fds[0], ours, &ns);
	fdpass_close(fds, nfds);
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
	CLEANUP(samples_fini) struct samples ours = {0}, bare = {0};
	int rc = remote_open(&remote, provider, node, image, NULL, err);
	for (int i = -1; rc == 0 && i < ROUNDS; i++) {
		double us = 0;
		double bare_us = 0;
		rc = our_round(&remote, &us, err);
		if (rc == 0)
			rc = bare_round(&bare_us, err);
		if (rc == 0 && i >= 0) {
			samples_add(&ours, us);
			samples_add(&bare, bare_us);
		}
	}
	if (rc == 0)
		report_samples(name, "us", &ours,
			"a bare userfaultfd on that CPU, served with UFFDIO_COPY by another process",
			&bare);
	return rc;
}

int page_fault(struct ramet_err *err)
{
	cpu_set_t before, one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_getaffinity(0, sizeof(before), &before) < 0 ||
		sched_setaffinity(0, sizeof(one), &one) < 0)
		return err_errno(err, RAMET_EIO, "pin to CPU 0");
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
	(void)sched_setaffinity(0, sizeof(before), &before);
	return rc;
}
