/* Clients of this node: the Unix socket of cluster/client_proto.h, their connections and requests.
 * Control loop only. */
#ifndef CLUSTER_CLIENTS_H
#define CLUSTER_CLIENTS_H

#include "base/err.h"

#include <stdint.h>

struct clients;
struct node;

/* clients_create - binds, listens, and renames the socket into place: from then on the node serves
 */
int clients_create(struct node *node, struct clients **ret_clients, struct ramet_err *err);
/* clients_stop - no new ones; requests that are open fail, new ones are refused; connections stay
 * until the end, by which clients see that all is gone */
void clients_stop(struct clients *clients);
void clients_destroy(
	struct clients *clients); /* connections are closed, the socket is removed; NULL is fine */

/* a member came, went, or was told that it sees us: for those who wait until the cluster is ready
 */
void clients_members_changed(struct clients *clients);
/* a node is dead for us: leases of our clients there are over */
void clients_leases_node_down(struct clients *clients, uint32_t node);
/* a version is gone, or is not the current one any more: the same */
void clients_leases_drop_version(struct clients *clients, const char *version);

/* messages of the bus: questions that peers ask on behalf of their clients */
struct bus_request;
struct wire_value;
void clients_on_peer_logs(
	struct node *node, struct bus_request *request, const struct wire_value *body);
void clients_on_peer_list(
	struct node *node, struct bus_request *request, const struct wire_value *body);
void clients_on_peer_doctor(
	struct node *node, struct bus_request *request, const struct wire_value *body);

#endif
