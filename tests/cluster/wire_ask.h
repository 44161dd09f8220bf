/* Requests of a client of rametd, for tests: an app of fake_spawn.h's functions, calls of them. */
#ifndef TESTS_CLUSTER_WIRE_ASK_H
#define TESTS_CLUSTER_WIRE_ASK_H

#include "tests/cluster/wire_client.h"

#include <stdbool.h>
#include <stdint.h>

/* a world and a client on its first node, as ourselves */
#define CLIENT_BEGIN(count) \
	static struct world world; \
	static struct wire_client client; \
	REQUIRE(world_init(&world, &((struct world_options){.nodes = (count)}))); \
	REQUIRE(wire_client_greet(&client, &world, 0, geteuid()))
#define CLIENT_END() \
	wire_client_close(&client); \
	world_fini(&world)

/* wire_ask_deploy - an app of one file with these bytes; node 0: any */
void wire_ask_deploy(struct wire_client *client, uint64_t req, uint32_t node, const char *lang,
	const char *data);
bool wire_ask_deployed(struct wire_client *client, uint64_t req, uint32_t node); /* and waits */

struct wire_ask_call {
	const char *name, *data; /* data NULL: "42" */
	uint32_t node, deadline_ms;
	bool detach, follow;
};
void wire_ask_call(struct wire_client *client, uint64_t req, struct wire_ask_call call);
/* wire_ask_name - a request with one key, wire_ask_plain - one with none */
void wire_ask_name(struct wire_client *client, uint64_t req, const char *type, const char *key,
	const char *value);
void wire_ask_plain(struct wire_client *client, uint64_t req, const char *type);
void wire_ask_cancel(struct wire_client *client, uint64_t req, uint64_t of);
/* wire_ask_rows - of a list, when they have come; NULL: they have not */
const struct wire_value *wire_ask_rows(
	struct wire_client *client, uint64_t req, const char *what, uint32_t *ret_count);

#endif
