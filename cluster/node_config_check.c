/* rametd's configuration: the defaults, and what must hold. See node_config.h. */
#include "cluster/node_config_file.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/parse.h"
#include "transport/verbs_device.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_DIR "/var/lib/ramet"
#define DEFAULT_LISTEN "127.0.0.1:0"
#define DEFAULT_PYTHON "/usr/bin/python3"
#define DEFAULT_SANDBOXES 64
#define DEFAULT_STUBS 4
#define DEFAULT_INSTANCES 1024
#define DEFAULT_QUEUE 65536
#define DEFAULT_IDLE_MS 60000
#define DEFAULT_HOST_IDLE_MS 10000
#define DEFAULT_START_MS 60000
#define SILENCE_MIN_MS 100
#define SILENCE_MAX_MS 60000
#define DEFAULT_STORE "16G"
#define CAPACITY_MAX 8192
#define INSTANCES_MAX 16384
#define POOL_MAX 1024

/* what a check needs to name file and key */
struct reading {
	const char *path;
	struct ramet_err *err;
};

static int bad(const struct reading *reading, const char *key, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
static int bad(const struct reading *reading, const char *key, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	err_vset(reading->err, RAMET_ECONFIG, fmt, ap);
	va_end(ap);
	err_prefix(reading->err, "%s: %s", reading->path, key);
	return RAMET_ECONFIG;
}

static int text(
	const struct reading *reading, const char *key, const char *value, char *dst, size_t cap)
{
	if (strlen(value) >= cap)
		return bad(reading, key, "longer than %zu bytes", cap - 1);
	memcpy(dst, value, strlen(value) + 1);
	return 0;
}

static int path(
	const struct reading *reading, const char *key, const char *value, char *dst, size_t cap)
{
	if (value[0] != '/')
		return bad(reading, key, "\"%s\" is not an absolute path", value);
	int rc = text(reading, key, value, dst, cap);
	for (size_t len = strlen(dst); rc == 0 && len > 1 && dst[len - 1] == '/'; len--)
		dst[len - 1] = 0;
	return rc;
}

/* "10.0.0.1:7000", "[::1]:7000", "host:0" */
static int address(
	const struct reading *reading, const char *key, const char *value, char *dst, size_t cap)
{
	const char *colon = strrchr(value, ':');
	uint64_t port;
	bool v6 = value[0] == '[';
	if (!colon || colon == value || parse_u64(colon + 1, 65535, &port) < 0 ||
		(v6 && colon[-1] != ']') || (!v6 && memchr(value, ':', (size_t)(colon - value))) ||
		strpbrk(value, " /*"))
		return bad(reading, key, "\"%s\" is not host:port", value);
	return text(reading, key, value, dst, cap);
}

static int ranged(const struct reading *reading, const char *key, uint32_t value, uint32_t fallback,
	uint32_t max, uint32_t *ret)
{
	if (value > max)
		return bad(reading, key, "%u: at most %u is allowed", value, max);
	*ret = value ? value : fallback;
	return 0;
}

static int duration(const struct reading *reading, const char *key, const char *value,
	uint64_t fallback_ms, uint64_t *ret_ms)
{
	uint64_t ns = fallback_ms * NSEC_PER_MSEC;
	if (value && parse_duration(value, &ns) < 0)
		return bad(
			reading, key, "\"%s\" is no duration: write 250ms, 30s, 5m or 1h", value);
	*ret_ms = ns / NSEC_PER_MSEC;
	return 0;
}

static bool is_below(const char *dir, const char *path)
{
	size_t len = strlen(dir);
	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

/* An instance acts as its user: with the socket in sight it could call what that user may call. */
static int check_hidden(const struct reading *reading, const struct node_config *config)
{
	static const char *const own[] = {"/run", "/tmp", "/var/run"}; /* of each sandbox */
	if (strcmp(config->hide, "/") == 0)
		return bad(reading, "hide", "is the root: instances would see nothing");
	if (strcmp(config->dir, config->hide) != 0 && !is_below(config->hide, config->dir))
		return bad(reading, "hide", "\"%s\" does not contain dir: instances would see it",
			config->hide);
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		if (is_below(own[i], config->client_socket))
			return 0;
	}
	if (!is_below(config->hide, config->client_socket))
		return bad(reading, "client_socket",
			"\"%s\": instances would see it; it must be below dir, /run or /tmp",
			config->client_socket);
	return 0;
}

/* name, dir, hide, socket */
static int check_self(
	const struct reading *reading, const struct raw_config *raw, struct node_config *config)
{
	char host[MEMBER_NAME_MAX + 1] = "node", socket[NODE_PATH_MAX + 16];
	if (raw->node == 0 || raw->node > NODE_MAX_ID)
		return bad(reading, "node", "%u: nodes are numbered from 1 to %u", raw->node,
			NODE_MAX_ID);
	config->node = raw->node;
	gethostname(host, sizeof(host) - 1);
	int rc = text(
		reading, "name", raw->name ? raw->name : host, config->name, sizeof(config->name));
	if (rc == 0 && !app_name_valid(config->name))
		rc = bad(reading, "name", "\"%s\": use letters, digits, _ . -", config->name);
	if (rc == 0)
		rc = path(reading, "dir", raw->dir ? raw->dir : DEFAULT_DIR, config->dir,
			sizeof(config->dir));
	if (rc == 0)
		rc = path(reading, "hide", raw->hide ? raw->hide : config->dir, config->hide,
			sizeof(config->hide));
	if (rc < 0)
		return rc;
	snprintf(socket, sizeof(socket), "%s/rametd.sock", config->dir);
	rc = path(reading, "client_socket", raw->client_socket ? raw->client_socket : socket,
		config->client_socket, sizeof(config->client_socket));
	return rc < 0 ? rc : check_hidden(reading, config);
}

static int check_addresses(
	const struct reading *reading, const struct raw_config *raw, struct node_config *config)
{
	char data[MEMBER_ADDR_MAX + 1];
	int rc = address(reading, "listen", raw->listen ? raw->listen : DEFAULT_LISTEN,
		config->listen, sizeof(config->listen));
	if (rc < 0)
		return rc;
	if (!raw->listen && raw->peers_count)
		return bad(reading, "listen", "is missing: peers connect to it");
	/* beside the bus, on a port that the kernel chooses and that peers are told */
	snprintf(data, sizeof(data), "%.*s:0", (int)(strrchr(config->listen, ':') - config->listen),
		config->listen);
	rc = address(
		reading, "data", raw->data ? raw->data : data, config->data, sizeof(config->data));
	if (rc < 0)
		return rc;
	const char *transport = raw->transport ? raw->transport : "auto";
	bool verbs = strcmp(transport, "verbs") == 0;
	if (verbs && !verbs_built())
		return bad(reading, "transport",
			"verbs is not built into this rametd: use tcp or auto");
	if (!verbs && strcmp(transport, "auto") != 0 && strcmp(transport, "tcp") != 0)
		return bad(reading, "transport", "\"%s\" is none of auto, tcp, verbs", transport);
	return text(reading, "transport", transport, config->transport, sizeof(config->transport));
}

static int check_rdma(
	const struct reading *reading, const struct raw_config *raw, struct node_config *config)
{
	const struct raw_rdma *rdma = &raw->rdma;
	uint32_t mtu = rdma->mtu;
	if (mtu != 0 && (mtu < 256 || mtu > 4096 || (mtu & (mtu - 1))))
		return bad(reading, "rdma.mtu", "%u: 256, 512, 1024, 2048 or 4096", mtu);
	config->rdma.mtu = mtu;
	int rc = 0;
	if (rdma->device)
		rc = text(reading, "rdma.device", rdma->device, config->rdma.device,
			sizeof(config->rdma.device));
	if (rc == 0)
		rc = ranged(reading, "rdma.port", rdma->port, 0, 255, &config->rdma.port);
	if (rc == 0)
		rc = ranged(reading, "rdma.gid_index", rdma->gid_index, 0, 255,
			&config->rdma.gid_index);
	if (rc == 0)
		rc = ranged(reading, "rdma.service_level", rdma->service_level, 0, 15,
			&config->rdma.service_level);
	if (rc == 0)
		rc = ranged(reading, "rdma.traffic_class", rdma->traffic_class, 0, 255,
			&config->rdma.traffic_class);
	return rc;
}

static int check_modes(
	const struct reading *reading, const struct raw_config *raw, struct node_config *config)
{
	static const char *const pagers[] = {
		[PAGER_AUTO] = "auto", [PAGER_UFFD] = "uffd", [PAGER_EAGER] = "eager"};
	const char *pager = raw->pager ? raw->pager : "auto";
	unsigned mode = 0;
	while (mode < ARRAY_LEN(pagers) && strcmp(pagers[mode], pager) != 0)
		mode++;
	if (mode == ARRAY_LEN(pagers))
		return bad(reading, "pager", "\"%s\" is none of auto, uffd, eager", pager);
	config->pager = (enum pager_mode)mode;
	const char *checksums = raw->checksums ? raw->checksums : "on";
	config->checksums = strcmp(checksums, "on") == 0;
	if (!config->checksums && strcmp(checksums, "off") != 0)
		return bad(reading, "checksums", "\"%s\" is none of on, off", checksums);
	config->log_level = LOG_INFO;
	if (raw->log_level && log_level_from_name(raw->log_level, &config->log_level) < 0)
		return bad(reading, "log_level", "\"%s\" is none of error, warn, info, debug",
			raw->log_level);
	return path(reading, "python", raw->python ? raw->python : DEFAULT_PYTHON, config->python,
		sizeof(config->python));
}

/* where the caches of programs are, so that they outlive the node's own directory */
static int default_environments(char *dst, size_t cap)
{
	const char *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	int n = geteuid() == 0		   ? snprintf(dst, cap, "/var/cache/ramet/environments")
		: cache && cache[0] == '/' ? snprintf(dst, cap, "%s/ramet/environments", cache)
					   : snprintf(dst, cap, "%s/.cache/ramet/environments",
						     home && home[0] == '/' ? home : "/var/tmp");
	return n < (int)cap ? 0 : -1;
}

/* instances run what is in it */
static int check_environments(
	const struct reading *reading, const struct raw_config *raw, struct node_config *config)
{
	static const char *const own[] = {"/run", "/tmp", "/proc", "/sys", "/dev", "/ramet"};
	char fallback[NODE_PATH_MAX];
	if (default_environments(fallback, sizeof(fallback)) < 0)
		return bad(reading, "environments", "the default is too long: give one");
	int rc = path(reading, "environments", raw->environments ? raw->environments : fallback,
		config->environments, sizeof(config->environments));
	for (size_t i = 0; rc == 0 && raw->environments && i < ARRAY_LEN(own); i++)
		if (is_below(own[i], config->environments))
			rc = bad(reading, "environments",
				"\"%s\": instances have a %s of their own", config->environments,
				own[i]);
	if (rc == 0 && is_below(config->hide, config->environments))
		rc = bad(reading, "environments",
			"\"%s\": instances would not see it, below hide or dir",
			config->environments);
	return rc;
}

static int check_silence(
	const struct reading *reading, const struct raw_config *raw, struct node_config *config)
{
	uint64_t ms = 0;
	int rc = duration(reading, "limits.silence", raw->limits.silence, MEMBER_SILENCE_MS, &ms);
	if (rc == 0 && (ms < SILENCE_MIN_MS || ms > SILENCE_MAX_MS))
		rc = bad(reading, "limits.silence", "%s: from %u ms to %u s", raw->limits.silence,
			SILENCE_MIN_MS, SILENCE_MAX_MS / 1000);
	if (rc == 0)
		config->rdma.peer_timeout_ms = (unsigned)ms;
	return rc;
}

static int bytes(const struct reading *reading, const char *key, const char *value, uint64_t *ret)
{
	if (value && parse_bytes(value, ret) < 0)
		return bad(reading, key, "\"%s\" is no size, such as 16G", value);
	return 0;
}

static int check_quota(
	const struct reading *reading, const struct raw_config *raw, struct node_config *config)
{
	const struct raw_tenant *tenant = &raw->limits.tenant;
	struct tenant_quota *quota = &config->quota;
	int rc = bytes(reading, "limits.tenant.memory", tenant->memory, &quota->memory);
	if (rc == 0)
		rc = bytes(reading, "limits.tenant.cache", tenant->cache, &quota->cache);
	quota->instances = tenant->instances;
	quota->queue = tenant->queue;
	quota->pids = tenant->pids;
	return rc;
}

static int check_limits(
	const struct reading *reading, const struct raw_config *raw, struct node_config *config)
{
	int rc = ranged(reading, "pools.sandboxes", raw->pools.sandboxes, DEFAULT_SANDBOXES,
		POOL_MAX, &config->pool_sandboxes);
	if (rc == 0)
		rc = ranged(reading, "pools.stubs", raw->pools.stubs, DEFAULT_STUBS, POOL_MAX,
			&config->pool_stubs);
	if (rc == 0) /* 0: node.c puts in the number of cores */
		rc = ranged(reading, "limits.capacity", raw->limits.capacity, 0, CAPACITY_MAX,
			&config->capacity);
	if (rc == 0)
		rc = ranged(reading, "limits.instances", raw->limits.instances, DEFAULT_INSTANCES,
			INSTANCES_MAX, &config->max_instances);
	if (rc == 0)
		rc = ranged(reading, "limits.queue", raw->limits.queue, DEFAULT_QUEUE, 1u << 20,
			&config->max_queue);
	if (rc == 0)
		rc = duration(reading, "limits.idle", raw->limits.idle, DEFAULT_IDLE_MS,
			&config->idle_ms);
	if (rc == 0)
		rc = duration(reading, "limits.host_idle", raw->limits.host_idle,
			DEFAULT_HOST_IDLE_MS, &config->host_idle_ms);
	if (rc == 0)
		rc = duration(reading, "limits.start", raw->limits.start, DEFAULT_START_MS,
			&config->start_ms);
	if (rc == 0)
		rc = duration(
			reading, "limits.deadline", raw->limits.deadline, 0, &config->deadline_ms);
	if (rc == 0)
		rc = check_silence(reading, raw, config);
	const char *store = raw->limits.store ? raw->limits.store : DEFAULT_STORE;
	if (rc == 0)
		rc = bytes(reading, "limits.store", store, &config->store_bytes);
	return rc < 0 ? rc : check_quota(reading, raw, config);
}

static int check_peers(
	const struct reading *reading, const struct raw_config *raw, struct node_config *config)
{
	if (raw->peers_count > NODE_MAX_PEERS)
		return bad(reading, "peers", "%u peers: at most %u are allowed", raw->peers_count,
			NODE_MAX_PEERS);
	for (unsigned i = 0; i < raw->peers_count; i++) {
		const struct raw_peer *peer = &raw->peers[i];
		char key[32];
		snprintf(key, sizeof(key), "peers[%u].node", i);
		if (peer->node == 0 || peer->node > NODE_MAX_ID)
			return bad(reading, key, "%u: nodes are numbered from 1 to %u", peer->node,
				NODE_MAX_ID);
		if (peer->node == raw->node)
			return bad(reading, key, "%u is this node itself: name only the others",
				peer->node);
		for (unsigned j = 0; j < i; j++)
			if (raw->peers[j].node == peer->node)
				return bad(reading, key, "node %u is there twice", peer->node);
		config->peers[i].node = peer->node;
		snprintf(key, sizeof(key), "peers[%u].listen", i);
		int rc = address(reading, key, peer->listen, config->peers[i].listen,
			sizeof(config->peers[i].listen));
		if (rc < 0)
			return rc;
	}
	config->npeers = raw->peers_count;
	return 0;
}

int node_config_check(const char *path, const struct raw_config *raw, struct node_config *config,
	struct ramet_err *err)
{
	const struct reading reading = {.path = path, .err = err};
	int rc = check_self(&reading, raw, config);
	if (rc == 0)
		rc = check_addresses(&reading, raw, config);
	if (rc == 0)
		rc = check_rdma(&reading, raw, config);
	if (rc == 0)
		rc = check_modes(&reading, raw, config);
	if (rc == 0)
		rc = check_environments(&reading, raw, config);
	if (rc == 0)
		rc = check_limits(&reading, raw, config);
	if (rc == 0)
		rc = check_peers(&reading, raw, config);
	return rc;
}
