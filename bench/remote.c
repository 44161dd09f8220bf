/* See remote.h. */
#include "bench/remote.h"

#include "base/cleanup.h"
#include "base/hash.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_failed(void *user, uint64_t instance, const struct ramet_err *err)
{
	(void)user;
	if (err->code == RAMET_EREVOKED)
		return; /* as is meant to be */
	fprintf(stderr, "instance %llu: %s\n", (unsigned long long)instance, err->msg);
	exit(EXIT_FAILURE);
}

static const struct pager_child_handler child_handler = {.on_failed = on_failed};

void copy_end(struct copy *copy, struct node *node)
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

int copy_begin(struct remote *r, struct copy *copy, struct ramet_err *err)
{
	return copy_begin_with(r, copy, NULL, NULL, err);
}

int copy_begin_with(struct remote *r, struct copy *copy, const struct pager_seed_handler *handler,
	void *user, struct ramet_err *err)
{
	const void *bytes = NULL;
	uint64_t len = 0;
	int rc = peer_link_read_descriptor(r->link, &bytes, &len, err);
	if (rc == 0)
		rc = image_create(bytes, len, &copy->image, err);
	if (rc == 0)
		rc = check_files(&copy->image->desc, err);
	if (rc == 0)
		rc = pager_seed_add(r->pager, copy->image, handler, user, &copy->pages, err);
	if (rc == 0)
		rc = pager_seed_add_peer(copy->pages, &r->offer->spec, err);
	if (rc == 0)
		rc = node_template(r->node, copy->image, (struct tmpl_options){.uffd = true},
			&copy->tmpl, NULL, err);
	return rc;
}

int copy_clone(struct remote *r, struct copy *copy, const struct clone_options *options,
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

int remote_open_offer(struct remote *r, const char *provider, struct node *node,
	const struct peer_offer *offer, struct ramet_err *err)
{
	r->node = node;
	r->provider = provider;
	r->offer = offer;
	int rc = peer_link_open(node->loop, provider, offer, &r->link, err);
	if (rc == 0)
		rc = loop_thread_start("bench-pager", &r->thread, err);
	if (rc == 0)
		rc = pager_create(loop_thread_loop(r->thread), node->loop,
			&(struct pager_options){
				.provider = provider, .transport = peer_options(provider)},
			&r->pager, err);
	return rc;
}

int remote_open(struct remote *r, const char *provider, struct node *node,
	const struct image *image, const struct working_set *set, struct ramet_err *err)
{
	int rc = peer_create(provider, image, set, &r->peer, err);
	if (rc < 0)
		return rc;
	return remote_open_offer(r, provider, node, peer_offer(r->peer), err);
}

int remote_ready(struct remote *r, struct ramet_err *err)
{
	if (peer_link_lives(r->link))
		return 0;
	peer_link_close(r->link);
	r->link = NULL;
	return peer_link_open(r->node->loop, r->provider, r->offer, &r->link, err);
}

void remote_fini(struct remote *r)
{
	peer_link_close(r->link);
	pager_destroy(r->pager);
	loop_thread_stop(r->thread);
	peer_destroy(r->peer);
}
