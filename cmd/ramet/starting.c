/* Starting the nodes of a cluster. Waiting is for events: a socket that appears, a daemon that
 * ends, an answer. */
#include "cmd/ramet/starting.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/daemon.h"
#include "libramet/stream.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>

/* A node on its way up. */
struct starting {
	struct daemon daemon;
	struct ramet *ramet; /* NULL until its socket is there */
	int fd; /* of that, to be polled */
	struct stream *ready; /* the request that is answered when it sees all others */
	bool done;
};

struct launch {
	const struct cluster *cluster;
	struct starting *nodes; /* cluster->nodes of them */
	int inotify; /* on every node's directory */
	uint64_t deadline_ns;
};

static int check_port(const char *host, unsigned port, struct ramet_err *err)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	inet_pton(AF_INET, host, &addr.sin_addr);
	int one = 1;
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
		return 0;
	if (errno == EADDRINUSE)
		return err_set(err, RAMET_EEXIST, "port %s:%u is in use: choose others with --port",
			host, port);
	return err_errno(err, RAMET_EIO, "bind %s:%u", host, port);
}

int starting_check_ports(const struct cluster *cluster, struct ramet_err *err)
{
	char host[16];
	if (cluster->netns)
		return 0; /* nobody else is in the nodes' namespaces */
	for (unsigned i = 1; i <= cluster->nodes; i++) {
		for (unsigned which = 0; which < 2; which++) {
			cluster_host(cluster, i, host);
			int rc = check_port(host, cluster_port(cluster, i, which), err);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* the last three lines of a node's log, for the error */
static void log_tail(const struct cluster *cluster, unsigned node, char dst[240])
{
	char path[CLUSTER_PATH_MAX];
	auto_free char *text = NULL;
	size_t len = 0;
	dst[0] = '\0';
	cluster_path(cluster, node, "log", path);
	if (file_read(path, 1u << 20, &text, &len, NULL) < 0)
		return;
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	const char *from = text + len;
	for (int lines = 0; from > text && text + len - from < 230; from--)
		if (from[-1] == '\n' && ++lines == 3)
			break;
	snprintf(dst, 240, "%s", from);
	for (char *p = dst; *p; p++)
		if (*p == '\n')
			*p = ';';
}

static int fail(const struct cluster *cluster, unsigned node, int code, const char *what,
	struct ramet_err *err)
{
	char tail[240];
	log_tail(cluster, node, tail);
	return err_set(
		err, code, "node %u %s%s%s", node, what, *tail ? "; its log ends: " : "", tail);
}

static void pack_ready(struct buf *b, const void *arg)
{
	const struct launch *l = arg;
	uint64_t now = now_ns();
	wire_kuint(b, "nodes", l->cluster->nodes);
	wire_kuint(b, "timeout_ms",
		l->deadline_ns > now ? (l->deadline_ns - now) / NSEC_PER_MSEC + 1 : 1);
}

/* its socket may be there now; a daemon that does not listen yet is tried again at the next event
 */
static int try_connect(const struct launch *l, unsigned i, struct ramet_err *err)
{
	struct starting *node = &l->nodes[i];
	char path[CLUSTER_PATH_MAX];
	struct ramet_err why = {0};
	cluster_path(l->cluster, i + 1, "client.sock", path);
	if (access(path, F_OK) < 0)
		return 0;
	int rc = ramet_open(path, &node->ramet, &why);
	if (rc == RAMET_ENOCLUSTER)
		return 0;
	if (rc == 0) {
		/* asked for later it would take in an answer, and then not be readable for it */
		node->fd = ramet_fd(node->ramet);
		rc = stream_open(node->ramet, "ready", 2, pack_ready, l, &node->ready, &why);
	}
	return rc < 0 ? err_set(err, rc, "node %u: %s", i + 1, why.msg) : 0;
}

static int check_answer(const struct launch *l, unsigned i, struct ramet_err *err)
{
	struct starting *node = &l->nodes[i];
	auto_message struct message *message = NULL;
	struct ramet_err why = {0};
	int rc = stream_next(node->ready, 0, &message, &why);
	if (rc == RAMET_ETIMEOUT)
		return 0;
	if (rc == 0)
		rc = stream_expect(message, "ready", &why);
	if (rc < 0)
		return fail(l->cluster, i + 1, rc, why.msg, err);
	node->done = true;
	return 0;
}

static int step(const struct launch *l, unsigned i, struct ramet_err *err)
{
	struct starting *node = &l->nodes[i];
	if (node->done)
		return 0;
	struct pollfd p = {.fd = node->daemon.pidfd, .events = POLLIN};
	if (poll(&p, 1, 0) > 0)
		return fail(l->cluster, i + 1, RAMET_EREFUSED, "ended", err);
	if (!node->ramet) {
		int rc = try_connect(l, i, err);
		if (rc < 0 || !node->ramet)
			return rc;
	}
	return check_answer(l, i, err);
}

static void drain(int inotify)
{
	char events[4096];
	while (read(inotify, events, sizeof(events)) > 0)
		;
}

/* sleeps until something may have changed for a node that is not done */
static int sleep_until_event(const struct launch *l, struct ramet_err *err)
{
	struct pollfd fds[1 + 2 * CLUSTER_MAX_NODES];
	nfds_t count = 0;
	uint64_t now = now_ns();
	if (now >= l->deadline_ns)
		return RAMET_ETIMEOUT;
	fds[count++] = (struct pollfd){.fd = l->inotify, .events = POLLIN};
	for (unsigned i = 0; i < l->cluster->nodes; i++) {
		const struct starting *node = &l->nodes[i];
		if (node->done)
			continue;
		fds[count++] = (struct pollfd){.fd = node->daemon.pidfd, .events = POLLIN};
		if (node->ramet)
			fds[count++] = (struct pollfd){.fd = node->fd, .events = POLLIN};
	}
	if (poll(fds, count, (int)((l->deadline_ns - now) / NSEC_PER_MSEC) + 1) < 0 &&
		errno != EINTR)
		return err_errno(err, RAMET_EIO, "poll");
	drain(l->inotify);
	return 0;
}

static int wait_ready(const struct launch *l, struct ramet_err *err)
{
	for (;;) {
		unsigned done = 0, waiting = 0;
		char text[64];
		for (unsigned i = 0; i < l->cluster->nodes; i++) {
			int rc = step(l, i, err);
			if (rc < 0)
				return rc;
			done += l->nodes[i].done;
			if (!l->nodes[i].done)
				waiting = i + 1;
		}
		if (done == l->cluster->nodes)
			return 0;
		snprintf(text, sizeof(text), "%u of %u nodes ready", done, l->cluster->nodes);
		client_progress(text);
		int rc = sleep_until_event(l, err);
		if (rc == RAMET_ETIMEOUT)
			return fail(l->cluster, waiting, rc, "was not ready in time", err);
		if (rc < 0)
			return rc;
	}
}

static int start_all(const struct launch *l, struct ramet_err *err)
{
	char path[CLUSTER_PATH_MAX];
	for (unsigned i = 0; i < l->cluster->nodes; i++) {
		int rc = daemon_configure(l->cluster, i + 1, err);
		cluster_path(l->cluster, i + 1, "", path);
		if (rc == 0 && inotify_add_watch(l->inotify, path, IN_CREATE | IN_MOVED_TO) < 0)
			rc = err_errno(err, RAMET_EIO, "watch %s", path);
		if (rc == 0)
			rc = daemon_start(l->cluster, i + 1, &l->nodes[i].daemon, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int starting_run(const struct cluster *cluster, unsigned timeout_ms, struct ramet_err *err)
{
	auto_close int inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (inotify < 0)
		return err_errno(err, RAMET_EIO, "inotify_init1");
	auto_free struct starting *nodes = calloc(cluster->nodes, sizeof(*nodes));
	if (!nodes)
		return err_nomem(err);
	for (unsigned i = 0; i < cluster->nodes; i++)
		nodes[i].daemon.pidfd = -1;
	struct launch l = {cluster, nodes, inotify, now_ns() + timeout_ms * NSEC_PER_MSEC};
	int rc = start_all(&l, err);
	if (rc == 0)
		rc = wait_ready(&l, err);
	client_progress_end();
	for (unsigned i = 0; i < cluster->nodes; i++) {
		stream_close(nodes[i].ready);
		ramet_close(nodes[i].ramet);
		daemon_fini(&nodes[i].daemon);
	}
	return rc;
}
