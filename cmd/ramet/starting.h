/* Starting the nodes of a cluster and waiting until every one sees all others. */
#ifndef CMD_RAMET_STARTING_H
#define CMD_RAMET_STARTING_H

#include "cmd/ramet/cluster_dir.h"

/* starting_check_ports - RAMET_EEXIST: a port that a node will listen on is in use; names it */
int starting_check_ports(const struct cluster *cluster, struct ramet_err *err);
/* starting_run - start every daemon and wait. A daemon that ends, or a cluster that is not complete
 * in time, is an error with the last lines of that node's log; the caller then stops what was
 * started. */
int starting_run(const struct cluster *cluster, unsigned timeout_ms, struct ramet_err *err);

#endif
