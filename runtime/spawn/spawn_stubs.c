/* Stubs that wait: started ahead, because exec and a stub's own start are most of what building a
 * template takes. */
#include "base/clock.h"
#include "rfork/template.h"
#include "runtime/spawn/spawn_internal.h"

#include <stdlib.h>

#define QUIET_NS (5 * NSEC_PER_MSEC)
#define FAILED_NS NSEC_PER_SEC

struct stub {
	struct child child;
	struct list link;
	struct spawn_server *server;
	struct template *tmpl;
};

/* returns its template; the reaper does not know the pid any more */
static struct template *stub_free(struct stub *stub)
{
	struct template *tmpl = stub->tmpl;
	reaper_forget(stub->server->reaper, &stub->child);
	list_remove(&stub->link);
	stub->server->nstubs--;
	free(stub);
	return tmpl;
}

static void on_reaped(struct child *child, int wstatus, const struct rusage *usage)
{
	(void)wstatus, (void)usage;
	template_destroy(stub_free(container_of(child, struct stub, child)));
}

/* Clones have the limits of their stub. If this fails, the stub has just died, which will be
 * noticed. */
static int start(
	const struct spawn_server *server, struct template **ret_stub, struct ramet_err *err)
{
	int rc = template_start(server->config.stub_path, ret_stub, err);
	if (rc == 0)
		(void)prlimit(template_pid(*ret_stub), RLIMIT_NOFILE, &server->nofile, NULL);
	return rc;
}

static int start_one(struct spawn_server *server)
{
	struct stub *stub = calloc(1, sizeof(*stub));
	if (!stub)
		return RAMET_ENOMEM;
	int rc = start(server, &stub->tmpl, NULL);
	if (rc < 0) {
		free(stub);
		return rc;
	}
	stub->server = server;
	list_append(&server->stubs, &stub->link);
	server->nstubs++;
	reaper_add(server->reaper, &stub->child, template_pid(stub->tmpl), on_reaped);
	return 0;
}

/* one a turn, so that nothing waits long for it; an error comes up when a template is asked for */
static void refill(struct loop_timer *timer)
{
	struct spawn_server *server = container_of(timer, struct spawn_server, stub_refill);
	if (server->nstubs >= server->config.stubs)
		return;
	uint64_t later = start_one(server) < 0 ? FAILED_NS : 0;
	if (server->nstubs < server->config.stubs)
		(void)loop_timer_set(server->loop, timer, now_ns() + later, refill);
}

void spawn_refill_stubs(struct spawn_server *server)
{
	if (server->config.stub_path && server->nstubs < server->config.stubs)
		(void)loop_timer_set(
			server->loop, &server->stub_refill, now_ns() + QUIET_NS, refill);
}

int spawn_take_stub(struct spawn_server *server, struct template **ret_stub, struct ramet_err *err)
{
	if (!server->config.stub_path)
		return err_set(err, RAMET_ENOTSUP, "ramet-spawn was started without a stub");
	if (list_empty(&server->stubs)) {
		int rc = start(server, ret_stub, err);
		if (rc < 0)
			return rc;
	} else {
		*ret_stub = stub_free(list_first(&server->stubs, struct stub, link));
	}
	spawn_refill_stubs(server);
	return 0;
}

void spawn_drop_stubs(struct spawn_server *server)
{
	while (!list_empty(&server->stubs))
		template_destroy(stub_free(list_first(&server->stubs, struct stub, link)));
}
