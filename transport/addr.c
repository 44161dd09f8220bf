/* Text to socket address and back: see addr.h. */
#include "transport/addr.h"

#include "base/err.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int addr_parse(
	const char *addr, struct sockaddr_storage *ret, socklen_t *ret_len, struct ramet_err *err)
{
	char host[TRANSPORT_ADDR_MAX];
	snprintf(host, sizeof(host), "%s", addr);
	char *colon = strrchr(host, ':');
	char *end = NULL;
	if (colon && colon != host && strtoul(colon + 1, &end, 10) > 65535)
		end = NULL; /* getaddrinfo would wrap it */
	if (!end || end == colon + 1 || *end != '\0')
		return err_set(err, RAMET_EINVAL, "address %s: not host:port", addr);
	*colon = '\0';
	char *start = host;
	if (host[0] == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		start++;
	}
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
	};
	struct addrinfo *info;
	if (getaddrinfo(start, colon + 1, &hints, &info) != 0)
		return err_set(err, RAMET_EINVAL,
			"address %s: not a numeric host:port (resolve names before)", addr);
	memcpy(ret, info->ai_addr, info->ai_addrlen);
	*ret_len = info->ai_addrlen;
	freeaddrinfo(info);
	return 0;
}

void addr_format(const struct sockaddr_storage *sa, socklen_t len, char dst[TRANSPORT_ADDR_MAX])
{
	char host[48], port[8];
	if (getnameinfo((const struct sockaddr *)sa, len, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(dst, TRANSPORT_ADDR_MAX, "?");
	else
		snprintf(dst, TRANSPORT_ADDR_MAX, sa->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
			host, port);
}

void addr_format_peer(const struct sockaddr *sa, char dst[TRANSPORT_ADDR_MAX])
{
	socklen_t len = sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						  : sizeof(struct sockaddr_in);
	struct sockaddr_storage storage = {0};
	memcpy(&storage, sa, len);
	addr_format(&storage, len, dst);
}
