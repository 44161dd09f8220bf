/* Reads of pages over the transport: which runs of a read are asked for at once, what waits for a
 * connection or for room in its queue, and how the end of a connection ends its reads. */
#include "rfork/page_source_peer.h"

#include "base/clock.h"
#include "base/list.h"
#include "rfork/descriptor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_NS \
	NSEC_PER_MSEC /* when the queue is full and nothing is in flight that would end \
		       */

#define WAYS_MAX 2

/* a transport */
struct peer_way {
	char provider[PAGE_PEERS_PROVIDER_MAX];
	struct transport *transport;
};

struct page_peers {
	struct loop *loop;
	struct peer_way ways[WAYS_MAX];
	unsigned nways;
	void *staging;
	size_t staging_len;
	struct list peers, domains;
	bool closing;
};

/* what a tenant's connections over one transport share */
struct peer_domain {
	struct list link;
	struct transport *transport;
	uint32_t tenant;
	struct transport_domain *domain;
	struct transport_segment *staging;
};

enum peer_state { PEER_CONNECTING, PEER_OPEN, PEER_DEAD };

struct page_peer {
	struct list link; /* in page_peers.peers; alone once dead */
	struct page_peers *peers;
	struct peer_domain *domain;
	struct transport_conn *conn;
	enum peer_state state;
	int end; /* why it is dead */
	unsigned users; /* sources */
	struct list waiting;
	struct loop_timer retry;
	char addr[TRANSPORT_ADDR_MAX];
};

struct peer_source {
	struct page_source base;
	struct page_peer *peer;
	struct segment_ref image, pack;
};

static struct peer_source *peer_source(struct page_source *source)
{
	return container_of(source, struct peer_source, base);
}

/* pages from read->posted on that one operation brings: they lie side by side at the peer */
static unsigned next_run(const struct page_read *read, struct segment_ref *ret_ref)
{
	const struct peer_source *source = peer_source(read->source);
	unsigned at = read->posted, n = 1;
	if (read->pack_first != PAGE_READ_NO_PACK) {
		*ret_ref = source->pack;
		ret_ref->offset += (read->pack_first + at) * RFORK_PAGE;
		return read->count - at;
	}
	while (at + n < read->count && read->pages[at + n] == read->pages[at] + n)
		n++;
	*ret_ref = source->image;
	ret_ref->offset += read->pages[at] * RFORK_PAGE;
	return n;
}

/* somebody is stopped until the answer to an urgent read has come, and it comes soon */
static void read_begin_spin(const struct page_peer *peer, struct page_read *read)
{
	if (!read->urgent || read->spins)
		return;
	read->spins = true;
	transport_spin_begin(peer->domain->transport);
}

static void read_end(const struct page_peer *peer, struct page_read *read, int status)
{
	if (read->spins)
		transport_spin_end(peer->domain->transport);
	read->spins = false;
	read->done(read, status);
}

/* 0: everything was asked for */
static int read_post(struct page_peer *peer, struct page_read *read)
{
	while (read->posted < read->count) {
		struct segment_ref ref;
		unsigned n = next_run(read, &ref);
		int rc = transport_read(peer->conn, ref, peer->domain->staging,
			read->dst + read->posted * RFORK_PAGE, n * RFORK_PAGE,
			(uint64_t)(uintptr_t)read);
		if (rc < 0)
			return rc;
		read->posted += n;
		read->pending++;
		read_begin_spin(peer, read);
	}
	return 0;
}

static void peer_on_retry(struct loop_timer *timer);

static void peer_pump(struct page_peer *peer)
{
	while (peer->state == PEER_OPEN && !list_empty(&peer->waiting)) {
		struct page_read *read = list_first(&peer->waiting, struct page_read, link);
		int rc = read_post(peer, read);
		if (rc == 0) {
			list_remove(&read->link);
			continue;
		}
		if (rc == RAMET_EAGAIN || rc == RAMET_ENOMEM) {
			if (transport_conn_inflight(peer->conn) == 0)
				loop_timer_set(peer->peers->loop, &peer->retry, now_ns() + RETRY_NS,
					peer_on_retry);
		} else {
			transport_conn_close(peer->conn); /* on_closed ends the reads */
		}
		return;
	}
}

static void peer_on_retry(struct loop_timer *timer)
{
	peer_pump(container_of(timer, struct page_peer, retry));
}

