/* Stopping a cluster of `ramet up`, in whatever state it is. */
#ifndef CMD_RAMET_STOPPING_H
#define CMD_RAMET_STOPPING_H

#include "cmd/ramet/cluster_dir.h"

/* stopping_run - daemons, what they left running, namespaces, control groups, files; the lock is
 * held. Afterwards nothing is left, or the error says what. */
int stopping_run(struct cluster *cluster, struct ramet_err *err);

#endif
