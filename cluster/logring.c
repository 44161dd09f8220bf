/* Rings of instances' output: see logring.h.
 *
 * A ring is a byte buffer that wraps and a queue of the chunks in it. A chunk is what was read at
 * once under one tag, whole lines where possible; the oldest chunks go when room is needed. */
#include "cluster/logring.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 16384
#define DRAIN_BYTES (4u * LOGRING_BYTES) /* at most, when an instance ends or is tagged anew */
#define MAX_CHUNKS 512

struct chunk {
	uint64_t time_ns;
	uint64_t begin; /* in bytes written since ever; its place is begin % LOGRING_BYTES */
	uint32_t len;
	struct log_tag *tag; /* shared by the chunks of a call, counted in the ring's tags */
};

struct tag_ref {
	struct log_tag tag; /* first */
	unsigned refs;
};

struct text {
	struct chunk chunks[MAX_CHUNKS]; /* a queue */
	char data[LOGRING_BYTES];
};

struct logring {
	struct list link;
	struct logrings *rings;
	struct loop_watch watch;
	int fd; /* -1: the instance has ended */
	struct tag_ref *tag;
	uint64_t written;
	unsigned first, count;
	uint64_t lost;
	uint64_t rate_window_ns, rate_bytes;
	void (*whose)(void *user, struct log_tag *tag); /* or NULL */
	void *whose_user;
	struct text *text; /* NULL: nothing was printed, as by most instances */
};

struct log_follow {
	struct list link;
	struct log_filter filter;
	log_chunk_fn *fn;
	void *user;
	uint64_t lost;
	bool stopped; /* freed after the round of callbacks that is under way */
};

struct logrings {
	struct loop *loop;
	struct list open, ended; /* ended: the oldest first */
	unsigned nended;
	struct list follows;
	unsigned telling; /* rounds of callbacks under way */
};

/* --- tags --- */

static struct tag_ref *tag_new(const struct log_tag *tag)
{
	struct tag_ref *ref = calloc(1, sizeof(*ref));
	if (!ref)
		return NULL;
	ref->tag = *tag;
	ref->refs = 1;
	return ref;
}

static void tag_put(struct log_tag *tag)
{
	struct tag_ref *ref = container_of(tag, struct tag_ref, tag);
	if (--ref->refs == 0)
		free(ref);
}

static bool group_of(const char *call, const char *group)
{
	size_t len = strlen(group);
	return strncmp(call, group, len) == 0 && (call[len] == 0 || call[len] == '.');
}

static bool matches(const struct log_filter *filter, const struct log_tag *tag)
{
	if (!filter->all_uids && filter->uid != tag->uid)
		return false;
	if (filter->instance && filter->instance != tag->instance)
		return false;
	if (filter->call[0] && !group_of(tag->call, filter->call))
		return false;
	return !filter->function[0] || strcmp(filter->function, tag->function) == 0;
}

/* --- followers --- */

static void follows_sweep(struct logrings *rings)
{
	list_for_each_safe (follow, &rings->follows, struct log_follow, link) {
		if (follow->stopped) {
			list_remove(&follow->link);
			free(follow);
		}
	}
}

static void tell(struct logrings *rings, const struct log_chunk *chunk)
{
	rings->telling++;
	list_for_each (follow, &rings->follows, struct log_follow, link)
		if (!follow->stopped && matches(&follow->filter, &chunk->tag))
			follow->fn(follow->user, chunk);
	if (--rings->telling == 0)
		follows_sweep(rings);
}

static void tell_lost(struct logrings *rings, const struct log_tag *tag, uint64_t lost)
{
	list_for_each (follow, &rings->follows, struct log_follow, link)
		if (matches(&follow->filter, tag))
			follow->lost += lost;
}

int log_follow_start(struct logrings *rings, const struct log_filter *filter, log_chunk_fn *fn,
	void *user, struct log_follow **ret_follow, struct ramet_err *err)
{
	struct log_follow *follow = calloc(1, sizeof(*follow));
	if (!follow)
		return err_nomem(err);
	follow->filter = *filter;
	follow->fn = fn;
	follow->user = user;
	list_append(&rings->follows, &follow->link);
	*ret_follow = follow;
	return 0;
}

uint64_t log_follow_stop(struct logrings *rings, struct log_follow *follow)
{
	if (!follow)
		return 0;
	uint64_t lost = follow->lost;
	follow->stopped = true;
	if (rings->telling == 0) { /* else the sweep at its end: there may be very many */
		list_remove(&follow->link);
		free(follow);
	}
	return lost;
}

/* --- a ring --- */

static void copy_out(const struct logring *ring, uint64_t begin, char *dst, size_t len)
{
	size_t at = begin % LOGRING_BYTES, head = MIN(len, LOGRING_BYTES - at);
	memcpy(dst, ring->text->data + at, head);
	memcpy(dst + head, ring->text->data, len - head);
}

