/* Tokens: what a peer shows to be let in, once and soon. Made on the control loop; kept, looked for
 * and forgotten on the data side. */
#include "cluster/segments_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct token {
	struct list link;
	struct loop_task task;
	struct segments *segments;
	uint32_t tenant;
	/* both NULL: for a connection that reads */
	void (*on_stream)(void *user, int fd, const char *peer);
	int (*on_pipe)(void *user, struct transport *transport, struct transport_accept *ret);
	void *user;
	uint64_t expires_ns;
	uint8_t bytes[SEGMENTS_TOKEN_BYTES];
};

/* a peer's connection only reads; it is the transport's until it ends */
static void on_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	(void)user;
	log_debug("data.closed", "peer=%s err=%s", transport_conn_peer(conn), err_name(err->code));
}

static const struct transport_handler reader_handler = {.on_closed = on_closed};

static bool token_equal(const uint8_t *a, const uint8_t *b)
{
	uint8_t diff = 0;
	for (unsigned i = 0; i < SEGMENTS_TOKEN_BYTES; i++)
		diff |= a[i] ^ b[i];
	return diff == 0;
}

static void token_free(struct token *t)
{
	t->segments->ntokens--;
	list_remove(&t->link);
	free(t);
}

/* what a token opens */
static int admit(struct way *way, const struct token *t, struct transport_accept *ret)
{
	struct transport_domain *domain = NULL;
	if (t->expires_ns < now_ns())
		return RAMET_EPERM;
	if (t->on_stream) {
		*ret = (struct transport_accept){.on_stream = t->on_stream, .user = t->user};
		return 0;
	}
	if (t->on_pipe)
		return t->on_pipe(t->user, way->transport, ret);
	int rc = segments_domain_of(way, t->tenant, &domain, NULL);
	*ret = (struct transport_accept){
		.domain = domain, .handler = &reader_handler, .user = way->segments};
	return rc;
}

int segments_on_accept(void *user, const void *token, size_t token_len, const char *peer,
	struct transport_accept *ret)
{
	struct way *way = user;
	struct segments *s = way->segments;
	(void)peer;
	if (token_len != SEGMENTS_TOKEN_BYTES)
		return RAMET_EPERM;
	list_for_each_safe (t, &s->tokens, struct token, link) {
		if (!token_equal(t->bytes, token))
			continue;
		int rc = admit(way, t, ret);
		token_free(t);
		return rc;
	}
	return RAMET_EPERM;
}

static void expire_tokens(struct loop_timer *timer)
{
	struct segments *s = container_of(timer, struct segments, expiry);
	uint64_t now = now_ns();
	list_for_each_safe (t, &s->tokens, struct token, link) {
		if (t->expires_ns > now)
			break;
		token_free(t);
	}
	if (!list_empty(&s->tokens))
		(void)loop_timer_set(segments_loop(s), &s->expiry,
			list_first(&s->tokens, struct token, link)->expires_ns, expire_tokens);
}

static void token_arrived(struct loop_task *task)
{
	struct token *t = container_of(task, struct token, task);
	struct segments *s = t->segments;
	bool first = list_empty(&s->tokens);
	list_append(&s->tokens, &t->link);
	if (++s->ntokens > SEGMENTS_TOKENS_MAX)
		token_free(list_first(&s->tokens, struct token, link));
	if (first && loop_timer_set(segments_loop(s), &s->expiry, t->expires_ns, expire_tokens) < 0)
		log_warn("data.tokens", "msg=\"no timer: unused tokens stay\"");
}

static int make_token(struct segments *segments, const struct token *as,
	uint8_t ret_token[SEGMENTS_TOKEN_BYTES], struct ramet_err *err)
{
	struct token *t = malloc(sizeof(*t));
	if (!t)
		return err_nomem(err);
	*t = *as;
	if (getrandom(t->bytes, sizeof(t->bytes), 0) != (ssize_t)sizeof(t->bytes)) {
		free(t);
		return err_errno(err, RAMET_EIO, "random bytes for a token");
	}
	t->segments = segments;
	t->expires_ns = now_ns() + SEGMENTS_TOKEN_MS * NSEC_PER_MSEC;
	memcpy(ret_token, t->bytes, sizeof(t->bytes));
	t->task.fn = token_arrived;
	loop_post(segments_loop(segments),
		&t->task); /* runs before any descriptor of a later turn: see base/loop.h */
	return 0;
}

int segments_token(struct segments *segments, uint32_t tenant,
	uint8_t ret_token[SEGMENTS_TOKEN_BYTES], struct ramet_err *err)
{
	return make_token(segments, &(struct token){.tenant = tenant}, ret_token, err);
}

int segments_stream_token(struct segments *segments,
	void (*on_stream)(void *user, int fd, const char *peer), void *user,
	uint8_t ret_token[SEGMENTS_TOKEN_BYTES], struct ramet_err *err)
{
	const struct token as = {.on_stream = on_stream, .user = user};
	if (strcmp(segments_provider(segments, SEGMENTS_FIRST), "tcp") != 0)
		return err_set(err, RAMET_ENOTSUP, "this node serves no streams, only %s",
			segments_provider(segments, SEGMENTS_FIRST));
	return make_token(segments, &as, ret_token, err);
}

int segments_pipe_token(struct segments *segments, const char *provider,
	int (*on_pipe)(void *user, struct transport *transport, struct transport_accept *ret),
	void *user, uint8_t ret_token[SEGMENTS_TOKEN_BYTES], struct ramet_err *err)
{
	const struct token as = {.on_pipe = on_pipe, .user = user};
	if (segments_way_of(segments, provider) == SEGMENTS_WAYS_MAX)
		return err_set(err, RAMET_ENOTSUP, "this node has no transport %s", provider);
	return make_token(segments, &as, ret_token, err);
}

void segments_forget_tokens(struct segments *segments)
{
	list_for_each_safe (t, &segments->tokens, struct token, link)
		token_free(t);
}

void segments_drop_stream(struct segments *segments, const void *user)
{
	list_for_each_safe (t, &segments->tokens, struct token, link)
		if ((t->on_stream || t->on_pipe) && t->user == user)
			token_free(t);
}
