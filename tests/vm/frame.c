/* Frames between agents, `on` and run: blocking, whole. Not those of base/frame.h, which go by
 * sendmsg(): a virtio-serial port is no socket. */
#include "frame.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* all of it in or out; 0 or -1 */
static int transfer(int fd, void *bytes, size_t len, bool out)
{
	for (char *at = bytes; len > 0;) {
		ssize_t n = out ? write(fd, at, len) : read(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int frame_send(int fd, enum frame_type type, uint32_t id, const void *bytes, size_t len)
{
	uint32_t head[3] = {type, id, (uint32_t)len};
	if (len > FRAME_MAX || transfer(fd, head, sizeof(head), true) < 0)
		return -1;
	return transfer(fd, (void *)(uintptr_t)bytes, len, true); /* only read */
}

int frame_receive(int fd, struct frame *ret)
{
	uint32_t head[3];
	if (transfer(fd, head, sizeof(head), false) < 0 || head[2] > FRAME_MAX)
		return -1;
	char *bytes = malloc(head[2] + 1);
	if (!bytes || transfer(fd, bytes, head[2], false) < 0) {
		free(bytes);
		return -1;
	}
	bytes[head[2]] = '\0';
	*ret = (struct frame){.type = head[0], .id = head[1], .len = head[2], .bytes = bytes};
	return 0;
}
