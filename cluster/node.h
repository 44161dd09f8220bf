/* A node: its configuration, loops and subsystems in one place. Made once by rametd's main; every
 * subsystem is created with a pointer to it and finds the others there. Subsystems are created in
 * the order of the fields and destroyed in the reverse order; a field is NULL until its subsystem
 * exists, and again after. */
#ifndef CLUSTER_NODE_H
#define CLUSTER_NODE_H

#include "base/err.h"
#include "base/loop.h"
#include "base/topo.h"
#include "cluster/members.h"
#include "cluster/node_config.h"

#include <stdbool.h>
#include <stdint.h>

struct bundles;
struct bursts;
struct bus;
struct calls;
struct clients;
struct file_transfer;
struct instances;
struct logrings;
struct registry;
struct seeds;
struct segments;
struct spawn_client;
struct workers;

struct node {
	struct node_config config;
	struct topo topo;
	struct member_info self;

	struct loop *loop; /* control: this thread */
	struct workers *workers;
	struct spawn_client *spawn; /* ramet-spawn, started before any thread */
	struct segments *segments; /* the data loop's thread, which serves memory to peers */

	struct logrings *logs;
	struct registry *registry;
	struct bus *bus;
	struct members *members;
	struct bundles *bundles;
	struct file_transfer *files;
	struct seeds *seeds;
	struct instances *instances;
	struct calls *calls;
	struct bursts *bursts;
	struct clients *clients;

	bool stopping;
	struct loop_timer stop_timer;
	void (*on_stopped)(void *user);
	void *on_stopped_user;
};

/* node_create - everything up and listening when it returns. spawn: connected; the node owns it
 * from now on, also on failure. The loop is run by the caller. */
int node_create(struct loop *loop, const struct node_config *config, struct spawn_client *spawn,
	struct node **ret_node, struct ramet_err *err);
/* node_stop - orderly: no new clients or calls, running calls are cancelled, instances ended; then
 * on_stopped, once */
void node_stop(struct node *node, void (*on_stopped)(void *user), void *user);
void node_destroy(struct node *node); /* at once; NULL is fine */

#endif
