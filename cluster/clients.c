/* Clients: the socket, connections, dispatch and the bookkeeping of requests. What each type does
 * is in clients_*.c. */
#include "cluster/clients.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/client_proto.h"
#include "cluster/clients_internal.h"
#include "cluster/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PAUSE_NS (100 * NSEC_PER_MSEC)

static const struct {
	const char *type;
	client_type_fn *fn;
} types[] = {
	{"ready", clients_on_ready},
	{"deploy", clients_on_deploy},
	{"remove", clients_on_remove},
	{"call", clients_on_call},
	{"taken", clients_on_taken},
	{"burst", clients_on_burst},
	{"lease", clients_on_lease},
	{"lease.cancel", clients_on_lease_cancel},
	{"lease.broken", clients_on_lease_broken},
	{"cancel", clients_on_cancel},
	{"wait", clients_on_wait},
	{"list", clients_on_list},
	{"logs", clients_on_logs},
	{"doctor", clients_on_doctor},
	{"rollback", clients_on_rollback},
	{"secret.set", clients_on_secret_set},
	{"secret.remove", clients_on_secret_remove},
	{"secret.list", clients_on_secret_list},
	{"shutdown", clients_on_shutdown},
};

/* --- ending a connection --- */

static void client_free(struct client *client)
{
	list_remove(&client->link);
	free(client);
}

static void on_sweep(struct loop_timer *timer)
{
	struct clients *clients = container_of(timer, struct clients, sweep);
	list_for_each_safe (client, &clients->closing, struct client, link)
		client_free(client);
}

/* The memory stays until the loop's next turn: callers up the stack still look at it. */
void client_close(struct client *client)
{
	struct clients *clients = client->clients;
	if (client->closing)
		return;
	client->closing = true;
	frame_conn_close(client->conn);
	client->conn = NULL;
	list_remove(&client->link);
	list_append(&clients->closing, &client->link);
	clients->count--;
	while (!list_empty(&client->requests)) {
		struct client_request *request =
			list_first(&client->requests, struct client_request, link);
		list_remove(&request->link);
		list_append(&clients->orphans, &request->link);
		request->client = NULL;
		request->ops->abandon(request);
	}
	loop_timer_set(clients->node->loop, &clients->sweep, now_ns(), on_sweep);
}

bool client_send(struct client *client, struct buf *b)
{
	return client_send_fds(client, b, NULL, 0);
}

bool client_send_fds(struct client *client, struct buf *b, const int *fds, unsigned nfds)
{
	int rc = b->oom ? RAMET_ENOMEM : frame_send(client->conn, b->data, b->len, fds, nfds);
	buf_fini(b);
	if (rc == 0)
		return true;
	log_warn("client.closed", "uid=%u why=\"%s\"", client->uid,
		rc == RAMET_EAGAIN ? "it does not read what it asked for" : err_text(rc));
	client_close(client);
	return false;
}

/* --- receiving --- */

static int greet(struct client *client, const char *type, uint64_t req,
	const struct wire_value *body, struct ramet_err *err)
{
	const struct node *node = client->clients->node;
	uint64_t proto;
	if (strcmp(type, "hello") != 0)
		return err_set(err, RAMET_EPROTO, "the first message is not hello");
	int rc = wire_get_uint(body, "proto", UINT32_MAX, &proto, err);
	if (rc < 0)
		return rc;
	if (proto != CLIENT_PROTO)
		return err_set(err, RAMET_EVERSION,
			"the client speaks protocol %u, this rametd %u: install the same version",
			(unsigned)proto, CLIENT_PROTO);
	client->greeted = true;
	struct buf b = {0};
	client_message(&b, "welcome", req, 7);
	wire_kuint(&b, "proto", CLIENT_PROTO);
	wire_kstr(&b, "version", node->self.version);
	wire_kuint(&b, "node", node->config.node);
	wire_kuint(&b, "uid", client->uid);
	wire_kuint(&b, "nodes", members_alive(node->members) + 1);
	wire_kuint(&b, "expected", members_count(node->members) + 1);
	wire_kuint(&b, "pid", (uint64_t)getpid());
	client_send(client, &b);
	return 0;
}

