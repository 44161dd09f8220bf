/* The table of secrets: see secrets.h. */
#include "cluster/secrets.h"

#include "base/cleanup.h"
#include "base/locked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct secrets {
	uint32_t node;
	secrets_changed_fn *changed;
	void *user;
	struct list list;
	unsigned count;
	uint64_t generation; /* the highest seen */
	uint64_t changes, digest;
};

static struct secret *find_exact(
	const struct secrets *secrets, uid_t uid, const char *app, const char *name)
{
	list_for_each (s, &secrets->list, struct secret, link)
		if (s->uid == uid && strcmp(s->app, app) == 0 && strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

const struct secret *secrets_find(
	const struct secrets *secrets, uid_t uid, const char *app, const char *name)
{
	const struct secret *own = find_exact(secrets, uid, app, name);
	if (!own || !own->value)
		own = find_exact(secrets, uid, "", name);
	return own && own->value ? own : NULL;
}

const char *secrets_missing(const struct secrets *secrets, const struct app_version *app)
{
	for (uint32_t i = 0; i < app->secrets.count; i++)
		if (!secrets_find(secrets, app->uid, app->app, app->secrets.v[i]))
			return app->secrets.v[i];
	return NULL;
}

const struct secret *secrets_next(const struct secrets *secrets, const struct secret *after)
{
	struct list *next = after ? after->link.next : secrets->list.next;
	for (; next != &secrets->list; next = next->next) {
		const struct secret *s = list_entry(next, struct secret, link);
		if (s->value)
			return s;
	}
	return NULL;
}

uint64_t secrets_generation(const struct secrets *secrets)
{
	return secrets->changes;
}

uint64_t secrets_digest(const struct secrets *secrets)
{
	return secrets->digest;
}

/* FNV-1a of what tells two states of a secret apart, but not of its value; summed, so that order
 * does not matter */
static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	return hash;
}

static uint64_t digest_of(const struct secret *s)
{
	uint64_t hash = mix(0xcbf29ce484222325ull, s->name, strlen(s->name) + 1);
	if (s->generation == 0)
		return 0;
	hash = mix(hash, s->app, strlen(s->app) + 1);
	hash = mix(hash, &s->uid, sizeof(s->uid));
	hash = mix(hash, &s->generation, sizeof(s->generation));
	return mix(hash, &s->node, sizeof(s->node));
}

/* --- changing --- */

static unsigned count_of(const struct secrets *secrets, uid_t uid)
{
	unsigned n = 0;
	list_for_each (s, &secrets->list, struct secret, link)
		n += s->uid == uid;
	return n;
}

static int add(struct secrets *secrets, uid_t uid, const char *app, const char *name,
	struct secret **ret_secret, struct ramet_err *err)
{
	if (secrets->count >= SECRETS_MAX || count_of(secrets, uid) >= SECRETS_MAX_OF_USER)
		return err_set(err, RAMET_ELIMIT, "more than %u secrets are kept, or %u of user %u",
			SECRETS_MAX, SECRETS_MAX_OF_USER, uid);
	struct secret *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(err);
	s->uid = uid;
	snprintf(s->app, sizeof(s->app), "%s", app);
	snprintf(s->name, sizeof(s->name), "%s", name);
	list_append(&secrets->list, &s->link);
	secrets->count++;
	*ret_secret = s;
	return 0;
}

struct state {
	uint64_t generation, time_ms;
	uint32_t node;
	const void *value; /* NULL: removed */
	size_t len;
};

static int put(
	struct secrets *secrets, struct secret *s, const struct state *state, struct ramet_err *err)
{
	void *value = state->value ? locked_alloc(state->len) : NULL;
	if (state->value && !value)
		return err_nomem(err);
	if (state->value && state->len > 0)
		memcpy(value, state->value, state->len);
	locked_free(s->value, s->len);
	secrets->digest -= digest_of(s);
	s->value = value;
	s->len = state->value ? state->len : 0;
	s->generation = state->generation;
	s->time_ms = state->time_ms;
	s->node = state->node;
	secrets->digest += digest_of(s);
	secrets->generation = MAX(secrets->generation, state->generation);
	secrets->changes++;
	secrets->changed(secrets->user, s);
	return 0;
}

static uint64_t realtime_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- messages --- */

void secrets_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_fini(b);
}

static void pack_one(const struct secret *s, struct buf *b)
{
	wire_map(b, s->value ? 7 : 6);
	wire_kuint(b, "uid", s->uid);
	wire_kstr(b, "app", s->app);
	wire_kstr(b, "name", s->name);
	wire_kuint(b, "generation", s->generation);
	wire_kuint(b, "node", s->node);
	wire_kuint(b, "time", s->time_ms);
	if (s->value)
		wire_kbin(b, "value", s->value, s->len);
}

static int pack_end(struct buf *b, struct buf *ret_news, struct ramet_err *err)
{
	int rc = wire_end(b, err);
	if (rc == 0)
		*ret_news = *b;
	else
		secrets_wipe(b);
	return rc;
}

