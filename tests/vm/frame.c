/* Frames between agents, `on` and run: blocking, whole. */
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;
	while (len > 0) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_all(int fd, void *bytes, size_t len)
{
	char *at = bytes;
	while (len > 0) {
		ssize_t n = read(fd, at, len);
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
	if (len > FRAME_MAX || write_all(fd, head, sizeof(head)) < 0)
		return -1;
	return write_all(fd, bytes, len);
}

int frame_receive(int fd, struct frame *ret)
{
	uint32_t head[3];
	if (read_all(fd, head, sizeof(head)) < 0 || head[2] > FRAME_MAX)
		return -1;
	char *bytes = malloc(head[2] + 1);
	if (!bytes || read_all(fd, bytes, head[2]) < 0) {
		free(bytes);
		return -1;
	}
	bytes[head[2]] = '\0';
	*ret = (struct frame){.type = head[0], .id = head[1], .len = head[2], .bytes = bytes};
	return 0;
}
