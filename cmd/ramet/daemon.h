/* The rametd processes of `ramet up`: starting one, finding it again, and everything that was
 * started by it. */
#ifndef CMD_RAMET_DAEMON_H
#define CMD_RAMET_DAEMON_H

#include "cmd/ramet/cluster_dir.h"

#include <stdint.h>
#include <sys/types.h>

struct daemon {
	pid_t pid; /* 0: none */
	int pidfd; /* readable when it has ended; -1 */
};

/* daemon_configure - make the node's directory and config.yaml */
int daemon_configure(const struct cluster *cluster, unsigned node, struct ramet_err *err);
/* daemon_start - in the node's network namespace, detached from us; its pid is remembered */
int daemon_start(const struct cluster *cluster, unsigned node, struct daemon *ret_daemon,
	struct ramet_err *err);
/* daemon_find - the one that was started as this node and still runs; false: there is none */
bool daemon_find(const struct cluster *cluster, unsigned node, struct daemon *ret_daemon);
/* daemon_last_pid - of the one that was last started as this node, which may be gone; 0: unknown */
pid_t daemon_last_pid(const struct cluster *cluster, unsigned node);
void daemon_fini(struct daemon *daemon); /* forgets it; it runs on */

/* daemon_descendants - pidfds of everything that still runs of this cluster: in its namespaces, or
 * started by its daemons. At most cap; returns how many. The caller closes them. */
size_t daemon_descendants(const struct cluster *cluster, int *ret_pidfds, size_t cap);
/* daemon_wait_all - until all have ended; false: the deadline (CLOCK_MONOTONIC ns) has passed */
bool daemon_wait_all(const int *pidfds, size_t count, uint64_t deadline_ns);

#endif
