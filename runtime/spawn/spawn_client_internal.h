/* The inside of the client, shared by spawn_client.c (life), spawn_client_requests.c and
 * spawn_client_answers.c (messages).
 */
#ifndef RUNTIME_SPAWN_SPAWN_CLIENT_INTERNAL_H
#define RUNTIME_SPAWN_SPAWN_CLIENT_INTERNAL_H

#include "base/frame.h"
#include "base/list.h"
#include "base/wire.h"
#include "runtime/spawn/idmap.h"
#include "runtime/spawn/spawn_client.h"
#include "runtime/spawn_proto.h"

#include <limits.h>

enum pending_kind { PENDING_HOST, PENDING_TEMPLATE, PENDING_CLONE, PENDING_VIEW, PENDING_STATS };

/* A request in flight. */
struct pending {
	struct idmap_node node; /* key: req */
	enum pending_kind kind;
	uint64_t subject; /* inst or tmpl */
	SPAWN_DONE(done); /* NULL: forgotten */
	void *user;
};

/* An instance that was forgotten before it was made: its end is not told. */
struct unwanted {
	struct idmap_node node; /* key: inst */
};

struct spawn_client {
	struct loop *loop;
	struct frame_conn *conn; /* NULL: lost */
	const struct spawn_handler *handler;
	void *user;
	pid_t pid; /* 0: reaped */
	bool killed; /* it did not end by itself, and so left its cgroups */
	char node_name[SPAWN_NAME_MAX];
	struct spawn_caps caps;
	char store_dir[PATH_MAX]; /* "": none */
	uint64_t next_req;
	struct idmap pending, unwanted;
	struct buf out;
};

/* spawn_client_answers.c: a frame after hello */
void spawn_client_on_frame(
	void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds);
/* spawn_client_answers.c: answer everything in flight with why (NULL: silently), and forget it */
void spawn_client_fail_all(struct spawn_client *client, const struct ramet_err *why);
/* spawn_client.c: it is over; completes and tells */
void spawn_client_lost(struct spawn_client *client, const struct ramet_err *why);

#endif
