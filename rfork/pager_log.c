/* The log of a seed: which pages faults have brought in, in order. */
#include "rfork/pager.h"
#include "rfork/pager_internal.h"

#include <stdlib.h>
#include <string.h>

/* a copy on its way to who asked */
struct log_request {
	struct loop_task task;
	struct pager_seed *seed;
	uint32_t *pages;
	uint64_t count;
	struct ramet_err err;
	void (*done)(
		void *user, const uint32_t *pages, uint64_t count, const struct ramet_err *err);
	void *user;
};

static void log_on_done(struct loop_task *task) /* control */
{
	struct log_request *request = container_of(task, struct log_request, task);
	if (!request->seed->pager->gone && !request->seed->gone)
		request->done(request->user, request->pages, request->count, &request->err);
	free(request->pages);
	free(request);
}

static void log_on_request(struct loop_task *task)
{
	struct log_request *request = container_of(task, struct log_request, task);
	const struct pager_seed *seed = request->seed;
	request->count = seed->nlog;
	request->pages = malloc(MAX(request->count, 1ull) * sizeof(*request->pages));
	if (!request->pages || seed->log_gap)
		err_nomem(&request->err);
	if (!request->pages)
		request->count = 0;
	if (request->count > 0)
		memcpy(request->pages, seed->log, request->count * sizeof(*request->pages));
	pager_post_control(seed->pager, &request->task, log_on_done);
}

int pager_seed_log(struct pager_seed *seed,
	void (*done)(
		void *user, const uint32_t *pages, uint64_t count, const struct ramet_err *err),
	void *user, struct ramet_err *err)
{
	struct log_request *request = calloc(1, sizeof(*request));
	if (!request)
		return err_nomem(err);
	request->seed = seed;
	request->done = done;
	request->user = user;
	pager_post(seed->pager, &request->task, log_on_request);
	return 0;
}
