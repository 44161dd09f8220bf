/* How a connection begins, whatever carries it: a hello with the token one way, a welcome or
 * refusal the other. Little-endian, of fixed size; a hello fits the private data of a verbs
 * connection request. Parsing takes bytes from anyone: it checks every field, also those that must
 * be zero, and touches nothing but its arguments (tests/fuzz feeds it). */
#ifndef TRANSPORT_GREETING_H
#define TRANSPORT_GREETING_H

#include "transport/transport.h"

#define GREETING_VERSION 1 /* of everything that transports say to each other */
#define GREETING_HELLO_SIZE 56
#define GREETING_WELCOME_SIZE 32

/* The connecting side's first message. */
struct greeting_hello {
	uint32_t depth; /* requests it takes in flight, 1 to TRANSPORT_DEPTH_MAX */
	uint32_t timeout_ms; /* of its heartbeat */
	uint32_t token_len;
	unsigned char token[TRANSPORT_TOKEN_MAX];
};
void greeting_hello_fill(struct greeting_hello *ret, const struct transport_options *options,
	const void *token, size_t token_len);
void greeting_hello_encode(
	const struct greeting_hello *hello, unsigned char dst[GREETING_HELLO_SIZE]);
/* what the first len bytes of a hello already tell: 0 so far so good, RAMET_EPROTO for a stranger's
 * protocol, or RAMET_EVERSION for a hello of another version */
int greeting_hello_glance(const unsigned char *src, size_t len);
/* 0, RAMET_EPROTO or RAMET_EVERSION */
int greeting_hello_parse(const unsigned char src[GREETING_HELLO_SIZE], struct greeting_hello *ret);

/* The answer. */
struct greeting_welcome {
	int32_t status; /* 0, RAMET_EPERM, RAMET_EVERSION, RAMET_ENOMEM */
	uint32_t depth;
	uint32_t timeout_ms;
};
void greeting_welcome_encode(
	const struct greeting_welcome *welcome, unsigned char dst[GREETING_WELCOME_SIZE]);
int greeting_welcome_parse(
	const unsigned char src[GREETING_WELCOME_SIZE], struct greeting_welcome *ret);

#endif
