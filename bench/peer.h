/* The node that a seed comes from, as the wire shows it: a thread with a loop and a transport of
 * its own serves the descriptor, the image and the pack of one seed by one-sided reads. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "base/cleanup.h"
#include "rfork/image.h"
#include "rfork/page_source_peer.h"
#include "rfork/working_set.h"

struct peer;

/* what a node needs to fork the seed */
struct peer_offer {
	struct page_peer_spec spec; /* its pages */
	struct segment_ref descriptor;
	uint64_t descriptor_len;
};

/* image outlives the peer; set may be NULL: no pack. Call after ramet-spawn was started.
 * provider: "tcp", "mem", or "verbs" in a guest */
int peer_create(const char *provider, const struct image *image, const struct working_set *set,
	struct peer **ret_peer, struct ramet_err *err);
void peer_destroy(struct peer *peer);
DEFINE_CLEANUP(struct peer, peer_destroy)
#define auto_peer AUTO(peer_destroy)

/* for all transports of a benchmark; NULL: the defaults. In a guest everything stands still now and
 * then for longer than a peer may be silent. */
const struct transport_options *peer_options(const char *provider);

const struct peer_offer *peer_offer(const struct peer *peer); /* as it is now */
/* peer_revoke - the image may not be read any more: asked for when it returns */
void peer_revoke(struct peer *peer);
/* peer_expose - it may again, as another segment; waits */
int peer_expose(struct peer *peer, struct ramet_err *err);

/* The control connection of a node to its peer: a blocking read that turns the node's loop. */
struct peer_link;
/* offer outlives it */
int peer_link_open(struct loop *loop, const char *provider, const struct peer_offer *offer,
	struct peer_link **ret_link, struct ramet_err *err);
void peer_link_close(struct peer_link *link);
DEFINE_CLEANUP(struct peer_link, peer_link_close)
#define auto_peer_link AUTO(peer_link_close)
/* a link of which nothing was heard while its loop stood still is lost */
bool peer_link_lives(struct peer_link *link);
/* *ret_bytes is the link's, until the next read */
int peer_link_read_descriptor(
	struct peer_link *link, const void **ret_bytes, uint64_t *ret_len, struct ramet_err *err);
/* peer_link_spin - what one READ of 4 KiB takes whose completion is polled for */
int peer_link_spin(struct peer_link *link, uint64_t *ret_ns, struct ramet_err *err);

#endif
