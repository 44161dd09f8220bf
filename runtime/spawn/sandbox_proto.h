/* What ramet-spawn and its helper ramet-sandbox say to each other: fixed structs on a seqpacket
 * socket, which is the helper's descriptor 3. The helper speaks first, once its root is made; then
 * it answers each request in order. Both are built together; an end of the connection ends the
 * helper. */
#ifndef RUNTIME_SPAWN_SANDBOX_PROTO_H
#define RUNTIME_SPAWN_SANDBOX_PROTO_H

#include <stdint.h>

#define SANDBOX_SOCKET_FD 3
#define SANDBOX_VIEW_FD 4 /* with the option: a mount to lay over the machine's files */
#define SANDBOX_VIEW_OPTION "--view"
#define SANDBOX_DATA_OPTION "--data" /* then paths; descriptors of what is there come last */
#define SANDBOX_DATA_MAX 32

struct sandbox_request {
	uint32_t count; /* sandboxes to make; each is answered by itself */
};

struct sandbox_reply {
	int32_t error; /* errno, or 0 */
	int32_t pid; /* of the sandbox's init, a child of ramet-spawn; 0 in the first message */
	char what[120]; /* on error: what failed on what */
};

#endif
