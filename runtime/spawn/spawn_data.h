/* What an app declares as `data`: paths of this node that its instances see, read-only. */
#ifndef RUNTIME_SPAWN_SPAWN_DATA_H
#define RUNTIME_SPAWN_SPAWN_DATA_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/wire.h"
#include "runtime/spawn/sandbox.h"

#include <stdint.h>

struct membership;
struct spawn_server;

struct spawn_data {
	char **paths;
	struct sandbox_data *v; /* for the pool's options */
	uint32_t count;
};
void spawn_data_fini(struct spawn_data *data);

/* spawn_data_open - those of a request, each found and opened with the rights that the tenant's
 * instances have. RAMET_EREFUSED names the one that is missing, that the tenant may not read, or
 * that is not to be shown: rametd's own directory, what lies around it, what sandboxes have of
 * their own. Where there are no sandboxes nothing is hidden, and this only looks. */
int spawn_data_open(const struct spawn_server *server, const struct wire_value *body,
	const struct membership *of, struct spawn_data *ret_data, struct ramet_err *err);

#endif
