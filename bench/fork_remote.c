/* A seed of another node, its pages over TCP: the first child from nothing but the descriptor's
 * place, and a real call in a child of a template that is there while no page is. */
#include "bench/fork.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "bench/peer.h"
#include "bench/report.h"
#include "rfork/pager.h"
#include "rfork/working_set.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_ROUNDS 60
#define CALL_ROUNDS 100
#define WARM_UP 5

struct remote {
	struct node *node;
	struct python_seed *seed;
	struct working_set *set;
	struct peer *peer;
	struct peer_link *link;
	struct loop_thread *thread;
	struct pager *pager;
};

/* the node's copy of the seed, and one child of it */
struct copy {
	struct image *image;
	struct pager_seed *pages;
	uint64_t tmpl;
	struct proc *proc;
	struct pager_child *child;
};

static void on_failed(void *user, uint64_t instance, const struct ramet_err *err)
{
	(void)user;
	fprintf(stderr, "instance %llu: %s\n", (unsigned long long)instance, err->msg);
	exit(EXIT_FAILURE);
}

static const struct pager_child_handler child_handler = {.on_failed = on_failed};

static void copy_end(struct copy *copy, struct node *node)
{
	proc_free(copy->proc);
	if (copy->child)
		pager_child_remove(copy->child);
	if (copy->tmpl)
		spawn_drop(node->spawn, copy->tmpl);
	if (copy->pages)
		pager_seed_remove(copy->pages);
	image_put(copy->image);
	*copy = (struct copy){0};
}

