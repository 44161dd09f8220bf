/* The queue of outgoing frames. A sendmsg that carries descriptors carries one frame only, or its
 * first part; frames without any go many at a time. */
#include "base/frame_queue.h"
#include "base/cleanup.h"
#include "base/fdpass.h"
#include "ramet/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FRAMES_AT_ONCE 16

struct frame_out {
	struct frame_out *next;
	unsigned nfds; /* not sent yet; they go with the first byte */
	int fds[FDPASS_MAX];
	size_t len, sent;
	unsigned char bytes[]; /* header and data, or what a direct send left of them */
};

static void out_free(struct frame_out *out)
{
	fdpass_close(out->fds, out->nfds);
	free(out);
}

void frame_queue_clear(struct frame_queue *q)
{
	while (q->head) {
		struct frame_out *next = q->head->next;
		out_free(q->head);
		q->head = next;
	}
	*q = (struct frame_queue){0};
}

ssize_t frame_queue_send(int sock, const unsigned char header[FRAME_HEADER], const void *data,
	size_t len, const int *fds, unsigned nfds)
{
	struct iovec iov[2] = {{(void *)header, FRAME_HEADER}, {(void *)data, len}};
	return fdpass_send(sock, iov, len ? 2 : 1, fds, nfds, MSG_DONTWAIT);
}

int frame_queue_push(struct frame_queue *q, const unsigned char header[FRAME_HEADER],
	const void *data, size_t len, size_t sent, const int *fds, unsigned nfds)
{
	size_t left = FRAME_HEADER + len - sent;
	struct frame_out *out = malloc(sizeof(*out) + left);
	if (!out)
		return RAMET_ENOMEM;
	*out = (struct frame_out){.len = left};
	for (; sent == 0 && out->nfds < nfds; out->nfds++) {
		out->fds[out->nfds] = fcntl(fds[out->nfds], F_DUPFD_CLOEXEC, 3);
		if (out->fds[out->nfds] < 0) {
			out_free(out);
			return RAMET_EIO;
		}
	}
	size_t head = sent < FRAME_HEADER ? FRAME_HEADER - sent : 0;
	memcpy(out->bytes, header + FRAME_HEADER - head, head);
	if (left > head)
		memcpy(out->bytes + head, (const unsigned char *)data + len - (left - head),
			left - head);
	if (q->tail)
		q->tail->next = out;
	else
		q->head = out;
	q->tail = out;
	q->bytes += left;
	return 0;
}

static unsigned gather(const struct frame_queue *q, struct iovec iov[FRAMES_AT_ONCE])
{
	unsigned count = 0;
	for (struct frame_out *out = q->head; out && count < FRAMES_AT_ONCE; out = out->next) {
		if (count && out->nfds)
			break;
		iov[count++] = (struct iovec){out->bytes + out->sent, out->len - out->sent};
		if (out->nfds)
			break;
	}
	return count;
}

static void taken(struct frame_queue *q, size_t n)
{
	q->bytes -= n;
	while (q->head && n) {
		struct frame_out *out = q->head;
		size_t part = MIN(n, out->len - out->sent);
		fdpass_close(out->fds, out->nfds);
		out->nfds = 0;
		out->sent += part;
		n -= part;
		if (out->sent < out->len)
			return;
		q->head = out->next;
		out_free(out);
	}
	if (!q->head)
		q->tail = NULL;
}

bool frame_queue_flush(struct frame_queue *q, int sock)
{
	while (q->head) {
		struct iovec iov[FRAMES_AT_ONCE];
		unsigned count = gather(q, iov);
		ssize_t n =
			fdpass_send(sock, iov, count, q->head->fds, q->head->nfds, MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		taken(q, (size_t)n);
	}
	return true;
}
