/* The host's end of the control socket: base/frame.h frames, blocking, through memory that is
 * reused from call to call. Small frames live in the channel itself, so that a clone's first call
 * needs no page but the channel's; large ones in a mapping of their own that is given back when it
 * is no longer worth keeping. */
#ifndef RUNTIME_HOST_CHANNEL_H
#define RUNTIME_HOST_CHANNEL_H

#include "base/frame.h"
#include "ramet/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define CHANNEL_SMALL 2048
#define CHANNEL_KEEP (1u << 20) /* a larger buffer is not kept for the next frame */
#define CHANNEL_MAX_IOV 3

struct channel {
	int fd;
	volatile sig_atomic_t sending; /* a frame is half out: nothing may be written in between */
	unsigned char *data; /* small, or a mapping */
	size_t cap, start, end; /* unread bytes are [start, end) */
	int fds[FRAME_MAX_FDS]; /* that came with the frame read last, and are not taken (-1) */
	unsigned nfds;
	unsigned char small[CHANNEL_SMALL];
};

void channel_init(struct channel *channel, int fd);

/* channel_read - waits for a whole frame; *ret_data is valid until the next channel_read() or
 * channel_trim(). RAMET_ECLOSED: the peer closed; RAMET_EPROTO: no frame of ours; RAMET_EIO,
 * RAMET_ENOMEM. */
int channel_read(struct channel *channel, const unsigned char **ret_data, size_t *ret_len,
	struct ramet_err *err);

/* channel_pending - whether there is something to read, without waiting */
bool channel_pending(const struct channel *channel);
bool channel_buffered(const struct channel *channel); /* the same of what was received already */
/* channel_take_fd - descriptor number i of the frame read last, now the caller's; -1: there is none
 */
int channel_take_fd(struct channel *channel, unsigned i);

/* channel_trim - gives a large buffer back unless what was received and not read needs it. Before a
 * capture, so that the seed does not hold it. */
void channel_trim(struct channel *channel);
/* channel_forget - drops what was received and not read, too: in a clone, to which it was not sent
 */
void channel_forget(struct channel *channel);

/* channel_send - one frame made of parts, with descriptors; waits until it is out. RAMET_ECLOSED,
 * RAMET_EIO. */
int channel_send(struct channel *channel, const struct iovec *parts, unsigned nparts,
	const int *fds, unsigned nfds, struct ramet_err *err);

#endif
