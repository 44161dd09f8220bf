/* The serving thread; everything of the transport is created, used and closed on it. */
#include "bench/peer.h"

#include "base/clock.h"
#include "bench/guest.h"
#include "transport/transport.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_NS (10 * NSEC_PER_SEC)
#define TOKEN "benchmark-token-0123456789abcdef"

struct peer {
	const char *provider;
	struct loop_thread *thread;
	const struct image *image;
	void *pack;
	uint64_t pack_pages;
	struct transport *transport;
	struct transport_domain *domain;
	struct transport_listener *listener;
	struct transport_segment *descriptor, *pages, *packed;
	struct peer_offer offer;
	struct loop_task task, revoke_task;
	sem_t done;
	struct ramet_err err;
};

const struct transport_options *peer_options(const char *provider)
{
	static const struct transport_options patient = {
		.peer_timeout_ms = 5000, .handshake_ms = 10000};
	return strcmp(provider, "verbs") == 0 ? &patient : NULL;
}

static void conn_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	(void)user;
	(void)conn;
	(void)err;
}

static const struct transport_handler serving = {.on_closed = conn_closed};

static int on_accept(void *user, const void *token, size_t token_len, const char *name,
	struct transport_accept *ret)
{
	const struct peer *peer = user;
	(void)name;
	if (token_len != TRANSPORT_TOKEN_MAX || memcmp(token, TOKEN, token_len) != 0)
		return RAMET_EPERM;
	*ret = (struct transport_accept){.domain = peer->domain, .handler = &serving};
	return 0;
}

static int add_segments(struct peer *peer, struct ramet_err *err)
{
	const struct image *image = peer->image;
	int rc = transport_segment_add(peer->domain, image->desc_bytes,
		image->desc.header->total_len, 0, &peer->descriptor, err);
	if (rc == 0)
		rc = transport_segment_add(
			peer->domain, image->base, image_bytes(image), 0, &peer->pages, err);
	if (rc == 0 && peer->pack)
		rc = transport_segment_add(peer->domain, peer->pack, peer->pack_pages * RFORK_PAGE,
			0, &peer->packed, err);
	return rc;
}

static int listen_address(const char *provider, char *address, size_t size, struct ramet_err *err)
{
	char guest[GUEST_ADDRESS_MAX] = "127.0.0.1";
	int rc = 0;
	if (strcmp(provider, "verbs") == 0)
		rc = guest_address(guest_self(), guest, err);
	snprintf(address, size, "%s:0", guest);
	if (strcmp(provider, "mem") == 0)
		snprintf(address, size, "mem:bench");
	return rc;
}

static int serve(struct peer *peer, struct ramet_err *err)
{
	struct page_peer_spec *spec = &peer->offer.spec;
	char address[TRANSPORT_ADDR_MAX];
	int rc = transport_open(peer->provider, loop_thread_loop(peer->thread),
		peer_options(peer->provider), &peer->transport, err);
	if (rc == 0)
		rc = transport_domain_create(peer->transport, &peer->domain, err);
	if (rc == 0)
		rc = add_segments(peer, err);
	if (rc == 0)
		rc = listen_address(peer->provider, address, sizeof(address), err);
	if (rc == 0)
		rc = transport_listen(
			peer->transport, address, on_accept, peer, &peer->listener, err);
	if (rc < 0)
		return rc;
	spec->tenant = 1;
	snprintf(spec->addr, sizeof(spec->addr), "%s", transport_listener_addr(peer->listener));
	memcpy(spec->token, TOKEN, TRANSPORT_TOKEN_MAX);
	spec->token_len = TRANSPORT_TOKEN_MAX;
	spec->image = transport_segment_ref(peer->pages, 0);
	peer->offer.descriptor = transport_segment_ref(peer->descriptor, 0);
	peer->offer.descriptor_len = peer->image->desc.header->total_len;
	if (peer->packed)
		spec->pack = transport_segment_ref(peer->packed, 0);
	spec->pack_pages = peer->packed ? peer->pack_pages : 0;
	return 0;
}

static void serve_task(struct loop_task *task)
{
	struct peer *peer = container_of(task, struct peer, task);
	(void)serve(peer, &peer->err);
	sem_post(&peer->done);
}

static void close_task(struct loop_task *task)
{
	struct peer *peer = container_of(task, struct peer, task);
	transport_close(peer->transport);
	sem_post(&peer->done);
}

static void run_there(struct peer *peer, void (*fn)(struct loop_task *task))
{
	peer->task.fn = fn;
	loop_post(loop_thread_loop(peer->thread), &peer->task);
	while (sem_wait(&peer->done) < 0)
		;
}

static int make_pack(struct peer *peer, const struct working_set *set, struct ramet_err *err)
{
	peer->pack_pages = working_set_pages(set);
	peer->pack = aligned_alloc(RFORK_PAGE, peer->pack_pages * RFORK_PAGE);
	return peer->pack ? working_set_pack(set, peer->image, peer->pack, err) : err_nomem(err);
}

static void revoke_task(struct loop_task *task)
{
	struct peer *peer = container_of(task, struct peer, revoke_task);
	transport_segment_remove(peer->pages, NULL, NULL);
	peer->pages = NULL;
}

void peer_revoke(struct peer *peer)
{
	peer->revoke_task.fn = revoke_task;
	loop_post(loop_thread_loop(peer->thread), &peer->revoke_task);
}

static void expose_task(struct loop_task *task)
{
	struct peer *peer = container_of(task, struct peer, task);
	if (transport_segment_add(peer->domain, peer->image->base, image_bytes(peer->image), 0,
		    &peer->pages, &peer->err) == 0)
		peer->offer.spec.image = transport_segment_ref(peer->pages, 0);
	sem_post(&peer->done);
}

