/* rametd's configuration: defaults, a full file, and errors that name file and key. */
#include "base/cleanup.h"
#include "base/file.h"
#include "cluster/node_config.h"
#include "tests/lib/suite.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int load(const char *text, struct node_config *config, struct ramet_err *err)
{
	char path[] = "/tmp/ramet-config-XXXXXX";
	auto_close int fd = mkstemp(path);
	int rc = file_write_fd(fd, text, strlen(text), err);
	if (rc == 0)
		rc = node_config_load(path, config, err);
	unlink(path);
	return rc;
}

static void test_defaults(void)
{
	static struct node_config config;
	struct ramet_err err = {0};
	REQUIRE_OK(load("node: 3\n", &config, &err), &err);
	CHECK_INT(config.node, 3);
	CHECK(config.name[0] != 0);
	CHECK_STR(config.dir, "/var/lib/ramet");
	CHECK_STR(config.hide, "/var/lib/ramet");
	CHECK_STR(config.client_socket, "/var/lib/ramet/rametd.sock");
	CHECK_STR(config.listen, "127.0.0.1:0");
	CHECK_STR(config.data, "127.0.0.1:0");
	CHECK_STR(config.transport, "auto");
	CHECK_STR(config.rdma.device, "");
	CHECK_INT(config.rdma.mtu, 0);
	CHECK_STR(config.python, "/usr/bin/python3");
	CHECK_INT(config.pager, PAGER_AUTO);
	CHECK(config.checksums);
	CHECK_INT(config.log_level, LOG_INFO);
	CHECK_INT(config.max_instances, 1024);
	CHECK_INT(config.idle_ms, 60000);
	CHECK_INT(config.host_idle_ms, 10000);
	CHECK_INT(config.start_ms, 60000);
	CHECK_INT(config.deadline_ms, 0);
	CHECK_INT(config.npeers, 0);
}

static void test_everything(void)
{
	static const char text[] =
		"node: 2\n"
		"name: n2\n"
		"dir: /srv/ramet/\n"
		"hide: /srv\n"
		"client_socket: /run/ramet.sock\n"
		"listen: \"10.0.0.2:7400\"\n"
		"data: \"[fd00::2]:7401\"\n"
		"transport: tcp\n"
		"rdma: {device: mlx5_0, port: 2, gid_index: 3, mtu: 2048, service_level: 4, "
		"traffic_class: 106}\n"
		"pager: eager\n"
		"checksums: off\n"
		"log_level: debug\n"
		"environments: /var/environments/\n"
		"python: /opt/python/bin/python3\n"
		"pools: {sandboxes: 8, stubs: 2}\n"
		"limits:\n"
		"  capacity: 12\n"
		"  instances: 64\n"
		"  queue: 100\n"
		"  idle: 1.5s\n"
		"  host_idle: 300ms\n"
		"  start: 2m\n"
		"  silence: 2s\n"
		"  deadline: 2m\n"
		"  tenant: {memory: 4G, pids: 500, cache: 1G, instances: 16, queue: 32}\n"
		"peers:\n"
		"  - {node: 1, listen: \"10.0.0.1:7400\"}\n"
		"  - {node: 7, listen: \"host7:7400\"}\n";
	static struct node_config config;
	struct ramet_err err = {0};
	REQUIRE_OK(load(text, &config, &err), &err);
	CHECK_STR(config.dir, "/srv/ramet");
	CHECK_STR(config.hide, "/srv");
	CHECK_STR(config.client_socket, "/run/ramet.sock");
	CHECK_STR(config.listen, "10.0.0.2:7400");
	CHECK_STR(config.data, "[fd00::2]:7401");
	CHECK_INT(config.rdma.peer_timeout_ms, 2000);
	CHECK_INT(config.pager, PAGER_EAGER);
	CHECK(!config.checksums);
	CHECK_INT(config.log_level, LOG_DEBUG);
	CHECK_STR(config.environments, "/var/environments");
	CHECK_INT(config.pool_sandboxes, 8);
	CHECK_INT(config.pool_stubs, 2);
	CHECK_INT(config.capacity, 12);
	CHECK_INT(config.max_instances, 64);
	CHECK_INT(config.max_queue, 100);
	CHECK_INT(config.idle_ms, 1500);
	CHECK_INT(config.host_idle_ms, 300);
	CHECK_INT(config.start_ms, 120000);
	CHECK_INT(config.deadline_ms, 120000);
	CHECK_INT(config.quota.memory, 4ll << 30);
	CHECK_INT(config.quota.pids, 500);
	CHECK_INT(config.quota.cache, 1 << 30);
	CHECK_INT(config.quota.instances, 16);
	CHECK_INT(config.quota.queue, 32);
	CHECK_INT(config.npeers, 2);
	CHECK_INT(config.peers[1].node, 7);
	CHECK_STR(config.peers[1].listen, "host7:7400");
}

