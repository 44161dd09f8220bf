/* Network namespaces for the nodes of `ramet up`: one each, joined by veth to a bridge that has a
 * namespace of its own. The host's namespace is not touched. Root only; uses iproute2. */
#ifndef CMD_RAMET_NETNS_H
#define CMD_RAMET_NETNS_H

#include "cmd/ramet/cluster_dir.h"

/* the namespace of a node, 0: the bridge's; a file in /run/netns */
void netns_name(const struct cluster *cluster, unsigned node, char dst[32]);
int netns_create(const struct cluster *cluster, struct ramet_err *err);
/* netns_remove - all of them, also half-made ones and those of a cluster whose directory is lost */
int netns_remove(const struct cluster *cluster, struct ramet_err *err);
/* netns_enter - put the calling thread into a node's */
int netns_enter(const struct cluster *cluster, unsigned node, struct ramet_err *err);

#endif
