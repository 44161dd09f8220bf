/* The directory of a cluster of `ramet up`: what lies where, what is remembered for `ramet down`,
 * and the lock that keeps two of them apart.
 *
 *	DIR/cluster           what was started, written before anything is made
 *	DIR/lock              held while up or down works
 *	DIR/node1/config.yaml
 *	DIR/node1/client.sock
 *	DIR/node1/log         stdout and stderr of rametd
 *	DIR/node1/pid         process id and start time
 *	DIR/node1/…           rametd's own */
#ifndef CMD_RAMET_CLUSTER_DIR_H
#define CMD_RAMET_CLUSTER_DIR_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define CLUSTER_MAX_NODES 200
#define CLUSTER_DIR_MAX 80 /* so that socket paths fit */
#define CLUSTER_PATH_MAX 128
#define CLUSTER_TAG_LEN 6

struct cluster {
	char dir[CLUSTER_DIR_MAX + 1]; /* absolute */
	char tag[CLUSTER_TAG_LEN + 1]; /* of the directory: names what is made outside of it */
	unsigned nodes;
	bool netns; /* nodes are network namespaces; else loopback ports */
	unsigned port; /* the first */
	char transport[16];
	int lock_fd; /* -1 */
};

/* cluster_init - dir NULL: the default (libramet/address.h). Nothing is created. */
int cluster_init(struct cluster *cluster, const char *dir, struct ramet_err *err);
/* cluster_leave - release the lock; the directory goes too if no cluster is in it */
void cluster_leave(struct cluster *cluster);

/* cluster_lock - create the directory and lock it; RAMET_EEXIST: another up or down is at work */
int cluster_lock(struct cluster *cluster, struct ramet_err *err);
bool cluster_exists(const struct cluster *cluster); /* something was started here and not removed */
int cluster_save(const struct cluster *cluster, struct ramet_err *err);
/* cluster_load - nodes, netns, port as saved; RAMET_ENOCLUSTER: nothing was started here */
int cluster_load(struct cluster *cluster, struct ramet_err *err);
/* cluster_remove - delete the nodes' directories and what was saved */
int cluster_remove(struct cluster *cluster, struct ramet_err *err);

/* DIR/nodeN/name; name "" is the directory itself */
void cluster_path(
	const struct cluster *cluster, unsigned node, const char *name, char dst[CLUSTER_PATH_MAX]);
/* "HOST" of a node: in its namespace's private network, or loopback */
void cluster_host(const struct cluster *cluster, unsigned node, char dst[16]);
/* the node's port for the bus (which 0) or the transport (1) */
unsigned cluster_port(const struct cluster *cluster, unsigned node, unsigned which);

#endif
