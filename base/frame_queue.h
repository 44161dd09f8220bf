/* What a frame connection has still to send: whole frames and the rest of one that was begun. Used by frame.c only. */
#ifndef BASE_FRAME_QUEUE_H
#define BASE_FRAME_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define FRAME_HEADER 4

struct frame_out;
struct frame_queue {
	struct frame_out *head, *tail;
	size_t bytes;
};

/* frame_queue_send - one frame straight to the socket, for when the queue is empty: bytes taken, or -1 and errno */
ssize_t frame_queue_send(int sock, const unsigned char header[FRAME_HEADER], const void *data, size_t len,
	const int *fds, unsigned nfds);
/* frame_queue_push - a frame but for its first `sent` bytes; duplicates its descriptors if none of it was sent.
 * RAMET_ENOMEM; RAMET_EIO: a descriptor cannot be duplicated */
int frame_queue_push(struct frame_queue *q, const unsigned char header[FRAME_HEADER], const void *data, size_t len,
	size_t sent, const int *fds, unsigned nfds);
/* frame_queue_flush - send until the queue is empty or the socket full: false when the socket failed */
bool frame_queue_flush(struct frame_queue *q, int sock);
void frame_queue_clear(struct frame_queue *q);

#endif