/* as a node checks that the files a seed maps are the same here */
static int check_files(const struct descriptor_view *desc, struct ramet_err *err)
{
	for (uint32_t i = 0; i < desc->nfiles; i++) {
		const char *path = descriptor_string(desc, desc->files[i].path);
		struct sha256 sha;
		auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_errno(err, RAMET_EIO, "open %s", path);
		int rc = sha256_fd(fd, &sha, err);
		if (rc == 0 && memcmp(sha.bytes, desc->files[i].sha256, SHA256_LEN) != 0)
			rc = err_set(err, RAMET_EREFUSED, "%s is another file", path);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int copy_begin(struct remote *r, struct copy *copy, struct ramet_err *err)
{
	const void *bytes = NULL;
	uint64_t len = 0;
	int rc = peer_link_read_descriptor(r->link, &bytes, &len, err);
	if (rc == 0)
		rc = image_create(bytes, len, &copy->image, err);
	if (rc == 0)
		rc = check_files(&copy->image->desc, err);
	if (rc == 0)
		rc = pager_seed_add(r->pager, copy->image, NULL, NULL, &copy->pages, err);
	if (rc == 0)
		rc = pager_seed_add_peer(copy->pages, peer_spec(r->peer), err);
	if (rc == 0)
		rc = node_template(r->node, copy->image, (struct tmpl_options){.uffd = true},
			&copy->tmpl, NULL, err);
	return rc;
}

static int copy_clone(struct remote *r, struct copy *copy, const struct clone_options *options,
	struct ramet_err *err)
{
	int rc = node_clone(r->node, copy->tmpl, options, &copy->proc, err);
	if (rc == 0)
		rc = proc_wait_made(copy->proc, err);
	if (rc == 0)
		rc = pager_child_add(copy->pages, copy->proc->inst, copy->proc->uffd,
			&child_handler, NULL, &copy->child, err);
	if (rc == 0) {
		copy->proc->uffd = -1;
		rc = proc_wait_started(copy->proc, err);
	}
	return rc;
}

/* --- the first child --- */

static int first_child(struct remote *r, double *ret_us, struct ramet_err *err)
{
	struct copy copy = {0};
	uint64_t begin = now_ns();
	int rc = copy_begin(r, &copy, err);
	if (rc == 0)
		rc = copy_clone(r, &copy, &(struct clone_options){.exit = true}, err);
	if (rc == 0)
		*ret_us = (double)(copy.proc->first_ns - begin) / 1e3;
	copy_end(&copy, r->node);
	return rc;
}

static int local_child(struct remote *r, const char *function, double *ret_first,
	double *ret_result, struct ramet_err *err)
{
	auto_proc struct proc *proc = NULL;
	const struct clone_options options = {.function = function, .json = "null"};
	int rc = node_clone(r->node, r->seed->tmpl, &options, &proc, err);
	if (rc == 0)
		rc = proc_wait_made(proc, err);
	if (rc == 0)
		rc = proc_wait_started(proc, err);
	if (rc == 0)
		rc = proc_result(proc, NULL, err);
	if (rc < 0)
		return rc;
	*ret_result = (double)(now_ns() - proc->asked_ns) / 1e3;
	*ret_first = (double)(proc->first_ns - proc->begin_ns) / 1e3;
	return 0;
}

static int first_instruction(struct remote *r, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0}, local = {0};
	for (int i = -WARM_UP; i < FIRST_ROUNDS; i++) {
		double us = 0;
		double first = 0;
		double result = 0;
		int rc = first_child(r, &us, err);
		if (rc == 0)
			rc = local_child(r, "noop", &first, &result, err);
		if (rc < 0)
			return rc;
		if (i < 0)
			continue;
		samples_add(&ours, us);
		samples_add(&local, first);
	}
	report_samples("remote_first_instruction", "us", &ours, "local_clone_first_instruction",
		&local);
	return 0;
}

/* --- a real call --- */

static void on_prefetched(void *user, const struct ramet_err *err)
{
	(void)user;
	if (err->code < 0)
		fprintf(stderr, "prefetch: %s\n", err->msg);
}

static int remote_call(struct remote *r, bool prefetch, struct samples *result,
	struct samples *faults, struct ramet_err *err)
{
	struct copy copy = {0};
	struct pager_stats stats;
	const struct clone_options options = {.function = "work", .json = "null"};
	int rc = copy_begin(r, &copy, err);
	uint64_t begin = now_ns();
	if (rc == 0 && prefetch)
		rc = pager_prefetch(copy.pages, r->set,
			peer_spec(r->peer)->pack_pages == working_set_pages(r->set), on_prefetched,
			NULL, err);
	if (rc == 0)
		rc = copy_clone(r, &copy, &options, err);
	if (rc == 0)
		rc = proc_result(copy.proc, NULL, err);
	uint64_t end = now_ns();
	if (rc == 0 && result) {
		pager_child_stats(copy.child, &stats);
		samples_add(result, (double)(end - begin) / 1e3);
		samples_add(faults, (double)stats.faults);
	}
	copy_end(&copy, r->node);
	return rc;
}

static int real_call(struct remote *r, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0}, bare = {0}, local = {0};
	CLEANUP(samples_fini) struct samples faults = {0}, bare_faults = {0};
	for (int i = -WARM_UP; i < CALL_ROUNDS; i++) {
		double first = 0;
		double result = 0;
		int rc = remote_call(r, true, i < 0 ? NULL : &ours, &faults, err);
		if (rc == 0)
			rc = local_child(r, "work", &first, &result, err);
		if (rc == 0 && i % 4 == 0)
			rc = remote_call(r, false, i < 0 ? NULL : &bare, &bare_faults, err);
		if (rc < 0)
			return rc;
		if (i >= 0)
			samples_add(&local, result);
	}
	report_samples("remote_numpy_result", "us", &ours, "the same call in a local clone",
		&local);
	report_samples("remote_numpy_result_unrecorded", "us", &bare,
		"the same call in a local clone; ours without a recorded working set", &local);
	report_samples("remote_numpy_faults", "faults", &faults,
		"the same without a recorded working set", &bare_faults);
	return 0;
}

/* --- all of it --- */

static void remote_fini(struct remote *r)
{
	peer_link_close(r->link);
	pager_destroy(r->pager);
	loop_thread_stop(r->thread);
	peer_destroy(r->peer);
	working_set_destroy(r->set);
}

int fork_remote(struct node *node, struct ramet_err *err)
{
	CLEANUP(python_seed_end) struct python_seed seed;
	CLEANUP(remote_fini) struct remote r = {.node = node, .seed = &seed};
	int rc = python_seed_make(node, &seed, err);
	if (rc == 0)
		rc = python_seed_record(node, &seed, &r.set, err);
	if (rc == 0)
		rc = peer_create(seed.image, r.set, &r.peer, err);
	if (rc == 0)
		rc = peer_link_open(node->loop, r.peer, &r.link, err);
	if (rc == 0)
		rc = loop_thread_start("bench-pager", &r.thread, err);
	if (rc == 0)
		rc = pager_create(loop_thread_loop(r.thread), node->loop,
			&(struct pager_options){.provider = "tcp"}, &r.pager, err);
	if (rc == 0)
		rc = first_instruction(&r, err);
	if (rc == 0)
		rc = real_call(&r, err);
	return rc;
}
