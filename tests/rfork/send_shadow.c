/* See send_shadow.h. */
#include "tests/rfork/send_shadow.h"

#include "rfork/safepoint.h"

#include <string.h>
#include <sys/socket.h>

int send_shadow(const struct safepoint_shadow *shadow)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * 2)];
	} control;
	uint64_t words[2] = {shadow->state, shadow->stall_ns};
	struct iovec iov = {.iov_base = words, .iov_len = sizeof(words)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	memset(&control, 0, sizeof(control));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int) * 2);
	int fds[2] = {shadow->pidfd, shadow->ready_fd};
	memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
	return sendmsg(3, &msg, 0) == (ssize_t)sizeof(words) ? 0 : -1;
}
