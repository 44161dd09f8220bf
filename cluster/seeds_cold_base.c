/* Cold starts and bases: a host becomes one on its way, or begins as a clone of one; and how it
 * goes on where that cannot be. */
#include "cluster/seeds_cold.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/seeds_cold_hot.h"
#include "cluster/seeds_command.h"

static void whole(const struct cold *cold, const struct ramet_err *why)
{
	log_info("seed.whole", "app=%s version=%.12s msg=\"%s\"", cold->seed->app->app,
		cold->seed->app->id, why->msg);
}

int cold_baseless(struct cold *cold, const struct wire_value *body, struct ramet_err *err)
{
	struct call_error error = {0};
	int rc = instance_take_error(cold->inst, body, &error, err);
	if (rc == 0) {
		whole(cold, &error.err);
		rc = cold_send(cold, "load", COLD_LOAD, err);
	}
	call_error_fini(&error);
	return rc;
}

static void on_base_read(void *user, struct seed_captured *captured, const struct ramet_err *error)
{
	struct cold *cold = user;
	struct ramet_err err = {0};
	cold->capture = NULL;
	if (!captured)
		whole(cold, error);
	else if (base_add(cold->seed->seeds, &cold->key, steal_ptr(&captured->image), &cold->base,
			 &err) < 0)
		whole(cold, &err);
	else
		log_info("base.made", "app=%s version=%.12s pages=%llu us=%llu",
			cold->seed->app->app, cold->seed->app->id,
			(unsigned long long)captured->stats.stored_pages,
			(unsigned long long)((now_ns() - cold->ready_ns) / NSEC_PER_USEC));
	err = (struct ramet_err){0};
	if (cold_send(cold, "load", COLD_LOAD, &err) < 0)
		cold_fail_err(cold, &err);
}

int cold_base_captured(struct cold *cold, const struct wire_value *body, int *fds, unsigned nfds,
	struct ramet_err *err)
{
	int rc = seed_capture_begin(cold->seed->seeds, cold->inst, 1, NULL, body, fds, nfds,
		on_base_read, cold, &cold->capture, err);
	if (rc == 0)
		cold->phase = COLD_BASE_READ;
	return rc;
}

bool cold_without_base(struct cold *cold, const struct ramet_err *why)
{
	struct ramet_err err = {0};
	if (!cold->base && cold->key.len == 0) /* nor was it to be one */
		return false;
	whole(cold, why);
	loop_timer_cancel(&cold->timer);
	/* the host may have ended while a worker reads what it captured */
	seed_capture_forget(steal_ptr(&cold->capture));
	if (cold->base)
		base_retire(cold->base);
	base_put(steal_ptr(&cold->base));
	if (!cold->cloned) /* nor from one of its own */
		buf_fini(&cold->key);
	cold->cloned = false;
	hot_destroy(steal_ptr(&cold->hot));
	if (cold->inst)
		cold_leave_host(cold);
	if (cold_start_host(cold, &err) < 0)
		cold_fail_err(cold, &err);
	return true;
}

static void on_template(void *user, const struct ramet_err *error)
{
	struct cold *cold = user;
	struct image_clone *clone = steal_ptr(&cold->clone);
	struct ramet_err err = {0};
	cold->cloned = true;
	if (error)
		image_clone_forget(clone);
	else if (image_clone_start(clone, &cold_handler, cold, &cold->inst, &err) == 0)
		return;
	(void)cold_without_base(cold, error ? error : &err);
}

/* once: a host that begins anew, without its base, looks for no other */
static void find_base(struct cold *cold, const struct command *command)
{
	const char *why = NULL;
	struct ramet_err err = {0};
	if (cold->sought)
		return;
	cold->sought = true;
	if (base_key(cold->seed->app, command, &cold->key, &why)) {
		cold->base = base_find(cold->seed->seeds, &cold->key);
		return;
	}
	buf_fini(&cold->key);
	err_set(&err, RAMET_ENOTSUP, "%s", why);
	whole(cold, &err);
}

bool cold_begin_clone(struct cold *cold, const struct command *command)
{
	struct ramet_err err = {0};
	find_base(cold, command);
	if (!cold->base)
		return false;
	if (image_clone_begin(cold->seed->seeds, base_image(cold->base), cold->seed->app,
		    on_template, cold, &cold->clone, &err) == 0)
		return true;
	whole(cold, &err);
	base_put(steal_ptr(&cold->base));
	return false;
}
