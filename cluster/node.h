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

struct blobs;
struct bundles;
struct bursts;
struct bus;
struct calls;
struct clients;
struct deploy_peers;
struct file_transfer;
struct follows;
struct heap_trim;
struct instances;
struct leases_remote;
struct logrings;
struct registry;
struct secrets;
struct seeds;
struct data_paths;
struct segments;
struct spawn_client;
struct versions;
struct workers;

struct node {
	struct node_config config;
	struct topo topo;
	struct member_info self;

	struct loop *loop; /* control: this thread */
	struct workers *workers;
	struct blobs *blobs;
	struct heap_trim *heap_trim;
	struct workers *background; /* for what nobody waits for, and may take seconds */
	struct spawn_client *spawn; /* ramet-spawn, started before any thread */
	struct segments *segments; /* the data loop's thread, which serves memory to peers */
	struct data_paths *paths;

	struct logrings *logs;
	struct versions *versions;
	struct registry *registry;
	struct secrets *secrets;
	struct bus *bus;
	struct members *members;
	struct follows *follows;
	struct bundles *bundles;
	struct file_transfer *files;
	struct instances *instances;
	struct seeds *seeds;
	struct calls *calls;
	struct leases_remote *remote_leases; /* of clients on other nodes */
	struct bursts *bursts;
	struct deploy_peers *deploys;
	struct clients *clients;

	bool stopping;
	bool failed; /* it stopped because of a failure that was logged */
	void (*on_stopped)(
		void *user); /* for the program that runs the loop; set after node_create() */
	void *on_stopped_user;
};

/* node_create - everything up and listening when it returns. spawn: connected; the node owns it
 * from now on, also on failure. The loop is run by the caller. */
int node_create(struct loop *loop, const struct node_config *config, struct spawn_client *spawn,
	struct node **ret_node, struct ramet_err *err);
/* node_stop - no new clients or requests, those that are open fail, peers are told, then on_stopped
 * (from within): the caller stops the loop and destroys the node. Again: nothing. */
void node_stop(struct node *node);
/* node_destroy - all instances are dead, all that was made is gone, and then clients' connections
 * close. NULL is fine. */
void node_destroy(struct node *node);

#endif
