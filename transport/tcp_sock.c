/* Socket options of the `tcp` provider. */
#include "base/clock.h"
#include "transport/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

int tcp_sock_tune(int fd, unsigned timeout_ms)
{
	/* tcp_conn_tick() decides who is dead: the kernel only where that never comes to it */
	const unsigned patience = PULSE_PATIENCE * timeout_ms;
	const int one = 1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		return -1;
	return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof(patience));
}

int tcp_sock_patient(int fd)
{
	const unsigned without_end = 0;
	return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &without_end, sizeof(without_end));
}

uint64_t tcp_sock_answered_ns(int fd, uint64_t now)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	/* every segment acknowledges, also one that brings nothing new */
	uint64_t ago = MIN(info.tcpi_last_ack_recv, info.tcpi_last_data_recv) * NSEC_PER_MSEC;
	return now > ago ? now - ago : 0;
}
