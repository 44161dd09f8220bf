/* From a seed's revocation to the last page that is served of it, while 8 children page over TCP;
 * and what comparing a page with its checksum costs. The time ends when the pager has told that the
 * seed is revoked: later no page is served, which is checked. */
#include "bench/page.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "bench/remote.h"
#include "bench/report.h"

#include <stdlib.h>
#include <string.h>

#define CHILDREN 8
#define ROUNDS 100
#define WARM_UP 3
#define WAIT_NS (10 * NSEC_PER_SEC)
#define HASHES 2000

struct family {
	struct copy copies[CHILDREN]; /* of one image: the first one's */
	uint64_t revoked_ns;
};

static void on_revoked(void *user, const struct ramet_err *err)
{
	struct family *family = user;
	(void)err;
	family->revoked_ns = now_ns();
}

static const struct pager_seed_handler handler = {.on_revoked = on_revoked};

static void family_end(struct family *family, struct node *node)
{
	for (unsigned i = 1; i < CHILDREN; i++) {
		proc_free(family->copies[i].proc);
		if (family->copies[i].child)
			pager_child_remove(family->copies[i].child);
	}
	copy_end(&family->copies[0], node);
}

static int family_begin(struct remote *r, struct family *family, struct ramet_err *err)
{
	struct copy *first = &family->copies[0];
	int rc = remote_ready(r, err);
	if (rc == 0)
		rc = copy_begin_with(r, first, &handler, family, err);
	for (unsigned i = 0; rc == 0 && i < CHILDREN; i++) {
		struct copy *copy = &family->copies[i];
		if (i > 0)
			*copy = (struct copy){
				.image = first->image, .pages = first->pages, .tmpl = first->tmpl};
		rc = copy_clone(r, copy, &(struct clone_options){0}, err);
	}
	for (unsigned i = 0; rc == 0 && i < CHILDREN; i++)
		rc = proc_post(family->copies[i].proc, "scatter", "100", err);
	return rc;
}

static uint64_t served(const struct family *family)
{
	struct pager_stats stats;
	pager_seed_stats(family->copies[0].pages, &stats);
	return stats.fetched_pages + stats.ahead_pages;
}

static int until_served(
	struct remote *r, struct family *family, uint64_t pages, struct ramet_err *err)
{
	uint64_t deadline = now_ns() + WAIT_NS;
	int rc = 0;
	while (rc == 0 && served(family) < pages)
		rc = now_ns() < deadline ? loop_turn(r->node->loop, NSEC_PER_MSEC / 10, err)
					 : err_set(err, RAMET_ETIMEOUT, "the children do not page");
	return rc;
}

static int revoke_round(struct remote *r, unsigned round, double *ret_us, struct ramet_err *err)
{
	struct family family = {0};
	int rc = family_begin(r, &family, err);
	if (rc == 0)
		rc = until_served(r, &family, 100 + round * 37 % 1500, err);
	uint64_t begin = now_ns();
	if (rc == 0)
		peer_revoke(r->peer);
	while (rc == 0 && !family.revoked_ns)
		rc = now_ns() < begin + WAIT_NS
			? loop_turn(r->node->loop, WAIT_NS, err)
			: err_set(err, RAMET_ETIMEOUT, "the revocation was not seen");
	uint64_t last = rc == 0 ? served(&family) : 0;
	if (rc == 0) {
		*ret_us = (double)(family.revoked_ns - begin) / 1e3;
		for (int i = 0; rc == 0 && i < 20; i++)
			rc = loop_turn(r->node->loop, NSEC_PER_MSEC / 10, err);
		if (rc == 0 && served(&family) != last)
			rc = err_set(
				err, RAMET_EINTERNAL, "pages were served after the revocation");
	}
	family_end(&family, r->node);
	return rc < 0 ? rc : peer_expose(r->peer, err);
}

static int rounds(struct node *node, const struct image *image, struct ramet_err *err)
{
	CLEANUP(remote_fini) struct remote remote = {0};
	CLEANUP(samples_fini) struct samples times = {0};
	int rc = remote_open(&remote, "tcp", node, image, NULL, err);
	for (int i = -WARM_UP; rc == 0 && i < ROUNDS; i++) {
		double us = 0;
		rc = revoke_round(&remote, (unsigned)(i + WARM_UP), &us, err);
		if (rc == 0 && i >= 0)
			samples_add(&times, us);
	}
	if (rc < 0)
		return rc;
	struct report_row row = {.name = "revoke_p50",
		.unit = "us",
		.value = samples_median(&times),
		.p50 = samples_median(&times),
		.p99 = samples_quantile(&times, 0.99),
		.n = times.count};
	report_row(&row);
	row.name = "revoke_p99";
	row.value = row.p99;
	report_row(&row);
	return 0;
}

int page_revoke(struct ramet_err *err)
{
	struct node node;
	struct proc *host = NULL;
	struct image *image = NULL;
	int rc = node_open(&node, 0, err);
	if (rc == 0)
		rc = page_host(&node, &host, &image, err);
	if (rc == 0)
		rc = rounds(&node, image, err);
	proc_free(host);
	image_put(image);
	node_close(&node);
	return rc;
}

/* --- checksums --- */

static double hash_round(const struct image *image, volatile uint64_t *sink)
{
	uint64_t begin = now_ns();
	for (unsigned i = 0; i < HASHES; i++)
		*sink += hash64(image->base + i % image->npages * RFORK_PAGE, RFORK_PAGE);
	return (double)(now_ns() - begin) / HASHES / 1e3;
}

static double copy_round(const struct image *image, volatile uint64_t *sink)
{
	static unsigned char to[RFORK_PAGE];
	uint64_t begin = now_ns();
	for (unsigned i = 0; i < HASHES; i++) {
		memcpy(to, image->base + i % image->npages * RFORK_PAGE, RFORK_PAGE);
		*sink += to[i % RFORK_PAGE];
	}
	return (double)(now_ns() - begin) / HASHES / 1e3;
}

int page_checksum(struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples hashes = {0}, copies = {0};
	struct capture_stats stats = {0};
	struct node node;
	struct proc *host = NULL;
	struct image *image = NULL;
	uint64_t stall;
	volatile uint64_t sink = 0;
	int rc = node_open(&node, 0, err);
	if (rc == 0)
		rc = page_host(&node, &host, &image, err);
	if (rc == 0) {
		image_put(image);
		image = NULL;
		rc = proc_capture(host, &image, &stats, &stall, err);
	}
	for (unsigned i = 0; rc == 0 && i < ROUNDS; i++) {
		samples_add(&hashes, hash_round(image, &sink));
		samples_add(&copies, copy_round(image, &sink));
	}
	if (rc == 0) {
		report_samples("checksum_page", "us", &hashes, "copying the page", &copies);
		double us = samples_median(&hashes) * (double)stats.stored_pages;
		report_note("capture: %.0f us for %llu stored pages, of which checksums %.0f us "
			    "(%.1f %%)",
			(double)stats.total_ns / 1e3, (unsigned long long)stats.stored_pages, us,
			100 * us / ((double)stats.total_ns / 1e3));
	}
	proc_free(host);
	image_put(image);
	node_close(&node);
	return rc;
}
