/* What comes over the stream of a lease on another node: the first byte says who is asked, the node
 * or the client with calls under way; the rest is what the other side sends. */
#include "tests/fuzz/fuzz.h"

#include "base/log.h"
#include "tests/slots/far_pair.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALLS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct far_pair p;
	if (len < 1)
		return 0;
	bool node = data[0] & 1;
	if (!far_pair_open(&p, node ? FAR_NODE : FAR_CLIENT, 0))
		abort();
	for (uint64_t i = 1; i <= CALLS && !node; i++)
		(void)far_pair_submit(&p, "call", i);
	int fd = node ? p.client_fd : p.node_fd;
	int rc = 0;
	for (size_t at = 1; at < len && rc == 0 && p.gone == 0;) {
		ssize_t n = send(fd, data + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		at += n > 0 ? (size_t)n : 0;
		rc = far_pair_turn(&p);
		if (node) {
			(void)lease_memory_serve(&p.memory);
			lease_stream_look(p.stream);
		}
		if (n <= 0 && rc == 0 && p.gone == 0)
			break;
	}
	(void)far_pair_turn(&p);
	far_pair_close(&p);
	return 0;
}
