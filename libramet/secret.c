/* Secrets: setting, removing and listing them. */
#include "base/clock.h"
#include "cluster/client_proto.h"
#include "libramet/call.h"
#include "libramet/stream.h"
#include "ramet/ramet.h"

#include <string.h>

struct change {
	const char *name, *app;
	const void *value; /* NULL: remove it */
	size_t len;
};

static void pack_change(struct buf *b, const void *arg)
{
	const struct change *change = arg;
	wire_kstr(b, "name", change->name);
	wire_kstr(b, "app", change->app);
	if (change->value)
		wire_kbin(b, "value", change->value, change->len);
}

static int check(const struct change *change, struct ramet_err *err)
{
	int rc = call_check_name(change->name, err);
	if (rc == 0 && change->app)
		rc = call_check_name(change->app, err);
	if (rc == 0 && change->len > CLIENT_MAX_SECRET)
		rc = err_set(err, RAMET_ELIMIT, "a secret has at most %u bytes", CLIENT_MAX_SECRET);
	return rc;
}

int ramet_secret_set(struct ramet *ramet, const char *name, const char *app, const void *value,
	size_t len, struct ramet_err *err)
{
	const struct change change = {name, app, value ? value : "", len};
	int rc = check(&change, err);
	return rc < 0 ? rc
		      : stream_request(ramet, "secret.set", 3, pack_change, &change, DEADLINE_NONE,
				"done", NULL, err);
}

int ramet_secret_remove(
	struct ramet *ramet, const char *name, const char *app, struct ramet_err *err)
{
	const struct change change = {name, app, NULL, 0};
	int rc = check(&change, err);
	return rc < 0 ? rc
		      : stream_request(ramet, "secret.remove", 2, pack_change, &change,
				DEADLINE_NONE, "done", NULL, err);
}

static int tell(const struct wire_value *row, ramet_secret_fn fn, void *user, struct ramet_err *err)
{
	char name[CLIENT_NAME_MAX + 1], app[CLIENT_NAME_MAX + 1];
	uint64_t uid = 0;
	struct ramet_secret secret = {.size = sizeof(secret), .name = name, .app = app};
	if (!row || !wire_is_map(row))
		return err_set(err, RAMET_EPROTO, "secrets: a map was expected");
	int rc = wire_get_str(row, "name", name, sizeof(name), err);
	if (rc == 0)
		rc = wire_get_str(row, "app", app, sizeof(app), err);
	if (rc == 0)
		rc = wire_get_uint(row, "uid", UINT32_MAX, &uid, err);
	if (rc == 0)
		rc = wire_get_uint(row, "bytes", UINT64_MAX, &secret.bytes, err);
	if (rc == 0)
		rc = wire_get_uint(row, "changed_ms", UINT64_MAX, &secret.changed_ms, err);
	if (rc < 0)
		return rc;
	secret.uid = (uint32_t)uid;
	return fn(user, &secret);
}

int ramet_secret_list(struct ramet *ramet, ramet_secret_fn fn, void *user, struct ramet_err *err)
{
	auto_message struct message *message = NULL;
	const struct wire_value *rows;
	uint32_t count;
	int rc = stream_request(
		ramet, "secret.list", 0, NULL, NULL, DEADLINE_NONE, "secrets", &message, err);
	if (rc == 0)
		rc = wire_get_array(message->root, "rows", &rows, &count, err);
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = tell(wire_at(rows, i), fn, user, err);
	return rc;
}
