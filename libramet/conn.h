/* The connection to rametd: frames out, frames in, and which request each belongs to. Not
 * thread-safe: everything here is called with the handle's lock held (handle.h). Nothing blocks but
 * conn_open(). */
#ifndef LIBRAMET_CONN_H
#define LIBRAMET_CONN_H

#include "base/err.h"
#include "base/list.h"
#include "base/wire.h"
#include "libramet/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;

/* A request under way, embedded in its owner, who removes it after its final answer. */
struct conn_request {
	struct list link;
	uint64_t req;
	/* a message with our req, which becomes the callee's. May remove any request; must not
	 * close the connection. */
	void (*on_message)(struct conn_request *request, struct message *message);
	/* the connection is lost or closed; called once, after which no message comes */
	void (*on_lost)(struct conn_request *request, const struct ramet_err *err);
};

/* conn_open - connect to a Unix socket; blocks at most some seconds. RAMET_ENOCLUSTER, RAMET_EPERM.
 */
int conn_open(const char *path, struct conn **ret_conn, struct ramet_err *err);
/* conn_close - all requests that are left are told, with RAMET_ECLOSED; NULL is fine */
void conn_close(struct conn *conn);

/* conn_add - give a request its number. It hears of messages from now on. */
void conn_add(struct conn *conn, struct conn_request *request);
void conn_remove(struct conn_request *request); /* a no-op on a zeroed or removed one */
struct conn_request *conn_find(const struct conn *conn, uint64_t req);

/* conn_send - queue a finished message. RAMET_EAGAIN: too much waits to be sent; RAMET_EPEER: lost.
 */
int conn_send(struct conn *conn, struct buf *b, struct ramet_err *err);
int conn_send_fds(
	struct conn *conn, struct buf *b, const int *fds, unsigned nfds, struct ramet_err *err);
/* conn_cancel - ask for request req to end; its final answer still comes, if it had not come before
 */
int conn_cancel(struct conn *conn, uint64_t req, struct ramet_err *err);
/* conn_pack_taken - a message: of what request req emits, so much has been used */
void conn_pack_taken(struct conn *conn, struct buf *b, uint64_t req, uint64_t weight);
/* conn_has_room - whether conn_send() of len bytes would not be RAMET_EAGAIN */
bool conn_has_room(const struct conn *conn, size_t len);

int conn_fd(const struct conn *conn); /* readable when conn_dispatch() has something to do */
int conn_dispatch(struct conn *conn, struct ramet_err *err);
/* conn_lost - why it is lost, or NULL while it stands */
const struct ramet_err *conn_lost(const struct conn *conn);

#endif