static int dispatch(struct client *client, const char *type, uint64_t req,
	const struct wire_value *body, struct ramet_err *err)
{
	if (client->clients->stopping)
		return err_set(err, RAMET_ECLOSED, "node %u is shutting down",
			client->clients->node->config.node);
	if (client->nrequests >= CLIENTS_MAX_REQUESTS)
		return err_set(err, RAMET_EAGAIN,
			"more than %u requests are open on one connection", CLIENTS_MAX_REQUESTS);
	for (unsigned i = 0; i < ARRAY_LEN(types); i++)
		if (strcmp(types[i].type, type) == 0)
			return types[i].fn(client, req, body, err);
	return err_set(err, RAMET_EPROTO, "unknown request %s", type);
}

static void on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	const struct wire_limits limits = {
		.bytes = CLIENT_MAX_FRAME,
		.depth = CLIENT_WIRE_DEPTH,
		.items = CLIENT_WIRE_ITEMS,
	};
	struct client *client = user;
	struct wire_msg *msg = NULL;
	struct ramet_err err = {0};
	char type[32];
	uint64_t req = 0;
	int rc = wire_parse(data, len, limits, &msg, &err);
	if (rc == 0)
		rc = wire_get_str(wire_root(msg), "t", type, sizeof(type), &err);
	if (rc == 0)
		rc = wire_get_uint(wire_root(msg), "req", UINT64_MAX, &req, &err);
	if (rc == 0 && (req == 0 || client_find_request(client, req)))
		rc = err_set(
			&err, RAMET_EPROTO, "req %llu is 0 or in use", (unsigned long long)req);
	bool broken = rc < 0;
	client->clients->frame = data;
	client->clients->frame_len = len;
	client->clients->frame_fds = fds;
	client->clients->frame_nfds = nfds;
	if (!broken && client->greeted) {
		rc = dispatch(client, type, req, wire_root(msg), &err);
	} else if (!broken) {
		rc = greet(client, type, req, wire_root(msg), &err);
		broken = rc < 0;
	}
	if (rc < 0 && !client->closing)
		client_answer_err(client, req, &err);
	if (broken && !client->closing) {
		log_info("client.closed", "uid=%u why=\"%s\"", client->uid, err.msg);
		client_close(client);
	}
	wire_free(msg);
}

static void on_closed(void *user, const struct ramet_err *err)
{
	client_close(user);
}

static const struct frame_handler frame_handler = {.on_frame = on_frame, .on_closed = on_closed};

static int client_create(
	struct clients *clients, int fd, const struct ucred *cred, struct ramet_err *err)
{
	auto_close int owned = fd;
	struct client *client = calloc(1, sizeof(*client));
	if (!client)
		return err_nomem(err);
	int rc = frame_conn_create(clients->node->loop, steal_fd(&owned), CLIENT_MAX_FRAME,
		CLIENTS_MAX_QUEUE, &frame_handler, client, &client->conn, err);
	if (rc < 0) {
		free(client);
		return rc;
	}
	client->clients = clients;
	client->uid = cred->uid;
	client->gid = cred->gid;
	list_init(&client->requests);
	list_append(&clients->list, &client->link);
	clients->count++;
	return 0;
}

static unsigned clients_of(const struct clients *clients, uid_t uid)
{
	unsigned count = 0;
	list_for_each (client, &clients->list, struct client, link)
		count += client->uid == uid;
	return count;
}

/* one user cannot take the connections of all others */
static int admit(struct clients *clients, int fd, struct ramet_err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	auto_close int owned = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_errno(err, RAMET_EIO, "learn who a client is");
	if (clients->count >= CLIENTS_MAX ||
		(cred.uid != 0 && clients_of(clients, cred.uid) >= CLIENTS_MAX_OF_USER))
		return err_set(err, RAMET_ELIMIT,
			"more than %u clients are connected, or %u of user %u", CLIENTS_MAX,
			CLIENTS_MAX_OF_USER, cred.uid);
	return client_create(clients, steal_fd(&owned), &cred, err);
}

static void on_resume(struct loop_timer *timer)
{
	struct clients *clients = container_of(timer, struct clients, pause);
	loop_watch_mod(&clients->watch, EPOLLIN);
}

