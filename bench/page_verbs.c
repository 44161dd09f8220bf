/* Pages by RDMA, in a Soft-RoCE guest: a fault that is served by a READ, and a working set that is
 * fetched from a packed arena; both against what perftest's programs get from the same device in
 * the same run. The peer's memory is in this guest, or in another one. */
#include "bench/page.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "bench/guest.h"
#include "bench/page_verbs.h"
#include "bench/perftest.h"
#include "bench/remote.h"
#include "bench/report.h"

#include <stdio.h>

#define ROUNDS 5
#define READS 500 /* of the transport alone, a round */
#define FETCHES 9 /* of the working set, a round */
#define WAIT_NS (60 * NSEC_PER_SEC)
#define MIB 1048576.0

/* a node of this guest that forks a seed */
struct scene {
	struct node node;
	struct remote remote;
	struct page_verbs_seed seed; /* ours */
	struct page_verbs_process process; /* or another guest's */
	unsigned guest; /* where the peer is */
};

static void scene_end(struct scene *s)
{
	remote_fini(&s->remote);
	page_verbs_seed_end(&s->seed);
	page_verbs_process_end(&s->process);
	node_close(&s->node);
}

static int scene_begin(struct scene *s, struct ramet_err *err)
{
	s->guest = guest_count();
	int rc = node_open(&s->node, 0, err);
	if (rc == 0 && s->guest != guest_self()) {
		rc = page_verbs_process_start(&s->process, s->guest, err);
		return rc < 0
			? rc
			: remote_open_offer(&s->remote, "verbs", &s->node, &s->process.offer, err);
	}
	if (rc == 0)
		rc = page_verbs_seed_make(&s->node, &s->seed, err);
	if (rc == 0)
		rc = remote_open(&s->remote, "verbs", &s->node, s->seed.image, s->seed.set, err);
	return rc;
}

/* the same figure against a peer in another guest is another case */
static const char *name_of(const struct scene *s, const char *name, char buf[48])
{
	snprintf(buf, 48, "%s%s", name, s->guest == guest_self() ? "" : "_two");
	return buf;
}

/* --- a fault --- */

struct fault_samples {
	struct samples ours, ours_p99, ours_mean, bare;
	struct samples theirs, theirs_mean, events;
};

static void fault_samples_fini(struct fault_samples *all)
{
	samples_fini(&all->ours);
	samples_fini(&all->ours_p99);
	samples_fini(&all->ours_mean);
	samples_fini(&all->bare);
	samples_fini(&all->theirs);
	samples_fini(&all->theirs_mean);
	samples_fini(&all->events);
}

static int fault_round(struct scene *s, struct page_times *ret, struct ramet_err *err)
{
	struct copy copy = {0};
	struct pager_stats before;
	struct pager_stats after;
	int rc = remote_ready(&s->remote, err);
	if (rc == 0)
		rc = copy_begin(&s->remote, &copy, err);
	if (rc == 0)
		rc = copy_clone(&s->remote, &copy, &(struct clone_options){0}, err);
	if (rc == 0) {
		pager_child_stats(copy.child, &before);
		rc = page_each(copy.proc, ret, err);
	}
	if (rc == 0) {
		pager_child_stats(copy.child, &after);
		if (after.faults - before.faults < PAGE_MB * 256u)
			rc = err_set(err, RAMET_EINTERNAL, "%llu faults for %u pages",
				(unsigned long long)(after.faults - before.faults), PAGE_MB * 256u);
	}
	copy_end(&copy, &s->node);
	return rc;
}

/* READs by the transport alone, without pager and child */
static int bare_round(struct scene *s, struct samples *bare, struct ramet_err *err)
{
	int rc = remote_ready(&s->remote, err);
	for (int i = 0; rc == 0 && i < READS; i++) {
		uint64_t ns = 0;
		rc = peer_link_spin(s->remote.link, &ns, err);
		if (rc == 0)
			samples_add(bare, (double)ns / 1e3);
	}
	return rc;
}

static int fault_rounds(struct scene *s, struct fault_samples *all, struct ramet_err *err)
{
	for (int i = -1; i < ROUNDS; i++) {
		struct page_times times = {0};
		struct perftest_latency spinning = {0};
		struct perftest_latency sleeping = {0};
		int rc = fault_round(s, &times, err);
		if (rc == 0)
			rc = perftest_latency(s->guest, false, &spinning, err);
		if (rc == 0)
			rc = bare_round(s, &all->bare, err);
		if (rc == 0)
			rc = perftest_latency(s->guest, true, &sleeping, err);
		if (rc < 0)
			return rc;
		if (i < 0) {
			samples_fini(&all->bare);
			continue;
		}
		samples_add(&all->ours, times.median / 1e3);
		samples_add(&all->ours_p99, times.p99 / 1e3);
		samples_add(&all->ours_mean, times.mean / 1e3);
		samples_add(&all->theirs, spinning.median_us);
		samples_add(&all->theirs_mean, spinning.mean_us);
		samples_add(&all->events, sleeping.median_us);
	}
	return 0;
}