int peer_expose(struct peer *peer, struct ramet_err *err)
{
	run_there(peer, expose_task);
	err_copy(err, &peer->err);
	return peer->err.code;
}

int peer_create(const char *provider, const struct image *image, const struct working_set *set,
	struct peer **ret_peer, struct ramet_err *err)
{
	auto_peer struct peer *peer = calloc(1, sizeof(*peer));
	if (!peer)
		return err_nomem(err);
	peer->provider = provider;
	peer->image = image;
	sem_init(&peer->done, 0, 0);
	int rc = set && working_set_pages(set) > 0 ? make_pack(peer, set, err) : 0;
	if (rc == 0)
		rc = loop_thread_start("bench-peer", &peer->thread, err);
	if (rc < 0)
		return rc;
	run_there(peer, serve_task);
	if (peer->err.code < 0) {
		err_copy(err, &peer->err);
		return err->code;
	}
	*ret_peer = steal_ptr(&peer);
	return 0;
}

void peer_destroy(struct peer *peer)
{
	if (!peer)
		return;
	if (peer->thread)
		run_there(peer, close_task);
	loop_thread_stop(peer->thread);
	sem_destroy(&peer->done);
	free(peer->pack);
	free(peer);
}

const struct peer_offer *peer_offer(const struct peer *peer)
{
	return &peer->offer;
}

/* --- the other side's control connection --- */

struct peer_link {
	struct loop *loop;
	const struct peer_offer *offer;
	struct transport *transport;
	struct transport_domain *domain;
	struct transport_segment *segment;
	struct transport_conn *conn;
	void *bytes;
	bool connected, complete;
	int status;
};

static void on_connected(void *user, struct transport_conn *conn)
{
	struct peer_link *link = user;
	(void)conn;
	link->connected = true;
}

static void on_complete(void *user, const struct transport_completion *completion)
{
	struct peer_link *link = user;
	link->complete = true;
	link->status = completion->status;
}

static void on_link_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	struct peer_link *link = user;
	(void)conn;
	link->connected = link->complete = true;
	link->status = err->code ? err->code : RAMET_ECLOSED;
}

static const struct transport_handler linking = {
	.on_connected = on_connected, .on_complete = on_complete, .on_closed = on_link_closed};

static int link_wait(struct peer_link *link, const bool *flag, struct ramet_err *err)
{
	uint64_t deadline = now_ns() + WAIT_NS;
	while (!*flag) {
		uint64_t now = now_ns();
		if (now >= deadline)
			return err_set(err, RAMET_ETIMEOUT, "the peer did not answer");
		int rc = loop_turn(link->loop, deadline - now, err);
		if (rc < 0)
			return rc;
	}
	return link->status < 0 ? err_set(err, link->status, "reading from the peer failed") : 0;
}

void peer_link_close(struct peer_link *link)
{
	if (!link)
		return;
	transport_close(link->transport);
	free(link->bytes);
	free(link);
}

int peer_link_open(struct loop *loop, const char *provider, const struct peer_offer *offer,
	struct peer_link **ret_link, struct ramet_err *err)
{
	auto_peer_link struct peer_link *link = calloc(1, sizeof(*link));
	if (!link)
		return err_nomem(err);
	link->loop = loop;
	link->offer = offer;
	uint64_t len = offer->descriptor_len;
	link->bytes = aligned_alloc(RFORK_PAGE, (len + RFORK_PAGE - 1) & ~(RFORK_PAGE - 1));
	if (!link->bytes)
		return err_nomem(err);
	int rc = transport_open(provider, loop, peer_options(provider), &link->transport, err);
	if (rc == 0)
		rc = transport_domain_create(link->transport, &link->domain, err);
	if (rc == 0)
		rc = transport_segment_add(link->domain, link->bytes, len, TRANSPORT_SEGMENT_LOCAL,
			&link->segment, err);
	if (rc == 0)
		rc = transport_connect(link->domain, offer->spec.addr, TOKEN, TRANSPORT_TOKEN_MAX,
			&linking, link, &link->conn, err);
	if (rc == 0)
		rc = link_wait(link, &link->connected, err);
	if (rc < 0)
		return rc;
	*ret_link = steal_ptr(&link);
	return 0;
}

bool peer_link_lives(struct peer_link *link)
{
	(void)loop_turn(link->loop, 0, NULL);
	return link->status == 0;
}

int peer_link_read_descriptor(
	struct peer_link *link, const void **ret_bytes, uint64_t *ret_len, struct ramet_err *err)
{
	uint64_t len = link->offer->descriptor_len;
	link->complete = false;
	int rc = transport_read(
		link->conn, link->offer->descriptor, link->segment, link->bytes, len, 0);
	if (rc < 0)
		return err_set(err, rc, "read the descriptor");
	(void)transport_poll(link->transport);
	rc = link_wait(link, &link->complete, err);
	if (rc < 0)
		return rc;
	*ret_bytes = link->bytes;
	*ret_len = len;
	return 0;
}

int peer_link_spin(struct peer_link *link, uint64_t *ret_ns, struct ramet_err *err)
{
	uint64_t len = MIN(link->offer->descriptor_len, RFORK_PAGE);
	uint64_t begin = now_ns();
	link->complete = false;
	int rc = transport_read(
		link->conn, link->offer->descriptor, link->segment, link->bytes, len, 0);
	if (rc < 0)
		return err_set(err, rc, "read from the peer");
	while (!link->complete && now_ns() < begin + WAIT_NS)
		(void)transport_poll(link->transport);
	*ret_ns = now_ns() - begin;
	return link_wait(link, &link->complete, err);
}
