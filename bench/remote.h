/* A node that forks a seed of another node (bench/peer.h): its pager, its copies of the seed. */
#ifndef BENCH_REMOTE_H
#define BENCH_REMOTE_H

#include "bench/node.h"
#include "bench/peer.h"
#include "rfork/pager.h"

struct remote {
	struct node *node;
	const char *provider;
	struct peer *peer; /* NULL: it is elsewhere */
	const struct peer_offer *offer;
	struct peer_link *link;
	struct loop_thread *thread;
	struct pager *pager;
};
/* image, and set if there is one, outlive the remote */
int remote_open(struct remote *r, const char *provider, struct node *node,
	const struct image *image, const struct working_set *set, struct ramet_err *err);
/* remote_open_offer - of a peer that is not ours; offer outlives the remote */
int remote_open_offer(struct remote *r, const char *provider, struct node *node,
	const struct peer_offer *offer, struct ramet_err *err);
/* remote_ready - before the time of a copy is taken: a call of the last one may have lasted longer
 * than a connection survives while nobody turns its loop */
int remote_ready(struct remote *r, struct ramet_err *err);
void remote_fini(struct remote *r);

/* the node's copy of the seed, and one child of it */
struct copy {
	struct image *image;
	struct pager_seed *pages;
	uint64_t tmpl;
	struct proc *proc;
	struct pager_child *child;
};
/* copy_begin - from the descriptor's place on the peer to a template, as a node does it */
int copy_begin(struct remote *r, struct copy *copy, struct ramet_err *err);
/* copy_begin_with - the same; handler is told of the seed */
int copy_begin_with(struct remote *r, struct copy *copy, const struct pager_seed_handler *handler,
	void *user, struct ramet_err *err);
/* copy_clone - a child that runs; its pages come as it touches them */
int copy_clone(struct remote *r, struct copy *copy, const struct clone_options *options,
	struct ramet_err *err);
void copy_end(struct copy *copy, struct node *node);

#endif