/* out of descriptors or memory: the socket stays readable, so look away for a while */
static void pause_accepting(struct clients *clients)
{
	struct ramet_err err = {0};
	err_errno(&err, RAMET_EIO, "accept a client");
	if (log_limit(&clients->refused, 5, 10 * NSEC_PER_SEC))
		log_err(LOG_WARN, "client.refused", &err);
	if (loop_timer_set(clients->node->loop, &clients->pause, now_ns() + PAUSE_NS, on_resume) ==
		0)
		loop_watch_mod(&clients->watch, 0);
}

static void on_connect(struct loop_watch *watch, uint32_t events)
{
	struct clients *clients = container_of(watch, struct clients, watch);
	struct ramet_err err = {0};
	int fd = accept4(clients->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_accepting(clients);
		return;
	}
	if (admit(clients, fd, &err) < 0 && log_limit(&clients->refused, 5, 10 * NSEC_PER_SEC))
		log_err(LOG_WARN, "client.refused", &err);
}

/* --- making and ending --- */

static int bind_socket(struct clients *clients, const char *path, struct ramet_err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int len = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s.%d", path, (int)getpid());
	if (len < 0 || (size_t)len >= sizeof(addr.sun_path))
		return err_set(err, RAMET_ECONFIG,
			"client_socket: %s is too long for a Unix socket", path);
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "make the client socket");
	unlink(addr.sun_path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_errno(err, RAMET_EIO, "bind the client socket %s", addr.sun_path);
	if (chmod(addr.sun_path, 0666) < 0 || listen(fd, 128) < 0 ||
		rename(addr.sun_path, path) < 0) {
		int rc = err_errno(err, RAMET_EIO, "open the client socket %s", path);
		unlink(addr.sun_path);
		return rc;
	}
	clients->fd = steal_fd(&fd);
	return 0;
}

/* somebody who answers there means that another rametd serves this socket */
static int refuse_if_served(const char *path, struct ramet_err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return err_set(err, RAMET_EEXIST,
			"another rametd serves %s: end it, or choose another client_socket", path);
	return 0;
}

int clients_create(struct node *node, struct clients **ret_clients, struct ramet_err *err)
{
	int rc = refuse_if_served(node->config.client_socket, err);
	if (rc < 0)
		return rc;
	struct clients *clients = calloc(1, sizeof(*clients));
	if (!clients)
		return err_nomem(err);
	clients->node = node;
	clients->fd = -1;
	list_init(&clients->list);
	list_init(&clients->orphans);
	list_init(&clients->closing);
	rc = bind_socket(clients, node->config.client_socket, err);
	if (rc == 0)
		rc = loop_watch_add(
			node->loop, &clients->watch, clients->fd, EPOLLIN, on_connect, err);
	if (rc < 0) {
		clients_destroy(clients);
		return rc;
	}
	*ret_clients = clients;
	return 0;
}

static void fail_all(struct client *client, const struct ramet_err *error)
{
	while (!list_empty(&client->requests)) {
		struct client_request *request =
			list_first(&client->requests, struct client_request, link);
		uint64_t req = request->req;
		list_remove(&request->link);
		list_append(&client->clients->orphans, &request->link);
		request->client = NULL;
		client->nrequests--;
		request->ops->abandon(request);
		client_answer_err(client, req, error);
		if (client->closing)
			return;
	}
}

void clients_stop(struct clients *clients)
{
	struct ramet_err error = {0};
	if (clients->stopping)
		return;
	clients->stopping = true;
	loop_timer_cancel(&clients->pause);
	loop_watch_remove(&clients->watch);
	if (clients->fd >= 0)
		unlink(clients->node->config.client_socket);
	close_reset(&clients->fd);
	err_set(&error, RAMET_ECLOSED, "node %u is shutting down", clients->node->config.node);
	list_for_each_safe (client, &clients->list, struct client, link)
		fail_all(client, &error);
	while (!list_empty(&clients->orphans))
		client_request_end(list_first(&clients->orphans, struct client_request, link));
}

void clients_destroy(struct clients *clients)
{
	if (!clients)
		return;
	clients_stop(clients);
	list_for_each_safe (client, &clients->list, struct client, link)
		client_close(client);
	on_sweep(&clients->sweep);
	loop_timer_cancel(&clients->sweep);
	free(clients);
}

void clients_members_changed(struct clients *clients)
{
	list_for_each (client, &clients->list, struct client, link) {
		list_for_each_safe (request, &client->requests, struct client_request, link)
			if (request->ops == &clients_ready_ops)
				clients_ready_check(request);
	}
}
