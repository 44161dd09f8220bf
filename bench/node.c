/* Starting and ending ramet-spawn, templates and clones. */
#include "bench/node.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_NS (20 * NSEC_PER_SEC)

static void on_exited(void *user, uint64_t inst, const struct spawn_exit *how)
{
	struct node *node = user;
	list_for_each_safe (proc, &node->procs, struct proc, link) {
		if (proc->inst != inst)
			continue;
		list_remove(&proc->link);
		proc->ended_ns = now_ns();
		proc->ended = true;
		proc->how = *how;
	}
}

static void on_gone(void *user, uint64_t tmpl, const struct ramet_err *why)
{
	(void)user;
	fprintf(stderr, "template %llu: %s\n", (unsigned long long)tmpl, why->msg);
}

static void on_lost(void *user, const struct ramet_err *why)
{
	(void)user;
	fprintf(stderr, "ramet-spawn: %s\n", why->msg);
	exit(EXIT_FAILURE);
}

static const struct spawn_handler handler = {on_exited, on_gone, on_lost};

static int find_bin(struct node *node, struct ramet_err *err)
{
	ssize_t n = readlink("/proc/self/exe", node->bin, sizeof(node->bin) - 1);
	if (n < 0)
		return err_errno(err, RAMET_EIO, "read /proc/self/exe");
	node->bin[n] = '\0';
	*strrchr(node->bin, '/') = '\0';
	return 0;
}

int node_open(struct node *node, unsigned sandboxes, struct ramet_err *err)
{
	char spawn[sizeof(node->bin) + 32];
	char stub[sizeof(node->bin) + 32];
	char name[32];
	*node = (struct node){.next = 1};
	list_init(&node->procs);
	int rc = find_bin(node, err);
	if (rc < 0)
		return rc;
	snprintf(node->store, sizeof(node->store), "/tmp/ramet-bench-XXXXXX");
	if (!mkdtemp(node->store) || chmod(node->store, 0755) < 0)
		return err_errno(err, RAMET_EIO, "make %s", node->store);
	snprintf(spawn, sizeof(spawn), "%s/ramet-spawn", node->bin);
	snprintf(stub, sizeof(stub), "%s/ramet-stub", node->bin);
	snprintf(name, sizeof(name), "bench.%d", (int)getpid());
	const struct spawn_options options = {
		.spawn_path = spawn,
		.stub_path = stub,
		.store_dir = node->store,
		.node_name = name,
		.sandboxes = sandboxes,
	};
	rc = loop_create(&node->loop, err);
	if (rc == 0)
		rc = spawn_client_start(node->loop, &options, &handler, node, &node->spawn, err);
	return rc;
}

void node_close(struct node *node)
{
	if (!node->procs.next)
		return; /* it was never opened */
	spawn_client_stop(node->spawn);
	while (!list_empty(&node->procs))
		proc_free(list_first(&node->procs, struct proc, link));
	loop_destroy(node->loop);
	if (node->store[0])
		rmdir(node->store);
}

static int turn_until(struct node *node, const bool *flag, const char *what, struct ramet_err *err)
{
	uint64_t deadline = now_ns() + WAIT_NS;
	while (!*flag) {
		uint64_t now = now_ns();
		if (now >= deadline)
			return err_set(err, RAMET_ETIMEOUT, "%s took more than %llu s", what,
				WAIT_NS / NSEC_PER_SEC);
		int rc = loop_turn(node->loop, deadline - now, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- sandboxes --- */

struct stats_wait {
	bool done;
	uint64_t sandboxes;
};

static void on_stats(void *user, struct spawn_result *result)
{
	struct stats_wait *wait = user;
	wait->done = true;
	wait->sandboxes = result->sandboxes;
}

int node_settle(struct node *node, unsigned sandboxes, struct ramet_err *err)
{
	struct stats_wait wait = {0};
	while (wait.sandboxes < sandboxes) {
		wait.done = false;
		int rc = spawn_stats(node->spawn, on_stats, &wait, NULL, err);
		if (rc == 0)
			rc = turn_until(node, &wait.done, "asking ramet-spawn", err);
		if (rc < 0)
			return rc;
		if (wait.sandboxes < sandboxes)
			(void)loop_turn(node->loop, NSEC_PER_MSEC, NULL);
	}
	return 0;
}

/* --- templates --- */

struct template_wait {
	bool done;
	struct ramet_err err;
	uint64_t us;
};

static void on_built(void *user, struct spawn_result *result)
{
	struct template_wait *wait = user;
	wait->done = true;
	wait->err = result->err;
	wait->us = result->us;
}

int node_template(struct node *node, const struct image *image, struct tmpl_options options,
	uint64_t *ret_tmpl, uint64_t *ret_us, struct ramet_err *err)
{
	const struct descriptor_view *desc = &image->desc;
	struct template_wait wait = {0};
	auto_free const char **files = calloc(desc->nfiles + 1, sizeof(*files));
	if (!files)
		return err_nomem(err);
	for (uint32_t i = 0; i < desc->nfiles; i++)
		files[i] = descriptor_string(desc, desc->files[i].path);
	struct spawn_template request = {
		.tmpl = node->next++,
		.desc_fd = image->desc_fd,
		.image_fd = image->fd,
		.files = files,
		.nfiles = desc->nfiles,
		.tenant = {BENCH_UID, BENCH_UID, "bench"},
		.group = "bench",
		.uffd = options.uffd,
		.record = options.record,
	};
	int rc = spawn_template(node->spawn, &request, on_built, &wait, NULL, err);
	if (rc == 0)
		rc = turn_until(node, &wait.done, "building a template", err);
	if (rc < 0)
		return rc;
	if (wait.err.code < 0) {
		err_copy(err, &wait.err);
		return err_prefix(err, "template");
	}
	*ret_tmpl = request.tmpl;
	if (ret_us)
		*ret_us = wait.us;
	return 0;
}

/* --- clones --- */

int proc_wait_made(struct proc *proc, struct ramet_err *err)
{
	int rc = turn_until(proc->node, &proc->made, "making a process", err);
	if (rc == 0 && proc->err.code < 0) {
		err_copy(err, &proc->err);
		rc = err->code;
	}
	return rc;
}

int proc_wait_ended(struct proc *proc, struct ramet_err *err)
{
	return turn_until(proc->node, &proc->ended, "waiting for the end of a process", err);
}