static void drop_first(struct logring *ring)
{
	tag_put(ring->text->chunks[ring->first].tag);
	ring->first = (ring->first + 1) % MAX_CHUNKS;
	ring->count--;
}

static void append(struct logring *ring, const char *data, size_t len)
{
	if (!ring->text)
		ring->text = calloc(1, sizeof(*ring->text));
	if (!ring->text) {
		ring->lost += len;
		return;
	}
	uint64_t end = ring->written + len;
	while (ring->count &&
		(ring->count == MAX_CHUNKS ||
			end - ring->text->chunks[ring->first].begin > LOGRING_BYTES)) {
		ring->lost += ring->text->chunks[ring->first].len;
		drop_first(ring);
	}
	size_t at = ring->written % LOGRING_BYTES, head = MIN(len, LOGRING_BYTES - at);
	memcpy(ring->text->data + at, data, head);
	memcpy(ring->text->data, data + head, len - head);
	ring->text->chunks[(ring->first + ring->count++) % MAX_CHUNKS] = (struct chunk){
		.time_ns = clock_ns(CLOCK_REALTIME),
		.begin = ring->written,
		.len = (uint32_t)len,
		.tag = &ring->tag->tag,
	};
	ring->tag->refs++;
	ring->written = end;
}

/* how many of len bytes may be kept now; the rest is counted as lost */
static size_t within_rate(struct logring *ring, size_t len)
{
	uint64_t now = now_ns();
	if (now - ring->rate_window_ns > NSEC_PER_SEC) {
		ring->rate_window_ns = now;
		ring->rate_bytes = 0;
	}
	size_t kept = MIN(len, LOGRING_RATE - MIN(LOGRING_RATE, ring->rate_bytes));
	ring->rate_bytes += kept;
	if (kept < len) {
		ring->lost += len - kept;
		tell_lost(ring->rings, &ring->tag->tag, len - kept);
	}
	return kept;
}

static void tell_end(struct logring *ring);

static void retag(struct logring *ring, const struct log_tag *tag)
{
	if (strcmp(ring->tag->tag.call, tag->call) != 0)
		tell_end(ring);
	struct tag_ref *ref = tag_new(tag);
	if (!ref)
		return; /* the text keeps the old tag */
	tag_put(&ring->tag->tag);
	ring->tag = ref;
}

static void ask_whose(struct logring *ring)
{
	struct log_tag tag = ring->tag->tag;
	if (!ring->whose)
		return;
	ring->whose(ring->whose_user, &tag);
	if (strcmp(tag.call, ring->tag->tag.call) != 0 || tag.rank != ring->tag->tag.rank)
		retag(ring, &tag);
}

/* one read; false when the pipe is empty or has ended */
static bool read_some(struct logring *ring, bool *ret_ended)
{
	char data[READ_BYTES];
	ssize_t n = read(ring->fd, data, sizeof(data));
	*ret_ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	if (n <= 0)
		return false;
	size_t len = within_rate(ring, (size_t)n);
	if (len == 0)
		return true;
	ask_whose(ring);
	append(ring, data, len);
	struct log_chunk chunk = {
		.tag = ring->tag->tag,
		.time_ns = clock_ns(CLOCK_REALTIME),
		.data = data,
		.len = len,
	};
	tell(ring->rings, &chunk);
	return true;
}

static void drain(struct logring *ring)
{
	bool ended;
	for (size_t n = 0; ring->fd >= 0 && n < DRAIN_BYTES; n += READ_BYTES)
		if (!read_some(ring, &ended))
			return;
}

void logring_ask(struct logring *ring, void (*fn)(void *user, struct log_tag *tag), void *user)
{
	if (fn != ring->whose)
		drain(ring); /* what was printed before is not what it is asked about */
	ring->whose = fn;
	ring->whose_user = user;
}

static void on_readable(struct loop_watch *watch, uint32_t events)
{
	struct logring *ring = container_of(watch, struct logring, watch);
	bool ended = false;
	read_some(ring, &ended);
	if (ended)
		loop_watch_remove(
			&ring->watch); /* who prints has closed it; the owner closes the ring */
}

int logring_open(struct logrings *rings, int read_fd, const struct log_tag *tag,
	struct logring **ret_ring, struct ramet_err *err)
{
	auto_close int fd = read_fd;
	struct logring *ring = calloc(1, sizeof(*ring));
	if (ring)
		ring->tag = tag_new(tag);
	if (!ring || !ring->tag) {
		free(ring);
		return err_nomem(err);
	}
	int flags = fcntl(fd, F_GETFL);
	int rc = flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0
		? err_errno(err, RAMET_EIO, "open a log pipe")
		: 0;
	if (rc == 0)
		rc = loop_watch_add(rings->loop, &ring->watch, fd, EPOLLIN, on_readable, err);
	if (rc < 0) {
		tag_put(&ring->tag->tag);
		free(ring);
		return rc;
	}
	ring->rings = rings;
	ring->fd = steal_fd(&fd);
	list_append(&rings->open, &ring->link);
	*ret_ring = ring;
	return 0;
}

