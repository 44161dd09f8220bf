/* The real ramet-spawn for the nodes of a world: processes, sandboxes, templates. The host is
 * mini_host.c. */
#include "base/file.h"
#include "tests/cluster_node/world.h"

#include <stdio.h>
#include <stdlib.h>

int world_spawn(struct world *world, unsigned index, const struct world_options *options,
	struct ramet_err *err)
{
	const char *bin = getenv("RAMET_BIN");
	char spawn[512], stub[512], host[512], store[128], name[32];
	(void)options;
	if (!bin)
		return err_set(err, RAMET_ENOTFOUND, "RAMET_BIN: where ramet-spawn is");
	snprintf(spawn, sizeof(spawn), "%s/ramet-spawn", bin);
	snprintf(stub, sizeof(stub), "%s/ramet-stub", bin);
	snprintf(host, sizeof(host), "%s/mini_host", bin);
	snprintf(store, sizeof(store), "%s/store", world->dirs[index]);
	snprintf(name, sizeof(name), "world%u.%d", index + 1, (int)getpid());
	setenv("RAMET_HOST", host, 1);
	int rc = file_mkdirs(store, 0711, err);
	const struct spawn_options spawn_options = {
		.spawn_path = spawn,
		.stub_path = stub,
		.store_dir = store,
		.node_name = name,
		.sandboxes = 4,
		.stubs = 2,
	};
	if (rc == 0)
		rc = spawn_client_start(
			world->loop, &spawn_options, NULL, NULL, &world->spawns[index], err);
	return rc;
}
