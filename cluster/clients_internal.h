/* What the files clients*.c share: a client's connection, its requests, and how they are answered.
 */
#ifndef CLUSTER_CLIENTS_INTERNAL_H
#define CLUSTER_CLIENTS_INTERNAL_H

#include "base/err.h"
#include "base/frame.h"
#include "base/list.h"
#include "base/log.h"
#include "base/wire.h"
#include "cluster/calls_result.h"
#include "cluster/clients.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CLIENTS_MAX 1024
#define CLIENTS_MAX_OF_USER 256
#define CLIENTS_MAX_REQUESTS 65536 /* open at once on a connection */
#define CLIENTS_MAX_QUEUE \
	(256u << 20) /* bytes that wait for a client that does not read: then it is closed */

struct clients {
	struct node *node;
	int fd;
	struct loop_watch watch;
	struct list list; /* of struct client */
	struct list orphans; /* requests that outlive their client */
	struct list closing; /* clients to be freed at the end of the turn */
	struct loop_timer sweep;
	unsigned count;
	struct log_limit refused;
	struct loop_timer pause; /* of accepting */
	bool stopping;
	const unsigned char *frame; /* the one being handled */
	size_t frame_len;
	const int *frame_fds; /* closed afterwards */
	unsigned frame_nfds;
};

struct client {
	struct list link;
	struct clients *clients;
	struct frame_conn *conn;
	struct list requests;
	unsigned nrequests;
	unsigned nleases;
	uid_t uid;
	gid_t gid;
	bool greeted, closing;
};

struct client_request;

struct client_request_ops {
	/* The client wants it to end: 0, and the final answer comes all the same (perhaps from
	 * within); RAMET_ENOTFOUND or RAMET_EAGAIN when it cannot be. NULL: it cannot be cancelled.
	 */
	int (*cancel)(struct client_request *request, struct ramet_err *err);
	/* The client has gone: end what is under way and call client_request_end(), or go on
	 * without a client. */
	void (*abandon)(struct client_request *request);
	void (*free)(struct client_request *request); /* the memory, and all that is still held */
};

/* Embedded in what each type of request needs. */
struct client_request {
	struct list link; /* of the client, or of the orphans */
	struct clients *clients;
	struct client *client; /* NULL: it has gone */
	uint64_t req;
	uid_t uid;
	const struct client_request_ops *ops;
};

/* a type of request; parses body, which is valid during the call. On failure nothing was begun: the
 * caller answers err. */
typedef int client_type_fn(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err);

/* client_send - one message; b is emptied. False: the client does not read, and is closed. */
bool client_send(struct client *client, struct buf *b);
bool client_send_fds(struct client *client, struct buf *b, const int *fds, unsigned nfds);
/* client_close - its requests are abandoned; the memory stays until the loop's next turn */
void client_close(struct client *client);
/* client_request_begin - allocates size bytes, zeroed, beginning with struct client_request */
int client_request_begin(struct client *client, uint64_t req, size_t size,
	const struct client_request_ops *ops, struct client_request **ret_request,
	struct ramet_err *err);
/* client_message - opens a message about a request: t, req and `pairs` more to be packed by the
 * caller */
void client_message(struct buf *b, const char *type, uint64_t req, uint32_t pairs);
/* client_request_tell - send an event; b is emptied. False: the client has gone, or goes now. */
bool client_request_tell(struct client_request *request, struct buf *b);
/* the final answers: b is emptied, the request ends and is freed */
void client_request_answer(struct client_request *request, struct buf *b);
void client_request_fail(struct client_request *request, const struct ramet_err *error);
void client_request_fail_with(struct client_request *request, const struct call_error *error);
void client_request_end(
	struct client_request *request); /* without an answer: the client has gone */
size_t client_queued(const struct client_request *request); /* bytes that wait for it */

/* answers to requests that need no object */
void client_answer_err(struct client *client, uint64_t req, const struct ramet_err *error);
struct client_request *client_find_request(struct client *client, uint64_t req);

/* the types */
client_type_fn clients_on_ready, clients_on_deploy, clients_on_remove, clients_on_call,
	clients_on_taken, clients_on_burst, clients_on_lease, clients_on_lease_cancel,
	clients_on_lease_broken, clients_on_cancel, clients_on_wait, clients_on_list,
	clients_on_logs, clients_on_doctor, clients_on_shutdown, clients_on_rollback,
	clients_on_secret_set, clients_on_secret_remove, clients_on_secret_list;
/* clients_lease_far - a lease on another node; the answer comes later */
int clients_lease_far(struct client *client, uint64_t req, const char *function, uint32_t node,
	struct ramet_err *err);
void clients_ready_check(struct client_request *request);
extern const struct client_request_ops clients_ready_ops;

/* an event `log` of what a node printed; skipped while the client is slow. False: it was not sent.
 */
struct log_chunk;
bool clients_tell_log(struct client_request *request, uint32_t node, const struct log_chunk *chunk);

/* what several types have in common */
void client_pack_result(
	struct buf *b, const char *type, uint64_t req, const struct call_result *result);
void client_tell_accepted(struct client_request *request, const char *id);
int client_get_ms(
	const struct wire_value *body, const char *key, uint64_t *ret_ns, struct ramet_err *err);
int client_get_data(const struct wire_value *body, const void **ret_data, size_t *ret_len,
	struct ramet_err *err);
/* a function's name, and a node of this cluster (0: none), checked */
int client_get_name(const struct wire_value *body, char dst[CALL_NAME_MAX], struct ramet_err *err);
int client_get_node(struct client *client, const struct wire_value *body, uint32_t *ret_node,
	struct ramet_err *err);

#endif
