/* See fuzz_node.h. The seed's key is one that the corpus knows: a fuzzer does not guess 32 bytes.
 */
#include "tests/fuzz/fuzz_node.h"

#include "base/log.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/seeds_internal.h"
#include "cluster/workers.h"
#include "tests/fuzz/fake_bus.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURNS 4

static struct world world;
static bool made;
static char *dir; /* of the node: removed at the end */

/* Its threads end before what libraries have is torn down: a deployment may be being hashed. */
static void end(void)
{
	char command[96];
	workers_destroy(world.nodes[0]->workers);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command) != 0)
		fprintf(stderr, "%s is left\n", dir);
}

static void make(void)
{
	static const struct world_options options = {.max_queue = 64};
	struct ramet_err err = {0};
	made = true;
	if (!world_init(&world, &options))
		abort();
	dir = world.dirs[0];
	log_init("fuzz", LOG_ERROR, open("/dev/null", O_WRONLY | O_CLOEXEC));
	if (!world_deploy(&world, 0, &(struct world_app){0}))
		abort();
	atexit(end); /* by now libcrypto has its own, which come after it */
	struct seed *seed = seeds_find(world.nodes[0]->seeds, world.app->id);
	memset(&seed->key, 'k', sizeof(seed->key));
	seed->key.epoch = 1;
	for (uint32_t node = 2; node <= 3; node++)
		if (members_add(world.nodes[0]->members, node, "127.0.0.1:1", &err) < 0)
			abort();
}

struct world *fuzz_node(void)
{
	if (!made)
		make();
	return &world;
}

void fuzz_node_turn(void)
{
	for (unsigned i = 0; i < TURNS; i++)
		(void)loop_turn(world.loop, 0, NULL);
}

static void put_version(uint8_t *bytes, size_t len)
{
	char placeholder[VERSION_HEX];
	memset(placeholder, 'v', sizeof(placeholder));
	for (uint8_t *at = bytes;
		(at = memmem(at, (size_t)(bytes + len - at), placeholder, VERSION_HEX));)
		memcpy(at, world.app->id, VERSION_HEX);
}

bool fuzz_part_next(const uint8_t **io_data, size_t *io_len, struct fuzz_part *ret_part)
{
	static uint8_t bytes[65536];
	const uint8_t *at = *io_data;
	if (*io_len < 4)
		return false;
	size_t len = at[2] | (size_t)at[3] << 8;
	len = MIN(len, *io_len - 4);
	memcpy(bytes, at + 4, len);
	put_version(bytes, len);
	*ret_part = (struct fuzz_part){at[0], at[1], bytes, len};
	*io_data += 4 + len;
	*io_len -= 4 + len;
	return true;
}
