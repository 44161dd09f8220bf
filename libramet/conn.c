/* The connection to rametd: a frame connection on a loop of its own that nobody runs; the handle
 * turns it. */
#include "libramet/conn.h"

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/loop.h"
#include "cluster/client_proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define MAX_QUEUE ((size_t)CLIENT_MAX_FRAME * 2)
#define BUCKETS 256 /* of requests, by number */
#define CONNECT_SECONDS 5 /* while the daemon's backlog is full */

struct conn {
	struct loop *loop;
	int fd; /* loop_fd() */
	struct frame_conn *frames;
	uint64_t last_req;
	struct list requests[BUCKETS];
	struct ramet_err lost; /* code 0: it stands */
};
DEFINE_CLEANUP(struct conn, conn_close)

static void fail_all(struct conn *conn, const struct ramet_err *err)
{
	err_copy(&conn->lost, err);
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct list *bucket = &conn->requests[i];
		while (!list_empty(bucket)) {
			struct conn_request *request =
				list_first(bucket, struct conn_request, link);
			list_remove(&request->link);
			request->on_lost(request, err);
		}
	}
}

static void lose(struct conn *conn, const struct ramet_err *err)
{
	if (conn->lost.code)
		return;
	frame_conn_close(conn->frames);
	conn->frames = NULL;
	fail_all(conn, err);
}

static void on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	struct conn *conn = user;
	struct message *message;
	struct ramet_err err = {0};
	if (message_parse(data, len, &message, &err) < 0) {
		err_prefix(&err, "from rametd");
		lose(conn, &err);
		return;
	}
	for (; message->nfds < nfds; message->nfds++) {
		message->fds[message->nfds] = fds[message->nfds];
		fds[message->nfds] = -1;
	}
	struct conn_request *request = conn_find(conn, message->req);
	if (request)
		request->on_message(request, message);
	else
		message_free(message); /* its owner has forgotten it */
}

static void on_closed(void *user, const struct ramet_err *cause)
{
	struct ramet_err err = {0};
	err_set(&err, RAMET_EPEER, "connection to rametd lost: %s", cause->msg);
	lose(user, &err);
}

static const struct frame_handler handler = {.on_frame = on_frame, .on_closed = on_closed};

static int connect_error(const char *path, struct ramet_err *err)
{
	if (errno == ENOENT || errno == ECONNREFUSED)
		return err_set(err, RAMET_ENOCLUSTER,
			"no cluster answers at %s (start one with: ramet up)", path);
	if (errno == EACCES || errno == EPERM)
		return err_errno(err, RAMET_EPERM, "connect to %s", path);
	return err_errno(err, RAMET_ENOCLUSTER, "connect to %s", path);
}

static int connect_unix(const char *path, int *ret_fd, struct ramet_err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, RAMET_EINVAL, "socket path is longer than %zu bytes: %s",
			sizeof(addr.sun_path) - 1, path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "socket");
	struct timeval limit = {.tv_sec = CONNECT_SECONDS};
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	while (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		if (errno != EINTR)
			return connect_error(path, err);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int conn_open(const char *path, struct conn **ret_conn, struct ramet_err *err)
{
	CLEANUP(auto_cleanup_conn_close) struct conn *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return err_nomem(err);
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&conn->requests[i]);
	auto_close int fd = -1;
	int rc = connect_unix(path, &fd, err);
	if (rc == 0)
		rc = loop_create(&conn->loop, err);
	if (rc < 0)
		return rc;
	conn->fd = loop_fd(conn->loop);
	if (conn->fd < 0)
		return err_errno(err, RAMET_EIO, "create an epoll descriptor");
	rc = frame_conn_create(
		conn->loop, fd, CLIENT_MAX_FRAME, MAX_QUEUE, &handler, conn, &conn->frames, err);
	if (rc < 0)
		return rc;
	steal_fd(&fd); /* the frame connection closes it */
	*ret_conn = steal_ptr(&conn);
	return 0;
}

void conn_close(struct conn *conn)
{
	if (!conn)
		return;
	struct ramet_err err = {0};
	err_set(&err, RAMET_ECLOSED, "the handle was closed");
	lose(conn, &err);
	loop_destroy(conn->loop);
	free(conn);
}

void conn_add(struct conn *conn, struct conn_request *request)
{
	request->req = ++conn->last_req;
	list_append(&conn->requests[request->req % BUCKETS], &request->link);
}

void conn_remove(struct conn_request *request)
{
	if (request->link.next)
		list_remove(&request->link);
}

struct conn_request *conn_find(const struct conn *conn, uint64_t req)
{
	list_for_each (request, &conn->requests[req % BUCKETS], struct conn_request, link)
		if (request->req == req)
			return request;
	return NULL;
}

int conn_send(struct conn *conn, struct buf *b, struct ramet_err *err)
{
	return conn_send_fds(conn, b, NULL, 0, err);
}

int conn_send_fds(
	struct conn *conn, struct buf *b, const int *fds, unsigned nfds, struct ramet_err *err)
{
	int rc = wire_end(b, err);
	if (rc < 0)
		return rc;
	if (conn->lost.code) {
		err_copy(err, &conn->lost);
		return conn->lost.code;
	}
	if (b->len > CLIENT_MAX_FRAME)
		return err_set(err, RAMET_ELIMIT, "request of %zu bytes is larger than %u", b->len,
			CLIENT_MAX_FRAME);
	rc = frame_send(conn->frames, b->data, b->len, fds, nfds);
	if (rc < 0)
		return err_set(err, rc, "send to rametd: %s", err_text(rc));
	return 0;
}

int conn_cancel(struct conn *conn, uint64_t req, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	message_begin(&b, "cancel", ++conn->last_req, 1); /* nobody waits for its answer */
	wire_kuint(&b, "of", req);
	return conn_send(conn, &b, err);
}

void conn_pack_taken(struct conn *conn, struct buf *b, uint64_t req, uint64_t weight)
{
	message_begin(b, "taken", ++conn->last_req, 2); /* nobody waits for its answer */
	wire_kuint(b, "of", req);
	wire_kuint(b, "weight", weight);
}

bool conn_has_room(const struct conn *conn, size_t len)
{
	return conn->lost.code || frame_queued(conn->frames) + len + 4 <= MAX_QUEUE;
}

int conn_fd(const struct conn *conn)
{
	return conn->fd;
}

int conn_dispatch(struct conn *conn, struct ramet_err *err)
{
	return loop_turn(conn->loop, 0, err);
}

const struct ramet_err *conn_lost(const struct conn *conn)
{
	return conn->lost.code ? &conn->lost : NULL;
}
