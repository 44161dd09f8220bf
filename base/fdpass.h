/* sendmsg and recvmsg with descriptors (SCM_RIGHTS), for frames and for fixed structs on seqpacket
 * sockets. */
#ifndef BASE_FDPASS_H
#define BASE_FDPASS_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define FDPASS_MAX 4

/* Both are one system call, repeated on EINTR: its return value, errno set on -1. flags as of
 * sendmsg and recvmsg. */

/* fdpass_send - never raises SIGPIPE; nfds ≤ FDPASS_MAX (EINVAL); the descriptors stay the caller's
 */
ssize_t fdpass_send(int sock, const struct iovec *iov, size_t iov_count, const int *fds,
	unsigned nfds, int flags);
/* fdpass_recv - fds has room for FDPASS_MAX; those received are close-on-exec and the caller's. -1
 * with nothing leaked, and EPROTO when the peer sent more, EMFILE when this process may have no
 * more. */
ssize_t fdpass_recv(int sock, void *data, size_t cap, int *fds, unsigned *ret_nfds, int flags);
void fdpass_close(int *fds, unsigned nfds); /* closes those that are not -1 and sets them to -1 */

#endif
