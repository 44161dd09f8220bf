/* A client of rametd's socket for tests: on the test's own loop, one frame at a time, keeping
 * everything that comes. */
#ifndef TESTS_CLUSTER_WIRE_CLIENT_H
#define TESTS_CLUSTER_WIRE_CLIENT_H

#include "base/frame.h"
#include "base/wire.h"
#include "tests/cluster_node/world.h"

#include <stdbool.h>
#include <stdint.h>

#define WIRE_CLIENT_MAX 512

struct wire_client_message {
	char type[24];
	uint64_t req;
	unsigned char *data; /* owns what msg points into */
	struct wire_msg *msg;
};

struct wire_client {
	struct world *world;
	struct frame_conn *conn;
	struct wire_client_message messages[WIRE_CLIENT_MAX];
	unsigned count;
	unsigned closed;
};

/* connects to a node's socket; with uid other than our own, as that user */
bool wire_client_open(struct wire_client *client, struct world *world, unsigned index, uid_t uid);
/* also says hello and waits for welcome */
bool wire_client_greet(struct wire_client *client, struct world *world, unsigned index, uid_t uid);
void wire_client_close(struct wire_client *client);
void wire_client_send(struct wire_client *client, struct buf *b); /* b is freed */
/* opens a request: pairs more are to be packed */
void wire_client_begin(struct buf *b, const char *type, uint64_t req, uint32_t pairs);

/* how many messages of a type came for a request; req 0: any */
unsigned wire_client_seen(const struct wire_client *client, const char *type, uint64_t req);
/* waits for the n-th (from 1) of them; NULL and a failed test if it does not come */
const struct wire_value *wire_client_wait(
	struct wire_client *client, const char *type, uint64_t req, unsigned n);
/* waits for `error` and returns its code */
int wire_client_error(struct wire_client *client, uint64_t req, char message[400]);

bool wire_client_is_closed(struct wire_client *client); /* by the node, within the time */

/* Of a message, or of a map in it (NULL is fine): a text or "(no key)", in memory that is used
 * again some calls later; a number or UINT64_MAX; the code of its error or "". */
const char *wire_client_text(const struct wire_value *map, const char *key);
uint64_t wire_client_number(const struct wire_value *map, const char *key);
const char *wire_client_error_code(const struct wire_value *result);

#endif
