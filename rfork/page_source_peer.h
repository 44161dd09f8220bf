/* Pages from a peer's memory by one-sided reads: of its dense image (page n at n * 4096), or of its
 * pack, where the working set lies in order. Sources of one tenant on one peer share a connection.
 * Everything here happens on the loop thread of the transport. */
#ifndef RFORK_PAGE_SOURCE_PEER_H
#define RFORK_PAGE_SOURCE_PEER_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/loop.h"
#include "rfork/page_source.h"
#include "transport/transport.h"

#include <stddef.h>
#include <stdint.h>

#define PAGE_PEERS_PROVIDER_MAX 16 /* bytes of a provider's name, with its NUL */

struct page_peers; /* the connections that one pager has */

/* staging: where all reads put their bytes */
int page_peers_create(const char *provider, const struct transport_options *options,
	struct loop *loop, void *staging, size_t staging_len, struct page_peers **ret_peers,
	struct ramet_err *err);
/* page_peers_also - one more transport, for peers whose spec names its provider. Those that name
 * none are reached over the first. Before the first source. */
int page_peers_also(struct page_peers *peers, const char *provider,
	const struct transport_options *options, struct ramet_err *err);
/* page_peers_destroy - closes the transports: reads in flight are done with RAMET_ECLOSED from
 * within, and later ones fail. Sources are destroyed before or after. NULL is fine. */
void page_peers_destroy(struct page_peers *peers);
DEFINE_CLEANUP(struct page_peers, page_peers_destroy)

/* page_peers_pin - whether an adapter may know the pages of the staging memory: then they must stay
 * what they are. NULL: no. */
bool page_peers_pin(const struct page_peers *peers);

/* page_peers_poll - hands what was begun to the wire now and takes in what has come: done() of
 * reads is called from within */
void page_peers_poll(struct page_peers *peers);

/* page_peers_spins - how often it began and ended to poll for what is urgent, over all transports;
 * from any thread */
void page_peers_spins(const struct page_peers *peers, struct transport_spins *ret);

/* What the control plane was told about a seed on a peer. */
struct page_peer_spec {
	uint32_t tenant;
	bool copy; /* see struct page_source */
	unsigned rank;
	char provider[PAGE_PEERS_PROVIDER_MAX]; /* "": the first */
	char addr[TRANSPORT_ADDR_MAX];
	uint8_t token[TRANSPORT_TOKEN_MAX]; /* used only if there is no connection yet */
	size_t token_len;
	struct segment_ref image;
	struct segment_ref pack; /* read only if pack_pages > 0 */
	uint64_t pack_pages;
};
/* page_source_peer_create - returns at once; reads wait for the connection, or fail with it */
int page_source_peer_create(struct page_peers *peers, const struct page_peer_spec *spec,
	struct page_source **ret_source, struct ramet_err *err);

#endif
