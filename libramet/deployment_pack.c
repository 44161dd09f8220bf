/* A deployment as the request `deploy` of cluster/client_proto.h. */
#include "libramet/deployment.h"

#include <string.h>

static void pack_env(struct buf *b, const struct strings *env)
{
	wire_key(b, "env");
	wire_map(b, (uint32_t)env->count);
	for (size_t i = 0; i < env->count; i++) {
		size_t len = strcspn(env->v[i], "=");
		wire_strn(b, env->v[i], len);
		wire_str(b, env->v[i] + len + 1);
	}
}

static void pack_limits(struct buf *b, const struct app_limits_config *limits)
{
	wire_key(b, "limits");
	wire_map(b, limits->output ? 6 : 5);
	wire_kuint(b, "heap", limits->heap);
	wire_kuint(b, "mem", limits->mem);
	wire_kuint(b, "pids", limits->pids);
	wire_kuint(b, "cpu", limits->cpu);
	wire_kuint(b, "deadline_ms", limits->deadline_ms);
	if (limits->output)
		wire_kuint(b, "output", limits->output);
}

static void pack_list(struct buf *b, const char *key, const struct strings *list)
{
	wire_key(b, key);
	wire_array(b, (uint32_t)list->count);
	for (size_t i = 0; i < list->count; i++)
		wire_str(b, list->v[i]);
}

static void pack_functions(struct buf *b, const struct deployment *d)
{
	wire_key(b, "functions");
	wire_array(b, (uint32_t)d->nfunctions);
	for (size_t i = 0; i < d->nfunctions; i++) {
		wire_map(b, 3);
		wire_kstr(b, "name", d->functions[i].name);
		wire_kstr(b, "lang", d->functions[i].lang);
		wire_kstr(b, "handler", d->functions[i].handler);
	}
}

void deployment_pack(struct buf *b, const void *deployment)
{
	const struct deployment *d = deployment;
	const struct app_config *c = &d->config;
	wire_kstr(b, "app", c->app ? c->app : c->name);
	/* one function comes to what the app has; a list is all of it */
	wire_kbool(b, "merge", c->app && c->nfunctions == 0);
	wire_kstr(b, "lang", d->lang);
	pack_functions(b, d);
	wire_key(b, "files");
	files_pack(&d->files, b);
	wire_kstr(b, "python", c->python);
	pack_env(b, &c->env);
	pack_limits(b, &c->limits);
	wire_kstr(b, "fresh", c->fresh);
	wire_kstr(b, "bind", c->bind);
	wire_kbool(b, "idempotent", c->idempotent);
	wire_kuint(b, "close_on_fork", c->close_on_fork);
	wire_key(b, "samples");
	samples_pack(&d->samples, b);
	wire_kuint(b, "node", d->node);
	wire_kstr(b, "init", c->init);
	pack_list(b, "modules", &c->modules);
	pack_list(b, "path", &c->path);
	pack_list(b, "data", &c->data);
	pack_list(b, "secrets", &c->secrets);
	pack_list(b, "requirements", &c->requirements);
	wire_kstr(b, "requirements_file", c->requirements_file);
}
