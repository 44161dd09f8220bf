/* rametd's configuration: one YAML file. Unknown keys and bad values are errors that name the file
 * and the key. */
#ifndef CLUSTER_NODE_CONFIG_H
#define CLUSTER_NODE_CONFIG_H

#include "base/err.h"
#include "base/log.h"
#include "cluster/client_proto.h"
#include "cluster/members.h"

#include <stdbool.h>
#include <stdint.h>

#define NODE_MAX_PEERS 255
#define NODE_MAX_ID 65535
#define NODE_PATH_MAX 256 /* with its NUL */

enum pager_mode { PAGER_AUTO, PAGER_UFFD, PAGER_EAGER };

struct node_peer {
	uint32_t node;
	char listen[MEMBER_ADDR_MAX + 1];
};

/* What one tenant may have on this node; 0: no limit. */
struct tenant_quota {
	uint64_t memory; /* bytes, of all its instances */
	uint64_t cache; /* bytes, of the pages of its seeds */
	uint32_t pids; /* processes and threads */
	uint32_t instances; /* alive at once */
	uint32_t queue; /* calls that wait */
};

struct node_config {
	uint32_t node;
	char name[MEMBER_NAME_MAX + 1]; /* default: the host's name */
	char dir[NODE_PATH_MAX]; /* default /var/lib/ramet */
	char hide[NODE_PATH_MAX]; /* instances see nothing below it; default: dir */
	char client_socket[108]; /* default <dir>/rametd.sock */
	char listen[MEMBER_ADDR_MAX + 1]; /* bus */
	char data[TRANSPORT_ADDR_MAX]; /* transport */
	char transport[16]; /* "auto", "verbs", "tcp" */
	struct transport_options rdma; /* device, port, …; zeros choose; and limits.silence */
	enum pager_mode pager;
	bool checksums; /* of pages that come from peers are compared; default true */
	enum log_level log_level;
	char environments[NODE_PATH_MAX]; /* of apps with requirements; default: see the man page */
	char python[NODE_PATH_MAX]; /* default /usr/bin/python3 */
	uint32_t pool_sandboxes, pool_stubs; /* kept ready */
	uint32_t capacity; /* instances that run at once; default: cores; what exceeds it waits or
			      goes elsewhere */
	uint32_t max_instances; /* alive at once on this node */
	uint32_t max_queue; /* calls that wait */
	uint64_t idle_ms; /* an instance without a call ends after so long */
	uint64_t host_idle_ms; /* or after so long if clones do the same and have less memory */
	uint64_t start_ms; /* from a cold start's beginning until its interpreter has come up */
	uint64_t deadline_ms; /* of calls that name none; 0: none */
	uint64_t store_bytes; /* of files fetched from peers; 0: no limit */
	struct tenant_quota quota;
	uint32_t npeers;
	struct node_peer peers[NODE_MAX_PEERS];
};

/* node_config_load - read and check a file; what it leaves out has the default */
int node_config_load(const char *path, struct node_config *ret_config, struct ramet_err *err);

#endif
