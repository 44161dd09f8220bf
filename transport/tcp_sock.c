/* Socket options of the `tcp` provider. */
#include "transport/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

int tcp_sock_tune(int fd, unsigned timeout_ms)
{
	const int one = 1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		return -1;
	return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}
