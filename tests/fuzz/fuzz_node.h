/* One node in the fuzzer's process, with one app deployed and a seed made of it, whose instances
 * are fakes (tests/cluster_node/fake_spawn.h) and whose peers are the fuzzer (fake_bus.h). It is
 * made once and lives as long as the program. */
#ifndef TESTS_FUZZ_FUZZ_NODE_H
#define TESTS_FUZZ_FUZZ_NODE_H

#include "tests/cluster_node/world.h"

struct world *fuzz_node(void);
void fuzz_node_turn(void); /* a few turns of its loop, which do not wait */

/* An input is a list of parts: two bytes that say what to do and with what, a length of two bytes,
 * little-endian, and the part's bytes, in which 64 times "v" stands for the app's version. */
struct fuzz_part {
	unsigned what, which;
	const uint8_t *data; /* until the next part */
	size_t len;
};
/* fuzz_part_next - the next one, whose bytes are there; false: no more */
bool fuzz_part_next(const uint8_t **io_data, size_t *io_len, struct fuzz_part *ret_part);

#endif
