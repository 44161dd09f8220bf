/* The "host:port" of providers that use network addresses. Numeric: resolving names blocks. */
#ifndef TRANSPORT_ADDR_H
#define TRANSPORT_ADDR_H

#include "transport/transport.h"

#include <sys/socket.h>

int addr_parse(
	const char *addr, struct sockaddr_storage *ret, socklen_t *ret_len, struct ramet_err *err);
void addr_format_peer(const struct sockaddr *sa, char dst[TRANSPORT_ADDR_MAX]); /* IPv4 or IPv6 */
void addr_format(const struct sockaddr_storage *sa, socklen_t len, char dst[TRANSPORT_ADDR_MAX]);

#endif
