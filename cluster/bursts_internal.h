/* Records of bursts, for the bursts*.c files only. */
#ifndef CLUSTER_BURSTS_INTERNAL_H
#define CLUSTER_BURSTS_INTERNAL_H

#include "base/list.h"
#include "base/loop.h"
#include "cluster/bursts.h"
#include "cluster/calls.h"
#include "cluster/registry.h"

enum rank_state { RANK_UNSENT, RANK_HERE, RANK_AWAY, RANK_OVER };

struct rank {
	struct burst *burst;
	uint32_t node; /* where it is */
	enum rank_state state;
};

/* a part of a burst that was sent to a peer, until it is acknowledged */
struct share {
	struct list link;
	struct burst *burst;
	uint32_t node, first, count;
	uint64_t bus_id;
	bool with_meta;
};

struct burst {
	struct list link;
	struct bursts *bursts;
	char id[CALL_ID_MAX];
	uint32_t tenant, count, over;
	struct app_version *app;
	char function[CALL_NAME_MAX];
	void *data;
	size_t len;
	bool binary, cancelled;
	uint64_t begun_ns, deadline_ns; /* deadline: monotonic; 0 none */
	struct rank *ranks;
	struct list shares;
	uint32_t *nodes; /* that took part */
	uint32_t nnodes;
	struct burst_handler handler;
	void *user;
	bool silent; /* its owner has gone */
	struct burst_summary summary;
	struct loop_timer timer; /* results that were made here (failures), and the summary */
};

/* the share of a peer's burst that runs here */
struct guest {
	struct list link;
	struct bursts *bursts;
	char id[CALL_ID_MAX]; /* of the peer's burst */
	uint32_t node; /* the peer */
	uint32_t left;
};

struct bursts {
	struct node *node;
	struct list list, guests;
};

/* bursts.c */
struct burst *bursts_find(const struct bursts *bursts, const char *id);
void burst_member_id(const char *group, uint32_t rank, char dst[CALL_ID_MAX]);
void rank_over(struct rank *rank, const struct call_result *result);
void rank_failed(struct rank *rank, const struct ramet_err *err);
uint64_t burst_time_left(const struct burst *burst); /* ns; 0: no deadline */
void rank_call(struct rank *rank, uint32_t node); /* here, or where the scheduler says (0) */

/* bursts_share.c: what runs on peers */
void share_begin(struct burst *burst, uint32_t node, uint32_t first, uint32_t count);
void share_free(struct share *share);
void shares_cancel(struct burst *burst);
/* bursts_guest.c: what runs here for peers */
void guest_free(struct guest *guest);

#endif