static void test_data_is_beside_the_bus(void)
{
	static struct node_config config;
	struct ramet_err err = {0};
	REQUIRE_OK(load("node: 1\nlisten: \"[fd00::1]:7400\"\n", &config, &err), &err);
	CHECK_STR(config.data, "[fd00::1]:0");
}

static void test_errors_name_the_key(void)
{
	static const struct {
		const char *text, *names;
	} cases[] = {
		{"name: x\n", "node"},
		{"node: 0\n", ": node: 0"},
		{"node: 70000\n", ": node: 70000"},
		{"node: 1\nliten: a:1\n", "liten"},
		{"node: 1\nname: \"a b\"\n", ": name: "},
		{"node: 1\ndir: relative\n", ": dir: "},
		{"node: 1\nhide: /\n", ": hide: "},
		{"node: 1\ndir: /srv/ramet\nhide: /srv/other\n", ": hide: "},
		{"node: 1\ndir: /srv/ramet\nhide: /srv/ram\n", ": hide: "},
		{"node: 1\nclient_socket: /srv/ramet.sock\n", ": client_socket: "},
		{"node: 1\nlisten: nowhere\n", ": listen: "},
		{"node: 1\nlisten: \"host:99999\"\n", ": listen: "},
		{"node: 1\nlisten: \"fd00::1:80\"\n", ": listen: "},
		{"node: 1\ndata: \":80\"\n", ": data: "},
		{"node: 1\nrdma: {mtu: 1500}\n", ": rdma.mtu: "},
		{"node: 1\nrdma: {service_level: 16}\n", ": rdma.service_level: "},
		{"node: 1\nrdma: {traffic_class: 256}\n", ": rdma.traffic_class: "},
		{"node: 1\nrdma: {devices: mlx5_0}\n", "devices"},
		{"node: 1\ntransport: smoke\n", ": transport: \"smoke\""},
		{"node: 1\npager: lazy\n", ": pager: "},
		{"node: 1\nchecksums: maybe\n", ": checksums: "},
		{"node: 1\nlog_level: loud\n", ": log_level: "},
		{"node: 1\nenvironments: here\n", ": environments: \"here\" is not an absolute"},
		{"node: 1\nenvironments: /tmp/e\n", "instances have a /tmp of their own"},
		{"node: 1\ndir: /srv/r\nenvironments: /srv/r/e\n", "instances would not see it"},
		{"node: 1\npython: python3\n", ": python: "},
		{"node: 1\npools: {sandboxes: 5000}\n", ": pools.sandboxes: "},
		{"node: 1\npools: {sandbox: 5}\n", "sandbox"},
		{"node: 1\nlimits: {idle: 5}\n", ": limits.idle: "},
		{"node: 1\nlimits: {tenant: {memory: much}}\n", ": limits.tenant.memory: "},
		{"node: 1\nlimits: {tenant: {cache: 5X}}\n", ": limits.tenant.cache: "},
		{"node: 1\nlimits: {tenant: {disk: 5G}}\n", "disk"},
		{"node: 1\nlimits: {silence: 99ms}\n", ": limits.silence: "},
		{"node: 1\nlimits: {silence: 61s}\n", ": limits.silence: "},
		{"node: 1\nlisten: \"h:1\"\npeers: [{node: 1, listen: \"h:2\"}]\n",
			": peers[0].node: 1 is this node"},
		{"node: 1\nlisten: \"h:1\"\npeers: [{node: 2, listen: \"h:2\"}, {node: 2, listen: "
		 "\"h:3\"}]\n",
			": peers[1].node: node 2 is there twice"},
		{"node: 1\nlisten: \"h:1\"\npeers: [{node: 2, listen: \"h\"}]\n",
			": peers[0].listen: "},
		{"node: 1\npeers: [{node: 2, listen: \"h:2\"}]\n", ": listen: is missing"},
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		static struct node_config config;
		struct ramet_err err = {0};
		CHECK_INT(load(cases[i].text, &config, &err), RAMET_ECONFIG);
		CHECK(strstr(err.msg, "/tmp/ramet-config-") == err.msg);
		if (!strstr(err.msg, cases[i].names))
			CHECK_STR(err.msg, cases[i].names);
	}
}

static void test_a_file_that_is_not_there(void)
{
	static struct node_config config;
	struct ramet_err err = {0};
	CHECK(node_config_load("/nonexistent/rametd.yaml", &config, &err) < 0);
	CHECK(strstr(err.msg, "/nonexistent/rametd.yaml") != NULL);
}

SUITE_MAIN("node_config", TEST(test_defaults), TEST(test_everything),
	TEST(test_data_is_beside_the_bus), TEST(test_errors_name_the_key),
	TEST(test_a_file_that_is_not_there))
