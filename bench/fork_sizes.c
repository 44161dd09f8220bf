/* How costs grow with the image: native hosts of 1 MiB to 1 GiB, of which a call reads 0, 10 or 100
 * %. */
#include "bench/fork.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "bench/remote.h"
#include "bench/report.h"

#include <stdio.h>
#include <stdlib.h>

static const unsigned sizes[] = {1, 16, 64, 256, 1024};
static const unsigned percents[] = {0, 10, 100};
static const char *const functions[] = {"fill", "libbench_touch.so:fill", "touch",
	"libbench_touch.so:touch", "baseline", "libbench_touch.so:baseline", NULL};

static unsigned rounds_of(unsigned mb)
{
	return mb >= 256 ? 3 : 9;
}

static int make_host(struct node *node, unsigned mb, struct proc **ret_host, struct ramet_err *err)
{
	char size[16];
	snprintf(size, sizeof(size), "%u", mb);
	int rc = proc_host(node, "native", fork_libs(), ret_host, err);
	if (rc == 0)
		rc = proc_load(*ret_host, fork_libs(), functions, err);
	if (rc == 0)
		rc = proc_call(*ret_host, "fill", size, NULL, err);
	return rc;
}

static void row(const char *what, unsigned mb, int percent, struct samples *ours,
	const char *baseline, struct samples *theirs)
{
	char name[64];
	if (percent < 0)
		snprintf(name, sizeof(name), "%s_%uM", what, mb);
	else
		snprintf(name, sizeof(name), "%s_%uM_touch%d", what, mb, percent);
	report_samples(name, "us", ours, baseline, theirs);
}

/* --- capture --- */

static int captures(struct proc *host, unsigned mb, struct image **ret_image, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples stall = {0}, total = {0}, forks = {0};
	for (unsigned i = 0; i < rounds_of(mb); i++) {
		auto_image struct image *image = NULL;
		auto_free char *json = NULL;
		struct capture_stats stats;
		double first = 0;
		double end = 0;
		uint64_t ns = 0;
		uint64_t begin = now_ns();
		int rc = proc_capture(host, &image, &stats, &ns, err);
		if (rc < 0)
			return rc;
		samples_add(&total, (double)(now_ns() - begin) / 1e3);
		samples_add(&stall, (double)ns / 1e3);
		rc = proc_call(host, "baseline", "null", &json, err);
		if (rc < 0)
			return rc;
		if (sscanf(json, "[[%lf,%lf]]", &first, &end) == 2)
			samples_add(&forks, first / 1e3);
		image_put(*ret_image);
		*ret_image = steal_ptr(&image);
	}
	row("capture_stall", mb, -1, &stall, "fork() of the host to the child's first instruction",
		&forks);
	row("capture_total", mb, -1, &total, NULL, NULL);
	return 0;
}

/* --- forks --- */

/* from the request to the result */
static int local_round(struct node *node, uint64_t tmpl, const char *percent, struct samples *sum,
	struct ramet_err *err)
{
	auto_proc struct proc *proc = NULL;
	const struct clone_options options = {.function = "touch", .json = percent};
	int rc = node_clone(node, tmpl, &options, &proc, err);
	if (rc == 0)
		rc = proc_wait_made(proc, err);
	if (rc == 0)
		rc = proc_wait_started(proc, err);
	if (rc == 0)
		rc = proc_result(proc, NULL, err);
	if (rc == 0)
		samples_add(sum, (double)(now_ns() - proc->asked_ns) / 1e3);
	return rc;
}

static int remote_round(
	struct remote *remote, const char *percent, struct samples *sum, struct ramet_err *err)
{
	struct copy copy = {0};
	const struct clone_options options = {.function = "touch", .json = percent};
	int rc = remote_ready(remote, err);
	uint64_t begin = now_ns();
	if (rc == 0)
		rc = copy_begin(remote, &copy, err);
	if (rc == 0)
		rc = copy_clone(remote, &copy, &options, err);
	if (rc == 0)
		rc = proc_result(copy.proc, NULL, err);
	if (rc == 0)
		samples_add(sum, (double)(now_ns() - begin) / 1e3);
	copy_end(&copy, remote->node);
	return rc;
}

static int forks(struct node *node, struct image *image, unsigned mb, struct ramet_err *err)
{
	CLEANUP(remote_fini) struct remote remote = {0};
	uint64_t tmpl = 0;
	int rc = node_template(node, image, (struct tmpl_options){0}, &tmpl, NULL, err);
	if (rc == 0)
		rc = remote_open(&remote, "tcp", node, image, NULL, err);
	for (size_t p = 0; rc == 0 && p < ARRAY_LEN(percents); p++) {
		CLEANUP(samples_fini) struct samples local = {0}, far = {0};
		char percent[8];
		snprintf(percent, sizeof(percent), "%u", percents[p]);
		for (unsigned i = 0; rc == 0 && i < rounds_of(mb); i++) {
			rc = local_round(node, tmpl, percent, &local, err);
			if (rc == 0)
				rc = remote_round(&remote, percent, &far, err);
		}
		if (rc < 0)
			break;
		row("local", mb, (int)percents[p], &local, NULL, NULL);
		row("remote", mb, (int)percents[p], &far, "the same call in a local clone", &local);
	}
	if (tmpl)
		spawn_drop(node->spawn, tmpl);
	return rc;
}

int fork_sizes(struct node *node, struct ramet_err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(sizes); i++) {
		auto_proc struct proc *host = NULL;
		auto_image struct image *image = NULL;
		rc = make_host(node, sizes[i], &host, err);
		if (rc == 0)
			rc = captures(host, sizes[i], &image, err);
		if (rc == 0)
			rc = forks(node, image, sizes[i], err);
	}
	return rc;
}