/* a buffer that grows leaves copies behind: it has room for all at once */
static void reserve(struct buf *b, size_t len)
{
	buf_extend(b, len + 512);
	buf_reset(b);
}

int secrets_pack(const struct secrets *secrets, struct buf *ret_news, struct ramet_err *err)
{
	struct buf b = {0};
	size_t len = 0;
	list_for_each (s, &secrets->list, struct secret, link)
		len += s->len + sizeof(*s);
	reserve(&b, len);
	wire_map(&b, 1);
	wire_key(&b, "entries");
	wire_array(&b, secrets->count);
	list_for_each (s, &secrets->list, struct secret, link)
		pack_one(s, &b);
	return pack_end(&b, ret_news, err);
}

int secrets_change(struct secrets *secrets, const struct secrets_change *change,
	struct buf *ret_news, struct ramet_err *err)
{
	struct secret *s = find_exact(secrets, change->uid, change->app, change->name);
	if (!change->value && (!s || !s->value))
		return err_set(err, RAMET_ENOTFOUND,
			"no secret %s%s%s; `ramet secret list` names them", change->name,
			change->app[0] ? " of app " : "", change->app);
	int rc = s ? 0 : add(secrets, change->uid, change->app, change->name, &s, err);
	if (rc < 0)
		return rc;
	const struct state state = {
		.generation = secrets->generation + 1,
		.time_ms = realtime_ms(),
		.node = secrets->node,
		.value = change->value,
		.len = change->len,
	};
	rc = put(secrets, s, &state, err);
	if (rc < 0)
		return rc;
	struct buf b = {0};
	reserve(&b, s->len + sizeof(*s));
	wire_map(&b, 1);
	wire_key(&b, "entries");
	wire_array(&b, 1);
	pack_one(s, &b);
	return pack_end(&b, ret_news, err);
}

struct news {
	uint64_t uid, node;
	char app[CLIENT_NAME_MAX + 1], name[CLIENT_NAME_MAX + 1];
	struct state state;
};

static int parse_one(const struct wire_value *map, struct news *n, struct ramet_err *err)
{
	if (!map || !wire_is_map(map))
		return err_set(err, RAMET_EPROTO, "secrets: a map was expected");
	int rc = wire_get_uint(map, "uid", UINT32_MAX - 1, &n->uid, err);
	if (rc == 0)
		rc = wire_get_str(map, "app", n->app, sizeof(n->app), err);
	if (rc == 0)
		rc = wire_get_str(map, "name", n->name, sizeof(n->name), err);
	if (rc == 0)
		rc = wire_get_uint(map, "generation", UINT64_MAX / 2, &n->state.generation, err);
	if (rc == 0)
		rc = wire_get_uint(map, "node", UINT32_MAX, &n->node, err);
	if (rc == 0)
		rc = wire_get_uint(map, "time", UINT64_MAX, &n->state.time_ms, err);
	if (rc == 0 && wire_has(map, "value"))
		rc = wire_get_bin(map, "value", &n->state.value, &n->state.len, err);
	if (rc < 0)
		return rc;
	n->state.node = (uint32_t)n->node;
	if (n->state.generation == 0 || n->state.len > CLIENT_MAX_SECRET ||
		!app_name_valid(n->name) || (n->app[0] && !app_name_valid(n->app)))
		return err_set(err, RAMET_EPROTO, "secrets: an entry that cannot be");
	return 0;
}

static int merge_one(struct secrets *secrets, const struct news *n, struct ramet_err *err)
{
	struct secret *s = find_exact(secrets, (uid_t)n->uid, n->app, n->name);
	if (s &&
		(n->state.generation < s->generation ||
			(n->state.generation == s->generation && n->state.node <= s->node)))
		return 0;
	int rc = s ? 0 : add(secrets, (uid_t)n->uid, n->app, n->name, &s, err);
	return rc < 0 ? rc : put(secrets, s, &n->state, err);
}

int secrets_merge(struct secrets *secrets, const struct wire_value *news, struct ramet_err *err)
{
	const struct wire_value *entries;
	uint32_t count;
	int rc = wire_get_array(news, "entries", &entries, &count, err);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		struct news n = {0};
		rc = parse_one(wire_at(entries, i), &n, err);
		if (rc == 0)
			rc = merge_one(secrets, &n, err);
	}
	return rc;
}

/* --- making and ending --- */

int secrets_create(uint32_t node, secrets_changed_fn *changed, void *user,
	struct secrets **ret_secrets, struct ramet_err *err)
{
	struct secrets *secrets = calloc(1, sizeof(*secrets));
	if (!secrets)
		return err_nomem(err);
	*secrets = (struct secrets){.node = node, .changed = changed, .user = user, .changes = 1};
	list_init(&secrets->list);
	*ret_secrets = secrets;
	return 0;
}

void secrets_destroy(struct secrets *secrets)
{
	if (!secrets)
		return;
	list_for_each_safe (s, &secrets->list, struct secret, link) {
		locked_free(s->value, s->len);
		free(s);
	}
	free(secrets);
}
