/* A peer of a `tcp` transport by hand: a socket, and whatever bytes a test wants to send. */
#ifndef TESTS_CONFORMANCE_TRANSPORT_RAW_H
#define TESTS_CONFORMANCE_TRANSPORT_RAW_H

#include "tests/conformance/transport_pair.h"
#include "transport/greeting.h"
#include "transport/tcp_wire.h"

#include <netinet/in.h>

struct sockaddr_in raw_sockaddr(const char *addr); /* the loopback's, with the port of addr */
int raw_connect(const char *addr); /* a descriptor */
/* raw_is_dropped - the peer hangs up on us, within the time; what it says before is skipped */
int raw_is_dropped(int fd, int timeout_ms);
/* raw_hello - one with the server's token */
void raw_hello(const struct server *s, uint32_t depth, unsigned char dst[GREETING_HELLO_SIZE]);
/* raw_peer - connected and welcome; a descriptor */
int raw_peer(const struct server *s, uint32_t depth);
/* raw_frame - sends it, with made-up payload if it has one */
void raw_frame(int fd, struct tcp_frame frame);

#endif
