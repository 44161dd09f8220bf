/* What a client sends to rametd: frames of one connection, and the answers of other nodes to what
 * is asked on its behalf. Parts (fuzz_node.h): `what` a multiple of 4: an answer to the node; else
 * a frame. `shutdown` is left out: the node is needed again. */
#include "tests/fuzz/fuzz.h"

#include "cluster/bus_proto.h"
#include "tests/fuzz/fake_bus.h"
#include "tests/fuzz/fuzz_node.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FRAME_CAP 65536

static int dial(const struct world *world)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/sock", world->dirs[0]);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	abort(); /* the node does not serve any more */
}

static void send_frame(int fd, const struct fuzz_part *part)
{
	static unsigned char frame[4 + FRAME_CAP];
	uint32_t len = (uint32_t)part->len;
	if (memmem(part->data, part->len, "shutdown", 8))
		return;
	memcpy(frame, &len, sizeof(len));
	memcpy(frame + sizeof(len), part->data, part->len);
	(void)!send(fd, frame, sizeof(len) + part->len, MSG_NOSIGNAL);
}

static void answer(struct bus *bus, const struct fuzz_part *part)
{
	const struct wire_limits limits = {
		.bytes = BUS_MAX_MESSAGE, .depth = BUS_WIRE_DEPTH, .items = BUS_WIRE_ITEMS};
	struct wire_msg *msg = NULL;
	if (wire_parse(part->data, part->len, limits, &msg, NULL) == 0 &&
		wire_is_map(wire_root(msg)))
		fake_bus_answer(bus, wire_root(msg), NULL);
	wire_free(msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct world *world = fuzz_node();
	struct bus *bus = world->nodes[0]->bus;
	struct fuzz_part part;
	char sink[4096];
	int fd = dial(world);
	for (unsigned n = 0; n < 16 && fuzz_part_next(&data, &len, &part); n++) {
		if (part.what % 4)
			send_frame(fd, &part);
		else
			answer(bus, &part);
		fuzz_node_turn();
		while (recv(fd, sink, sizeof(sink), 0) > 0)
			;
	}
	close(fd);
	fuzz_node_turn();
	fake_bus_reset(bus);
	fuzz_node_turn();
	return 0;
}