static void peer_on_connected(void *user, struct transport_conn *conn)
{
	struct page_peer *peer = user;
	(void)conn;
	peer->state = PEER_OPEN;
	peer_pump(peer);
}

static void peer_on_complete(void *user, const struct transport_completion *completion)
{
	struct page_peer *peer = user;
	struct page_read *read = (struct page_read *)(uintptr_t)completion->cookie;
	read->pending--;
	if (completion->status < 0 && read->status == 0)
		read->status = completion->status;
	if (read->status < 0)
		list_remove(&read->link); /* no more of it is asked for */
	if (read->pending == 0 && (read->status < 0 || read->posted == read->count))
		read_end(peer, read, read->status);
	if (!list_empty(&peer->waiting))
		peer_pump(peer);
}

static void peer_free(struct page_peer *peer)
{
	loop_timer_cancel(&peer->retry);
	list_remove(&peer->link);
	free(peer);
}

static void peer_on_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	struct page_peer *peer = user;
	(void)conn;
	peer->conn = NULL;
	peer->state = PEER_DEAD;
	peer->end = err->code < 0 ? err->code : RAMET_ECLOSED;
	list_remove(&peer->link);
	loop_timer_cancel(&peer->retry);
	peer->users++; /* done() may drop the last source */
	while (!list_empty(&peer->waiting)) {
		struct page_read *read = list_first(&peer->waiting, struct page_read, link);
		list_remove(&read->link);
		read_end(peer, read, peer->end);
	}
	if (--peer->users == 0)
		peer_free(peer);
}

static const struct transport_handler peer_handler = {
	.on_connected = peer_on_connected,
	.on_complete = peer_on_complete,
	.on_closed = peer_on_closed,
};

static int peer_source_read(struct page_source *base, struct page_read *read)
{
	struct page_peer *peer = peer_source(base)->peer;
	if (peer->state == PEER_DEAD)
		return peer->end;
	if (peer->peers->closing)
		return RAMET_ECLOSED;
	read->source = base;
	read->posted = read->pending = 0;
	read->status = 0;
	if (read->urgent)
		list_insert(&peer->waiting, &read->link);
	else
		list_append(&peer->waiting, &read->link);
	peer_pump(peer);
	return 0;
}

static bool peer_source_ready(const struct page_source *base)
{
	return container_of(base, const struct peer_source, base)->peer->state == PEER_OPEN;
}

static void peer_source_destroy(struct page_source *base)
{
	struct peer_source *source = peer_source(base);
	struct page_peer *peer = source->peer;
	/* a living connection stays: tokens work once, and the next seed comes from there too */
	if (--peer->users == 0 && peer->state == PEER_DEAD)
		peer_free(peer);
	free(source);
}

static const struct page_source_ops peer_source_ops = {
	.name = "peer",
	.read = peer_source_read,
	.ready = peer_source_ready,
	.destroy = peer_source_destroy,
};

static int way_find(const struct page_peers *peers, const char *provider, struct transport **ret,
	struct ramet_err *err)
{
	for (unsigned i = 0; i < peers->nways; i++) {
		if (provider[0] == '\0' || strcmp(peers->ways[i].provider, provider) == 0) {
			*ret = peers->ways[i].transport;
			return 0;
		}
	}
	return err_set(err, RAMET_ENOTSUP, "no transport \"%s\" is open here", provider);
}

static int domain_find(struct page_peers *peers, struct transport *transport, uint32_t tenant,
	struct peer_domain **ret_domain, struct ramet_err *err)
{
	list_for_each (known, &peers->domains, struct peer_domain, link) {
		if (known->tenant == tenant && known->transport == transport) {
			*ret_domain = known;
			return 0;
		}
	}
	auto_free struct peer_domain *domain = calloc(1, sizeof(*domain));
	if (!domain)
		return err_nomem(err);
	domain->tenant = tenant;
	domain->transport = transport;
	int rc = transport_domain_create(transport, &domain->domain, err);
	if (rc < 0)
		return rc;
	rc = transport_segment_add(domain->domain, peers->staging, peers->staging_len,
		TRANSPORT_SEGMENT_LOCAL, &domain->staging, err);
	if (rc < 0) {
		transport_domain_destroy(domain->domain);
		return rc;
	}
	list_append(&peers->domains, &domain->link);
	*ret_domain = steal_ptr(&domain);
	return 0;
}