/* followers of a call are told that it is over */
static void tell_end(struct logring *ring)
{
	struct log_chunk chunk = {.tag = ring->tag->tag, .time_ns = clock_ns(CLOCK_REALTIME)};
	if (chunk.tag.call[0])
		tell(ring->rings, &chunk);
}

/* Where the call stays the same, an instance has got its process's number or its function, or the
 * pipe from another one, which printed nothing: what comes is told with that, too. */
void logring_tag(struct logring *ring, const struct log_tag *tag)
{
	bool same_call =
		strcmp(ring->tag->tag.call, tag->call) == 0 && ring->tag->tag.rank == tag->rank;
	if (!same_call)
		drain(ring);
	if (same_call && ring->tag->refs == 1)
		ring->tag->tag = *tag;
	else
		retag(ring, tag);
}

bool logring_silent(struct logring *ring)
{
	drain(ring);
	return ring->written == 0 && ring->lost == 0;
}

static void ring_free(struct logring *ring)
{
	while (ring->count)
		drop_first(ring);
	list_remove(&ring->link);
	loop_watch_remove(&ring->watch);
	close_reset(&ring->fd);
	tag_put(&ring->tag->tag);
	free(ring->text);
	free(ring);
}

void logring_close(struct logring *ring)
{
	if (!ring)
		return;
	struct logrings *rings = ring->rings;
	drain(ring);
	tell_end(ring);
	loop_watch_remove(&ring->watch);
	close_reset(&ring->fd);
	if (ring->written == 0) { /* nothing to keep: it must not push out those that have */
		ring_free(ring);
		return;
	}
	list_remove(&ring->link);
	list_append(&rings->ended, &ring->link);
	if (++rings->nended > LOGRING_KEEP) {
		ring_free(list_first(&rings->ended, struct logring, link));
		rings->nended--;
	}
}

size_t logring_tail(struct logring *ring, char *dst, size_t cap)
{
	drain(ring);
	uint64_t oldest = ring->count ? ring->text->chunks[ring->first].begin : ring->written;
	size_t len = MIN(cap, ring->written - oldest);
	if (len > 0)
		copy_out(ring, ring->written - len, dst, len);
	const char *newline = ring->written - len > oldest ? memchr(dst, '\n', len) : NULL;
	if (newline && newline + 1 < dst + len) {
		size_t cut = (size_t)(newline + 1 - dst);
		memmove(dst, dst + cut, len - cut);
		len -= cut;
	}
	return len;
}

uint64_t logring_lost(const struct logring *ring)
{
	return ring->lost;
}

/* --- all rings --- */

static uint64_t ring_each(
	const struct logring *ring, const struct log_filter *filter, log_chunk_fn *fn, void *user)
{
	bool any = false;
	for (unsigned i = 0; i < ring->count; i++) {
		const struct chunk *kept = &ring->text->chunks[(ring->first + i) % MAX_CHUNKS];
		char data[READ_BYTES];
		if (!matches(filter, kept->tag))
			continue;
		any = true;
		copy_out(ring, kept->begin, data, kept->len);
		struct log_chunk chunk = {
			.tag = *kept->tag,
			.time_ns = kept->time_ns,
			.data = data,
			.len = kept->len,
		};
		fn(user, &chunk);
	}
	return any ? ring->lost : 0;
}

uint64_t logrings_each(
	struct logrings *rings, const struct log_filter *filter, log_chunk_fn *fn, void *user)
{
	uint64_t lost = 0;
	list_for_each (ring, &rings->ended, struct logring, link)
		lost += ring_each(ring, filter, fn, user);
	list_for_each (ring, &rings->open, struct logring, link) {
		drain(ring);
		lost += ring_each(ring, filter, fn, user);
	}
	return lost;
}

bool logrings_running(const struct logrings *rings, const char *call)
{
	list_for_each (ring, &rings->open, struct logring, link)
		if (call[0] && group_of(ring->tag->tag.call, call))
			return true;
	return false;
}

int logrings_create(struct loop *loop, struct logrings **ret_rings, struct ramet_err *err)
{
	struct logrings *rings = calloc(1, sizeof(*rings));
	if (!rings)
		return err_nomem(err);
	rings->loop = loop;
	list_init(&rings->open);
	list_init(&rings->ended);
	list_init(&rings->follows);
	*ret_rings = rings;
	return 0;
}

void logrings_destroy(struct logrings *rings)
{
	if (!rings)
		return;
	list_for_each_safe (ring, &rings->open, struct logring, link)
		ring_free(ring);
	list_for_each_safe (ring, &rings->ended, struct logring, link)
		ring_free(ring);
	list_for_each_safe (follow, &rings->follows, struct log_follow, link) {
		list_remove(&follow->link);
		free(follow);
	}
	free(rings);
}
