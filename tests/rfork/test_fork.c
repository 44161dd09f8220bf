/* The whole of a local fork without a daemon: host, shadow, capture, template, clones that answer.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "rfork/capture.h"
#include "rfork/safepoint.h"
#include "rfork/template.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUM (99999ull * 100000 / 2 + 8 + 42)

struct host {
	pid_t pid;
	int control;
	struct image *image;
	struct template *tmpl;
	int uffd;
};

static pid_t start_host(int *ret_control)
{
	int pair[2];
	char path[512];
	snprintf(path, sizeof(path), "%s/counter_host",
		getenv("RAMET_BIN") ? getenv("RAMET_BIN") : ".");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(pair[1], 3);
		fcntl(3, F_SETFD, 0);
		close_range(4, ~0u, 0);
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	*ret_control = pair[0];
	return pid;
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
	if (recvmsg(control, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(words) ||
		msg.msg_controllen < sizeof(cmsg.header))
		return -1;
	memcpy(fds, CMSG_DATA(&cmsg.header), sizeof(fds));
	*r = (struct capture_request){
		.pidfd = fds[0], .ready_fd = fds[1], .state = words[0], .timeout_ms = 5000};
	return 0;
}

static int build(struct host *h, struct ramet_err *err)
{
	const struct descriptor_view *d = &h->image->desc;
	int *fds = calloc(d->nfiles + 1, sizeof(*fds));
	char stub[512];
	snprintf(stub, sizeof(stub), "%s/ramet-stub",
		getenv("RAMET_BIN") ? getenv("RAMET_BIN") : ".");
	for (uint32_t i = 0; fds && i < d->nfiles; i++)
		fds[i] = open(descriptor_string(d, d->files[i].path), O_RDONLY | O_CLOEXEC);
	struct template_setup setup = {.desc_fd = h->image->desc_fd,
		.image_fd = h->image->fd,
		.file_fds = fds,
		.nfiles = d->nfiles,
		.ns_pidfd = -1};
	int rc = template_start(stub, &h->tmpl, err);
	if (rc == 0)
		rc = template_build(h->tmpl, &setup, &h->uffd, err);
	for (uint32_t i = 0; fds && i < d->nfiles; i++)
		close(fds[i]);
	free(fds);
	return rc;
}

static int host_open(struct host *h, struct ramet_err *err)
{
	struct capture_request request;
	struct capture_stats stats = {0};
	*h = (struct host){.uffd = -1, .control = -1};
	h->pid = start_host(&h->control);
	if (h->pid < 0 || receive_shadow(h->control, &request) < 0)
		return err_set(err, RAMET_EIO, "the host did not reach its safepoint");
	int rc = capture_seed(&request, &h->image, &stats, err);
	syscall(424 /* pidfd_send_signal */, request.pidfd, SIGKILL, NULL, 0);
	siginfo_t info;
	waitid((idtype_t)3 /* P_PIDFD */, (id_t)request.pidfd, &info, WEXITED);
	close(request.pidfd);
	close(request.ready_fd);
	return rc < 0 ? rc : build(h, err);
}

static void host_close(struct host *h)
{
	pid_t stub = h->tmpl ? template_pid(h->tmpl) : 0;
	template_destroy(h->tmpl);
	if (stub > 0)
		waitpid(stub, NULL, 0);
	close_reset(&h->control);
	if (h->pid > 0)
		waitpid(h->pid, NULL, 0);
	image_put(h->image);
}

static int spawn_clone(struct host *h, pid_t *ret_pid, int *ret_control, uint64_t *ret_begin,
	struct ramet_err *err)
{
	int pair[2];
	auto_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	struct template_clone clone = {.sandbox_pidfd = -1, .control_fd = pair[1], .log_fd = null};
	*ret_begin = now_ns();
	int rc = template_clone_send(h->tmpl, &clone, err);
	if (rc == 0)
		rc = template_clone_wait(h->tmpl, ret_pid, err);
	close(pair[1]);
	*ret_control = pair[0];
	return rc;
}

static void test_clones_answer_from_the_captured_memory(void)
{
	struct ramet_err err = {0};
	struct host h;
	unsigned fds = suite_count_fds();
	REQUIRE_OK(host_open(&h, &err), &err);
	for (uint64_t n = 1; n <= 50; n++) {
		pid_t pid;
		int control, status;
		uint64_t begin, answer[4];
		REQUIRE_OK(spawn_clone(&h, &pid, &control, &begin, &err), &err);
		CHECK_INT(write(control, &n, sizeof(n)), sizeof(n));
		CHECK_INT(read(control, answer, sizeof(answer)), sizeof(answer));
		CHECK_INT(answer[0], SUM + n); /* no sibling's write is seen */
		CHECK_INT(answer[1], pid);
		CHECK_INT(answer[3], SAFEPOINT_CLONE);
		CHECK(answer[2] > begin);
		close(control);
		CHECK_INT(waitpid(pid, &status, 0), pid);
		CHECK_INT(status, 0);
	}
	host_close(&h);
	CHECK_INT(suite_count_fds(), fds);
}

static void test_host_goes_on_after_capture(void)
{
	struct ramet_err err = {0};
	struct host h;
	uint64_t n = 5, answer[4];
	REQUIRE_OK(host_open(&h, &err), &err);
	CHECK_INT(write(h.control, &n, sizeof(n)), sizeof(n));
	CHECK_INT(read(h.control, answer, sizeof(answer)), sizeof(answer));
	CHECK_INT(answer[0], SUM + n);
	CHECK_INT(answer[3], SAFEPOINT_HOST);
	host_close(&h);
}

static void test_damaged_descriptor_is_refused(void)
{
	struct ramet_err err = {0};
	struct host h;
	struct descriptor_view view;
	REQUIRE_OK(host_open(&h, &err), &err);
	uint64_t len = h.image->desc.header->total_len;
	unsigned char *copy = aligned_alloc(8, (len + 7) / 8 * 8);
	REQUIRE(copy != NULL);
	memcpy(copy, h.image->desc_bytes, len);
	CHECK_INT(descriptor_open(copy, len - 8, &view, &err), RAMET_EPROTO);
	copy[len / 2] ^= 1;
	CHECK_INT(descriptor_open(copy, len, &view, &err), RAMET_ECHECKSUM);
	copy[len / 2] ^= 1;
	((struct descriptor_header *)(void *)copy)->version++;
	CHECK_INT(descriptor_open(copy, len, &view, &err), RAMET_EVERSION);
	free(copy);
	host_close(&h);
}

SUITE_MAIN("fork", TEST(test_clones_answer_from_the_captured_memory),
	TEST(test_host_goes_on_after_capture), TEST(test_damaged_descriptor_is_refused))