static int peer_find(struct page_peers *peers, const struct page_peer_spec *spec,
	struct page_peer **ret_peer, struct ramet_err *err)
{
	struct transport *transport = NULL;
	int rc = way_find(peers, spec->provider, &transport, err);
	if (rc < 0)
		return rc;
	list_for_each (known, &peers->peers, struct page_peer, link) {
		if (known->domain->transport == transport &&
			known->domain->tenant == spec->tenant &&
			strcmp(known->addr, spec->addr) == 0) {
			*ret_peer = known;
			return 0;
		}
	}
	auto_free struct page_peer *peer = calloc(1, sizeof(*peer));
	if (!peer)
		return err_nomem(err);
	peer->peers = peers;
	list_init(&peer->waiting);
	snprintf(peer->addr, sizeof(peer->addr), "%s", spec->addr);
	rc = domain_find(peers, transport, spec->tenant, &peer->domain, err);
	if (rc < 0)
		return rc;
	rc = transport_connect(peer->domain->domain, spec->addr, spec->token, spec->token_len,
		&peer_handler, peer, &peer->conn, err);
	if (rc < 0)
		return rc;
	list_append(&peers->peers, &peer->link);
	*ret_peer = steal_ptr(&peer);
	return 0;
}

int page_source_peer_create(struct page_peers *peers, const struct page_peer_spec *spec,
	struct page_source **ret_source, struct ramet_err *err)
{
	struct page_peer *peer;
	int rc = peer_find(peers, spec, &peer, err);
	if (rc < 0)
		return rc;
	struct peer_source *source = calloc(1, sizeof(*source));
	if (!source)
		return err_nomem(err); /* the connection stays for the next */
	peer->users++;
	source->peer = peer;
	source->base.ops = &peer_source_ops;
	source->base.name = peer->addr;
	source->base.copy = spec->copy;
	source->base.rank = spec->rank;
	source->base.pack_pages = spec->pack_pages;
	source->image = spec->image;
	source->pack = spec->pack;
	*ret_source = &source->base;
	return 0;
}

int page_peers_also(struct page_peers *peers, const char *provider,
	const struct transport_options *options, struct ramet_err *err)
{
	struct peer_way *way = &peers->ways[peers->nways];
	if (peers->nways == WAYS_MAX || strlen(provider) >= sizeof(way->provider))
		return err_set(err, RAMET_EINVAL, "transport \"%s\" beside %u others", provider,
			peers->nways);
	int rc = transport_open(provider, peers->loop, options, &way->transport, err);
	if (rc < 0)
		return rc;
	memcpy(way->provider, provider, strlen(provider) + 1);
	peers->nways++;
	return 0;
}

int page_peers_create(const char *provider, const struct transport_options *options,
	struct loop *loop, void *staging, size_t staging_len, struct page_peers **ret_peers,
	struct ramet_err *err)
{
	auto_free struct page_peers *peers = calloc(1, sizeof(*peers));
	if (!peers)
		return err_nomem(err);
	peers->loop = loop;
	peers->staging = staging;
	peers->staging_len = staging_len;
	list_init(&peers->peers);
	list_init(&peers->domains);
	int rc = page_peers_also(peers, provider, options, err);
	if (rc < 0)
		return rc;
	*ret_peers = steal_ptr(&peers);
	return 0;
}

bool page_peers_pin(const struct page_peers *peers)
{
	for (unsigned i = 0; peers && i < peers->nways; i++)
		if (strcmp(peers->ways[i].provider, "tcp") != 0 &&
			strcmp(peers->ways[i].provider, "mem") != 0)
			return true;
	return false;
}

void page_peers_destroy(struct page_peers *peers)
{
	if (!peers)
		return;
	peers->closing = true;
	for (unsigned i = 0; i < peers->nways; i++) /* ends every connection, and so every peer */
		transport_close(peers->ways[i].transport);
	list_for_each_safe (domain, &peers->domains, struct peer_domain, link)
		free(domain);
	free(peers);
}

void page_peers_spins(const struct page_peers *peers, struct transport_spins *ret)
{
	*ret = (struct transport_spins){0};
	for (unsigned i = 0; i < peers->nways; i++) {
		struct transport_spins spins;
		transport_spins(peers->ways[i].transport, &spins);
		ret->begun += spins.begun;
		ret->ended += spins.ended;
		ret->polls += spins.polls;
		ret->lingers += spins.lingers;
	}
}

void page_peers_poll(struct page_peers *peers)
{
	for (unsigned i = 0; i < peers->nways; i++)
		transport_poll(peers->ways[i].transport);
}
