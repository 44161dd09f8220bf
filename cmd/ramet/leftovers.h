/* What a killed daemon leaves behind outside of its directory: control groups. */
#ifndef CMD_RAMET_LEFTOVERS_H
#define CMD_RAMET_LEFTOVERS_H

#include "cmd/ramet/cluster_dir.h"

/* leftovers_remove - the control groups of the cluster's nodes; their processes have ended */
void leftovers_remove(const struct cluster *cluster);

#endif
