/* The stub's socket, and the functions that a compiler may call without being asked. */
#include "rfork/stub/stub.h"

#include <stddef.h>
#include <sys/socket.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memset(void *dst, int byte, size_t n);

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	void *ret = dst;
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
	return ret;
}

void *memset(void *dst, int byte, size_t n)
{
	void *ret = dst;
	__asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(byte) : "memory");
	return ret;
}

void stub_exit(int status)
{
	for (;;)
		sys1(__NR_exit_group, status);
}

void stub_receive(struct stub_message *msg)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * STUB_FILES_PER_MSG)];
	} control;
	struct iovec iov = {.iov_base = &msg->build, .iov_len = sizeof(struct stub_clone)};
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	control.header.cmsg_type = 0; /* unless descriptors come */

	long n;
	do {
		n = sys3(__NR_recvmsg, STUB_SOCKET_FD, &h, 0);
	} while (n == -4 /* EINTR */);
	if (n <= 0)
		stub_exit(0);
	msg->len = n;
	msg->nfds = 0;
	if (h.msg_controllen >= CMSG_LEN(sizeof(int)) && control.header.cmsg_type == SCM_RIGHTS) {
		msg->nfds = (unsigned)((control.header.cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(msg->fds, CMSG_DATA(&control.header), msg->nfds * sizeof(int));
	}
}

void stub_answer(const struct stub_reply *reply, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = (void *)reply, .iov_len = sizeof(*reply)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		h.msg_control = &control;
		h.msg_controllen = sizeof(control);
	}
	if (sys3(__NR_sendmsg, STUB_SOCKET_FD, &h, MSG_NOSIGNAL) < 0)
		stub_exit(1);
}
