/* A configuration file of rametd as it is written, between what reads it (node_config.c) and what
 * must hold (node_config_check.c). */
#ifndef CLUSTER_NODE_CONFIG_FILE_H
#define CLUSTER_NODE_CONFIG_FILE_H

#include "cluster/node_config.h"

#include <stdint.h>

struct raw_peer {
	uint32_t node;
	char *listen;
};

struct raw_rdma {
	char *device;
	uint32_t port, gid_index, mtu, service_level, traffic_class;
};

struct raw_pools {
	uint32_t sandboxes, stubs;
};

struct raw_tenant {
	uint32_t instances, queue, pids;
	char *memory, *cache;
};

struct raw_limits {
	struct raw_tenant tenant;
	uint32_t capacity, instances, queue;
	char *idle, *host_idle, *start, *silence, *deadline, *store;
};

/* the file as it is written; what it leaves out is NULL or 0 */
struct raw_config {
	uint32_t node;
	char *name, *dir, *hide, *client_socket, *listen, *data, *transport, *pager, *checksums,
		*log_level, *python, *environments;
	struct raw_rdma rdma;
	struct raw_pools pools;
	struct raw_limits limits;
	struct raw_peer *peers;
	unsigned peers_count;
};

/* node_config_check - what the file says, with what it leaves out; RAMET_ECONFIG, with path and key
 */
int node_config_check(const char *path, const struct raw_config *raw, struct node_config *config,
	struct ramet_err *err);

#endif
