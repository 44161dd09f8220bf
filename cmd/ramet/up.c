/* ramet up: a cluster on this machine. */
#include "base/cleanup.h"
#include "base/err.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/cluster_dir.h"
#include "cmd/ramet/daemon.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/json.h"
#include "cmd/ramet/netns.h"
#include "cmd/ramet/starting.h"
#include "cmd/ramet/stopping.h"
#include "cmd/ramet/table.h"
#include "cmd/ramet/verb.h"
#include "libramet/address.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PORT 7870
#define TIMEOUT_MS 30000

struct up {
	uint64_t nodes, port, timeout_ms;
	const char *transport, *dir;
	bool rootless, json;
};

static bool runs(const struct cluster *cluster)
{
	for (unsigned i = 1; i <= cluster->nodes; i++) {
		struct daemon daemon;
		if (daemon_find(cluster, i, &daemon)) {
			daemon_fini(&daemon);
			return true;
		}
	}
	return false;
}

/* what a cluster that crashed has left here goes first */
static int clear(struct cluster *cluster, struct ramet_err *err)
{
	if (!cluster_exists(cluster))
		return 0;
	int rc = cluster_load(cluster, err);
	if (rc < 0)
		return rc;
	if (runs(cluster))
		return err_set(err, RAMET_EEXIST,
			"a cluster runs already in %s: end it with ramet down", cluster->dir);
	return stopping_run(cluster, STOPPING_FAILED_MS, err);
}

static int start(struct cluster *cluster, const struct up *o, struct ramet_err *err)
{
	cluster->nodes = (unsigned)o->nodes;
	cluster->port = (unsigned)o->port;
	cluster->netns = geteuid() == 0 && !o->rootless;
	snprintf(cluster->transport, sizeof(cluster->transport), "%s", o->transport);
	int rc = starting_check_ports(cluster, err);
	if (rc == 0)
		rc = cluster_save(cluster, err);
	if (rc < 0)
		return rc;
	if (cluster->netns)
		rc = netns_create(cluster, err);
	if (rc == 0)
		rc = starting_run(cluster, (unsigned)o->timeout_ms, err);
	if (rc < 0) {
		struct ramet_err why = {0};
		if (stopping_run(cluster, STOPPING_FAILED_MS, &why) < 0)
			fprintf(stderr, "ramet up: and then: %s\n", why.msg);
	}
	return rc;
}

static void print_json(const struct cluster *cluster)
{
	fputc('[', stdout);
	for (unsigned i = 1; i <= cluster->nodes; i++) {
		struct json json;
		struct daemon daemon = {.pidfd = -1};
		char path[CLUSTER_PATH_MAX], host[16], ns[32];
		daemon_find(cluster, i, &daemon);
		fputs(i == 1 ? "\n" : ",\n", stdout);
		json_open(&json, stdout);
		json_uint(&json, "node", i);
		cluster_host(cluster, i, host);
		fprintf(json_key(&json, "listen"), "\"%s:%u\"", host, cluster_port(cluster, i, 0));
		fprintf(json_key(&json, "data"), "\"%s:%u\"", host, cluster_port(cluster, i, 1));
		cluster_path(cluster, i, "client.sock", path);
		json_str(&json, "socket", path);
		netns_name(cluster, i, ns);
		json_str(&json, "netns", cluster->netns ? ns : NULL);
		json_int(&json, "pid", daemon.pid);
		json_close(&json);
		daemon_fini(&daemon);
	}
	fputs("\n]\n", stdout);
}

static void print_text(const struct cluster *cluster)
{
	CLEANUP(table_fini) struct table table = {0};
	char path[CLUSTER_PATH_MAX], host[16], ns[32], usual[PATH_MAX];
	table_column(&table, "NODE", true);
	table_column(&table, "LISTEN", false);
	table_column(&table, "NETWORK", false);
	table_column(&table, "SOCKET", false);
	for (unsigned i = 1; i <= cluster->nodes; i++) {
		table_cell(&table, "%u", i);
		cluster_host(cluster, i, host);
		table_cell(&table, "%s:%u", host, cluster_port(cluster, i, 0));
		netns_name(cluster, i, ns);
		table_cell(&table, "%s", cluster->netns ? ns : "loopback");
		cluster_path(cluster, i, "client.sock", path);
		table_cell(&table, "%s", path);
	}
	table_print(&table, stdout);
	if (address_dir(usual, sizeof(usual), NULL) < 0 || strcmp(usual, cluster->dir) != 0)
		printf("For other verbs: export RAMET_DIR=%s\n", cluster->dir);
}

static int up(const struct up *o)
{
	CLEANUP(cluster_leave) struct cluster cluster = {.lock_fd = -1};
	struct ramet_err err = {0};
	int rc = cluster_init(&cluster, o->dir, &err);
	if (rc == 0)
		rc = cluster_lock(&cluster, &err);
	if (rc == 0)
		rc = clear(&cluster, &err);
	if (rc == 0)
		rc = start(&cluster, o, &err);
	if (rc < 0)
		return exit_tell("up", &err);
	if (o->json)
		print_json(&cluster);
	else
		print_text(&cluster);
	return EXIT_OK;
}

int verb_up(int argc, char **argv)
{
	struct up o = {
		.nodes = 3, .port = DEFAULT_PORT, .timeout_ms = TIMEOUT_MS, .transport = "auto"};
	const struct option options[] = {
		{"nodes", 'n', OPTION_UINT, &o.nodes, CLUSTER_MAX_NODES, "N",
			"how many (default 3)"},
		{"transport", 0, OPTION_STRING, &o.transport, 0, "auto|verbs|tcp",
			"how nodes read each other's memory (default auto)"},
		{"rootless", 0, OPTION_FLAG, &o.rootless, 0, NULL,
			"loopback ports instead of network namespaces, also as root"},
		{"port", 0, OPTION_UINT, &o.port, 65535 - 2 * CLUSTER_MAX_NODES, "PORT",
			"first of the ports used, two for each node (default 7870)"},
		{"timeout", 0, OPTION_MS, &o.timeout_ms, INT_MAX, "TIME",
			"until all nodes must see each other (default 30s)"},
		{"dir", 0, OPTION_STRING, &o.dir, 0, "DIR",
			"for sockets, logs, files (default RAMET_DIR, or /run/ramet)"},
		OPTION_JSON(&o.json),
		{0},
	};
	const struct usage usage = {"up", "[OPTION]...",
		"Start a cluster on this machine: nodes are network namespaces joined by veth "
		"(root), "
		"or loopback\nports. Nothing outside of the directory and those namespaces "
		"changes.",
		options, 0, 0};
	int code;
	if (!options_parse(&usage, argc, argv, NULL, &code))
		return code;
	if (o.nodes == 0 || o.port == 0)
		return options_wrong(&usage, "--%s takes at least 1", o.nodes ? "port" : "nodes");
	if (strcmp(o.transport, "auto") != 0 && strcmp(o.transport, "verbs") != 0 &&
		strcmp(o.transport, "tcp") != 0)
		return options_wrong(
			&usage, "--transport is auto, verbs or tcp, not \"%s\"", o.transport);
	return up(&o);
}
