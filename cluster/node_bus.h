/* The table of what a node does with messages of peers; its user is the node. */
#ifndef CLUSTER_NODE_BUS_H
#define CLUSTER_NODE_BUS_H

#include "cluster/bus.h"

extern const struct bus_handler node_bus_handlers[];
extern const unsigned node_bus_handlers_count;

#endif
