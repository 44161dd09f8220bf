/* Telling an instance the secrets that its app names: after the fork, before its next call. */
#include "cluster/instances_internal.h"

#include "base/cleanup.h"
#include "base/locked.h"
#include "cluster/node.h"
#include "cluster/secrets.h"
#include "runtime/host_proto.h"

static void pack(const struct instance *inst, const struct secrets *secrets, struct buf *b)
{
	const struct app_version *app = inst->app;
	size_t len = 256;
	for (uint32_t i = 0; i < app->secrets.count; i++)
		len += secrets_find(secrets, app->uid, app->app, app->secrets.v[i])->len + 128;
	buf_extend(b, len); /* a buffer that grows leaves copies behind */
	buf_reset(b);
	wire_map(b, 2);
	wire_kstr(b, "t", "secrets");
	wire_key(b, "items");
	wire_map(b, app->secrets.count);
	for (uint32_t i = 0; i < app->secrets.count; i++) {
		const struct secret *s =
			secrets_find(secrets, app->uid, app->app, app->secrets.v[i]);
		wire_kbin(b, app->secrets.v[i], s->value, s->len);
	}
}

int instance_give_secrets(struct instance *inst, struct ramet_err *err)
{
	const struct secrets *secrets = inst->owner->node->secrets;
	const struct app_version *app = inst->app;
	CLEANUP(secrets_wipe) struct buf b = {0};
	if (app->secrets.count == 0 || inst->secrets == secrets_generation(secrets))
		return 0;
	const char *missing = secrets_missing(secrets, app);
	if (missing)
		return err_set(err, RAMET_EREFUSED,
			"secret %s of app %s is not set: ramet secret set %s", missing, app->app,
			missing);
	pack(inst, secrets, &b);
	int rc = wire_end(&b, err);
	if (rc == 0) {
		rc = frame_send(inst->conn, b.data, b.len, NULL, 0);
		if (rc < 0)
			err_set(err, rc, "instance %llu does not take its secrets",
				(unsigned long long)inst->id);
	}
	if (rc == 0)
		inst->secrets = secrets_generation(secrets);
	return rc;
}