static void fault_report(const struct scene *s, struct fault_samples *all)
{
	char name[48];
	double median = samples_median(&all->ours);
	report_row(&(struct report_row){
		.name = name_of(s, "verbs_fault", name),
		.unit = "us",
		.baseline = "ib_read_lat of 4 KiB, polling, in the same guest",
		.value = median,
		.baseline_value = samples_median(&all->theirs),
		.p50 = median,
		.p99 = samples_median(&all->ours_p99),
		.n = all->ours.count * PAGE_MB * 256u,
	});
	report_samples(name_of(s, "verbs_fault_mean", name), "us", &all->ours_mean,
		"the mean of ib_read_lat of 4 KiB", &all->theirs_mean);
	report_samples(name_of(s, "verbs_fault_events", name), "us", &all->ours,
		"ib_read_lat of 4 KiB that sleeps until each completion (-e)", &all->events);
	report_samples(name_of(s, "verbs_read", name), "us", &all->bare,
		"ib_read_lat of 4 KiB; ours by the transport, polled", &all->theirs);
}

int page_verbs_fault(struct ramet_err *err)
{
	CLEANUP(scene_end) struct scene s = {0};
	CLEANUP(fault_samples_fini) struct fault_samples all = {0};
	int rc = scene_begin(&s, err);
	if (rc == 0)
		rc = fault_rounds(&s, &all, err);
	if (rc == 0)
		fault_report(&s, &all);
	return rc;
}

/* --- a working set --- */

struct fetch {
	bool done;
	struct ramet_err err;
};

static void on_fetched(void *user, const struct ramet_err *err)
{
	struct fetch *fetch = user;
	fetch->done = true;
	err_copy(&fetch->err, err);
}

static int wait_fetched(struct loop *loop, struct fetch *fetch, struct ramet_err *err)
{
	uint64_t deadline = now_ns() + WAIT_NS;
	int rc = 0;
	while (rc == 0 && !fetch->done)
		rc = now_ns() < deadline
			? loop_turn(loop, NSEC_PER_SEC, err)
			: err_set(err, RAMET_ETIMEOUT, "the working set does not come");
	if (rc == 0 && fetch->err.code < 0) {
		err_copy(err, &fetch->err);
		rc = err->code;
	}
	return rc;
}

/* what a node does with the working set of a seed that it has none of */
static int fetch_set(struct scene *s, const struct working_set *set, struct image *image,
	double *ret_mib, struct ramet_err *err)
{
	struct pager_seed *pages;
	struct fetch fetch = {0};
	struct pager_stats stats;
	int rc = pager_seed_add(s->remote.pager, image, NULL, NULL, &pages, err);
	if (rc < 0)
		return rc;
	uint64_t begin = now_ns();
	rc = pager_seed_add_peer(pages, &s->remote.offer->spec, err);
	if (rc == 0)
		rc = pager_prefetch(pages, set, true, on_fetched, &fetch, err);
	if (rc == 0)
		rc = wait_fetched(s->node.loop, &fetch, err);
	if (rc == 0) {
		*ret_mib = PAGE_VERBS_SET * RFORK_PAGE / MIB / ((double)(now_ns() - begin) / 1e9);
		pager_seed_stats(pages, &stats);
		if (stats.ahead_pages != PAGE_VERBS_SET)
			rc = err_set(err, RAMET_EINTERNAL, "%llu pages for a set of %u",
				(unsigned long long)stats.ahead_pages, PAGE_VERBS_SET);
	}
	pager_seed_remove(pages);
	return rc;
}

static int fetch_once(struct scene *s, double *ret_mib, struct ramet_err *err)
{
	auto_image struct image *image = NULL;
	auto_working_set struct working_set *set = NULL;
	const void *bytes;
	uint64_t len;
	int rc = remote_ready(&s->remote, err);
	if (rc == 0)
		rc = peer_link_read_descriptor(s->remote.link, &bytes, &len, err);
	if (rc == 0)
		rc = image_create(bytes, len, &image, err);
	if (rc == 0)
		rc = page_verbs_set(image, &set, err);
	return rc < 0 ? rc : fetch_set(s, set, image, ret_mib, err);
}

static int set_rounds(
	struct scene *s, struct samples *ours, struct samples *theirs, struct ramet_err *err)
{
	for (int i = -1; i < ROUNDS; i++) {
		double mib = 0;
		int rc = perftest_bandwidth(s->guest, &mib, err);
		if (rc == 0 && i >= 0)
			samples_add(theirs, mib);
		for (int k = 0; rc == 0 && k < FETCHES; k++) {
			rc = fetch_once(s, &mib, err);
			if (rc == 0 && i >= 0)
				samples_add(ours, mib);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

int page_verbs_working_set(struct ramet_err *err)
{
	CLEANUP(scene_end) struct scene s = {0};
	CLEANUP(samples_fini) struct samples ours = {0}, theirs = {0};
	char name[48];
	int rc = scene_begin(&s, err);
	if (rc == 0)
		rc = set_rounds(&s, &ours, &theirs, err);
	if (rc == 0)
		report_samples(name_of(&s, "verbs_working_set", name), "MiB/s", &ours,
			"ib_read_bw of 64 KiB in the same guest", &theirs);
	return rc;
}
