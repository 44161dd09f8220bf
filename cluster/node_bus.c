/* What a node does with messages of peers: one table, by type. The messages are described in
 * bus_proto.h and in the headers of those who handle them. */
#include "cluster/node_bus.h"

#include "base/cleanup.h"
#include "cluster/bundle.h"
#include "cluster/bursts.h"
#include "cluster/calls.h"
#include "cluster/clients.h"
#include "cluster/deploy_peer.h"
#include "cluster/file_transfer.h"
#include "cluster/follow.h"
#include "cluster/leases_remote.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/seeds.h"
#include "cluster/versions.h"

/* a handler that passes a message on to a part of the node */
#define ON(name, fn, part) \
	static void name(void *user, struct bus_request *request, const struct wire_value *body) \
	{ \
		fn(((struct node *)user)->part, request, body); \
	}

ON(on_hello, members_on_hello, members)
ON(on_ping, members_on_ping, members)
ON(on_holdings, members_on_holdings, members)
ON(on_bye, members_on_bye, members)
ON(on_bundle_read, bundles_on_read, bundles)
ON(on_bundle_push, bundles_on_push, bundles)
ON(on_file_read, file_transfer_on_read, files)
ON(on_seed_get, seeds_on_get, seeds)
ON(on_seed_source, seeds_on_source, seeds)
ON(on_seed_pages, seeds_on_pages, seeds)
ON(on_seed_set, seeds_on_set, seeds)
ON(on_seed_files, seeds_on_files, seeds)
ON(on_seed_hashes, seeds_on_hashes, seeds)
ON(on_seed_manifest, seeds_on_manifest, seeds)
ON(on_call_run, calls_on_run, calls)
ON(on_call_cancel, calls_on_cancel, calls)
ON(on_call_taken, calls_on_taken, calls)
ON(on_call_wait, calls_on_wait, calls)
ON(on_lease_take, leases_remote_on_take, remote_leases)
ON(on_lease_close, leases_remote_on_close, remote_leases)
ON(on_burst_run, bursts_on_run, bursts)
ON(on_burst_result, bursts_on_result, bursts)
ON(on_burst_cancel, bursts_on_cancel, bursts)
ON(on_deploy, deploy_peers_on_deploy, deploys)
ON(on_progress, deploy_peers_on_progress, deploys)
ON(on_undeploy, deploy_peers_on_undeploy, deploys)
ON(on_follow, follows_on_follow, follows)
ON(on_unfollow, follows_on_unfollow, follows)
ON(on_log, follows_on_log, follows)

static void on_registry(void *user, struct bus_request *request, const struct wire_value *body)
{
	versions_on_news(user, request, body);
}

static void on_secrets(void *user, struct bus_request *request, const struct wire_value *body)
{
	versions_on_secrets(user, request, body);
}

static void on_list(void *user, struct bus_request *request, const struct wire_value *body)
{
	clients_on_peer_list(user, request, body);
}

static void on_logs(void *user, struct bus_request *request, const struct wire_value *body)
{
	clients_on_peer_logs(user, request, body);
}

static void on_doctor(void *user, struct bus_request *request, const struct wire_value *body)
{
	clients_on_peer_doctor(user, request, body);
}

const struct bus_handler node_bus_handlers[] = {
	{"hello", on_hello},
	{"ping", on_ping},
	{"holdings", on_holdings},
	{"bye", on_bye},
	{"registry", on_registry},
	{"secrets", on_secrets},
	{"bundle.read", on_bundle_read},
	{"bundle.push", on_bundle_push},
	{"file.read", on_file_read},
	{"seed.get", on_seed_get},
	{"seed.source", on_seed_source},
	{"seed.pages", on_seed_pages},
	{"seed.set", on_seed_set},
	{"seed.files", on_seed_files},
	{"seed.hashes", on_seed_hashes},
	{"seed.manifest", on_seed_manifest},
	{"call.run", on_call_run},
	{"call.cancel", on_call_cancel},
	{"call.taken", on_call_taken},
	{"call.wait", on_call_wait},
	{"lease.take", on_lease_take},
	{"lease.close", on_lease_close},
	{"burst.run", on_burst_run},
	{"burst.result", on_burst_result},
	{"burst.cancel", on_burst_cancel},
	{"deploy", on_deploy},
	{"progress", on_progress},
	{"undeploy", on_undeploy},
	{"list", on_list},
	{"logs", on_logs},
	{"follow", on_follow},
	{"unfollow", on_unfollow},
	{"log", on_log},
	{"doctor", on_doctor},
};
const unsigned node_bus_handlers_count = ARRAY_LEN(node_bus_handlers);
