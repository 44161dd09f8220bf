/* What a killed daemon leaves behind outside of its directory: control groups. */
#ifndef CMD_RAMET_LEFTOVERS_H
#define CMD_RAMET_LEFTOVERS_H

#include "cmd/ramet/cluster_dir.h"

/* leftovers_remove - the control groups of the cluster's nodes; their processes have ended */
int leftovers_remove(const struct cluster *cluster, struct ramet_err *err);

#endif
