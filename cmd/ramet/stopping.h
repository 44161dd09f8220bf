/* Stopping a cluster of `ramet up`, in whatever state it is. */
#ifndef CMD_RAMET_STOPPING_H
#define CMD_RAMET_STOPPING_H

#include "cmd/ramet/cluster_dir.h"

#define STOPPING_ORDERLY_MS 10000 /* for a cluster that runs */
#define STOPPING_FAILED_MS 2000 /* for one that did not come up */

/* stopping_run - daemons, what they left running, namespaces, control groups, files; the lock is
 * held. Daemons that have not ended after orderly_ms are killed. Afterwards nothing is left, or the
 * error says what. */
int stopping_run(struct cluster *cluster, unsigned orderly_ms, struct ramet_err *err);

#endif
