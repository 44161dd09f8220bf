/* What the first child fetched is there for its siblings: they cause no event at all. */
#include "bench/page.h"

#include "base/cleanup.h"
#include "bench/remote.h"
#include "bench/report.h"

#define ROUNDS 5

struct pair {
	struct copy copy;
	struct proc *second;
	struct pager_child *child;
};

static void pair_end(struct pair *pair, struct node *node)
{
	proc_free(pair->second);
	if (pair->child)
		pager_child_remove(pair->child);
	copy_end(&pair->copy, node);
}

static int second_child(struct remote *r, struct pair *pair, struct ramet_err *err)
{
	struct copy again = pair->copy; /* the same template and pages */
	again.proc = NULL;
	again.child = NULL;
	int rc = copy_clone(r, &again, &(struct clone_options){0}, err);
	pair->second = again.proc;
	pair->child = again.child;
	return rc;
}

static int one_round(struct remote *r, struct samples *firsts, struct samples *seconds,
	struct samples *page_first, struct samples *page_second, struct ramet_err *err)
{
	struct pair pair = {0};
	struct pager_stats before;
	struct pager_stats after;
	struct pager_stats first;
	double first_ns = 0;
	double second_ns = 0;
	int rc = copy_begin(r, &pair.copy, err);
	if (rc == 0)
		rc = copy_clone(r, &pair.copy, &(struct clone_options){0}, err);
	if (rc == 0)
		rc = page_touch(pair.copy.proc, true, &first_ns, err);
	if (rc == 0)
		rc = second_child(r, &pair, err);
	if (rc == 0) {
		pager_child_stats(pair.copy.child, &first);
		pager_child_stats(pair.child, &before);
		rc = page_touch(pair.second, true, &second_ns, err);
	}
	if (rc == 0) {
		pager_child_stats(pair.child, &after);
		double pages = PAGE_MB * 256.0;
		samples_add(firsts, (double)first.faults);
		samples_add(seconds, (double)(after.events - before.events));
		samples_add(page_first, first_ns / pages / 1e3);
		samples_add(page_second, second_ns / pages / 1e3);
	}
	pair_end(&pair, r->node);
	return rc;
}

/* reading in order: pages come in runs, ahead of the faults */
static int streams(struct remote *r, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ordered = {0}, scattered = {0};
	int rc = 0;
	for (int i = 0; rc == 0 && i < 2 * ROUNDS; i++) {
		struct copy copy = {0};
		double ns = 0;
		rc = copy_begin(r, &copy, err);
		if (rc == 0)
			rc = copy_clone(r, &copy, &(struct clone_options){0}, err);
		if (rc == 0)
			rc = page_touch(copy.proc, i % 2, &ns, err);
		if (rc == 0)
			samples_add(i % 2 ? &scattered : &ordered, ns / (PAGE_MB * 256.0) / 1e3);
		copy_end(&copy, r->node);
	}
	if (rc == 0)
		report_samples("page_in_order_tcp", "us", &ordered,
			"a page when they are read scattered, over TCP too", &scattered);
	return rc;
}

int page_sibling(struct node *node, struct ramet_err *err)
{
	CLEANUP(remote_fini) struct remote remote = {0};
	CLEANUP(samples_fini) struct samples firsts = {0}, seconds = {0};
	CLEANUP(samples_fini) struct samples page_first = {0}, page_second = {0};
	auto_image struct image *image = NULL;
	auto_proc struct proc *host = NULL;
	int rc = page_host(node, &host, &image, err);
	if (rc == 0)
		rc = remote_open(&remote, "tcp", node, image, NULL, err);
	for (int i = 0; rc == 0 && i < ROUNDS; i++)
		rc = one_round(&remote, &firsts, &seconds, &page_first, &page_second, err);
	if (rc < 0)
		return rc;
	report_samples("sibling_fault_events", "events", &seconds,
		"userfaults of the first child, which read the same 4,096 pages", &firsts);
	report_samples("sibling_page", "us", &page_second,
		"a page of the first child, fetched over TCP", &page_first);
	return streams(&remote, err);
}
