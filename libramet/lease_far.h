/* A lease on another node: calls lie in slots of our own, and a stream carries them to the lease's
 * slots there and brings answers back (runtime/slots/slots_stream.h). To everybody else it looks
 * like a lease here. With the handle's lock held. */
#ifndef LIBRAMET_LEASE_FAR_H
#define LIBRAMET_LEASE_FAR_H

#include "base/err.h"

#include <stdbool.h>

struct lease_far;
struct slots;

/* lease_far_open - between these slots, which stay the lease's, and fd, the stream, which it takes
 * when it succeeds. RAMET_ENOMEM. */
int lease_far_open(struct slots *slots, int fd, struct lease_far **ret_far, struct ramet_err *err);
void lease_far_close(struct lease_far *far); /* NULL is fine; lease->slots stays */
/* lease_far_watch - these are to be readable when lease_far_receive() has something to do */
int lease_far_watch(struct lease_far *far, const int epoll_fds[2]);
/* lease_far_send - what was submitted */
void lease_far_send(struct lease_far *far);
/* lease_far_receive - answers that have come are in the slots then. 0; RAMET_ECLOSED: the lease is
 * over; RAMET_EPEER, RAMET_EPROTO: it is lost. */
int lease_far_receive(struct lease_far *far);
int lease_far_cancel(struct lease_far *far, unsigned slot); /* RAMET_EAGAIN: not now */
/* lease_far_lose - no answer will come: each call has one now: lost, or, what nobody has heard of,
 * not begun */
void lease_far_lose(struct lease_far *far);
/* lease_far_hang_up - its other side says what cannot be: lease_far_receive() fails next */
void lease_far_hang_up(struct lease_far *far);

#endif
