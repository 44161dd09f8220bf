/* A deployment that is initialised on another node than the one its client is connected to. Control
 * loop only. */
#ifndef CLUSTER_DEPLOY_PEER_H
#define CLUSTER_DEPLOY_PEER_H

#include "base/err.h"
#include "base/wire.h"
#include "cluster/app_version.h"
#include "cluster/seeds.h"

#include <stdint.h>

struct bus_request;
struct deploy_peer;
struct deploy_peers;
struct node;

int deploy_peers_create(struct node *node, struct deploy_peers **ret_peers, struct ramet_err *err);
void deploy_peers_destroy(struct deploy_peers *peers); /* before seeds; NULL is fine */

/* deploy_peer_start - the other node fetches the bundle from us; progress and done as for
 * seeds_make() */
int deploy_peer_start(struct deploy_peers *peers, uint32_t node, struct app_version *version,
	void (*progress)(void *user, const char *stage, const char *text),
	void (*done)(void *user, const struct seed_made *made), void *user,
	struct deploy_peer **ret_deploy, struct ramet_err *err);
/* deploy_peer_cancel - done comes all the same: with RAMET_ECANCELED, or with the outcome if it was
 * too late */
void deploy_peer_cancel(struct deploy_peer *deploy);
void deploy_peer_forget(struct deploy_peer *deploy); /* done will not be called; NULL is fine */

/* messages of the bus */
void deploy_peers_on_deploy(
	struct deploy_peers *peers, struct bus_request *request, const struct wire_value *body);
void deploy_peers_on_progress(
	struct deploy_peers *peers, struct bus_request *request, const struct wire_value *body);
void deploy_peers_on_undeploy(
	struct deploy_peers *peers, struct bus_request *request, const struct wire_value *body);

#endif
