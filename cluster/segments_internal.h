/* A node's segments, for the segments*.c files only. */
#ifndef CLUSTER_SEGMENTS_INTERNAL_H
#define CLUSTER_SEGMENTS_INTERNAL_H

#include "base/list.h"
#include "base/loop.h"
#include "cluster/segments.h"

#include <pthread.h>

/* one transport */
struct way {
	struct segments *segments;
	char addr[TRANSPORT_ADDR_MAX], provider[16], device[TRANSPORT_DEVICE_MAX];
	/* data side */
	struct transport *transport;
	struct transport_listener *listener;
};

struct segments {
	struct loop *control;
	struct loop_thread *thread;
	struct way ways[SEGMENTS_WAYS_MAX];
	unsigned nways;
	/* data side */
	struct loop_task setup_task;
	struct list domains, tokens;
	unsigned ntokens;
	struct loop_timer expiry;
	/* the two tasks that the control loop waits for: start and end */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int setup_rc;
	struct ramet_err setup_err;
	const char *want_addr;
	const struct transport_options *want_options;
};

/* segments.c, data side: where what a tenant's segments are opened to is made at the first time */
int segments_domain_of(
	struct way *way, uint32_t tenant, struct transport_domain **ret, struct ramet_err *err);

/* segments_tokens.c, data side: a peer comes with a token; user is the way */
int segments_on_accept(void *user, const void *token, size_t token_len, const char *peer,
	struct transport_accept *ret);
void segments_forget_tokens(struct segments *segments); /* all; the data thread has ended */

#endif
