/* A small thread pool: see workers.h. */
#include "cluster/workers.h"

#include "base/cleanup.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define MAX_THREADS 16

struct workers {
	struct loop *loop;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct work *head, **tail; /* not begun; under lock */
	bool stop; /* under lock */
	pthread_t threads[MAX_THREADS];
	unsigned nthreads;
	unsigned open; /* submitted and not done; loop thread */
};

static void on_done(struct loop_task *task)
{
	struct work *work = container_of(task, struct work, task);
	work->pool->open--;
	work->done(work);
}

static void *worker_main(void *arg)
{
	struct workers *workers = arg;
	pthread_mutex_lock(&workers->lock);
	for (;;) {
		struct work *work = workers->head;
		if (!work && workers->stop)
			break;
		if (!work) {
			pthread_cond_wait(&workers->wake, &workers->lock);
			continue;
		}
		workers->head = work->next;
		if (!workers->head)
			workers->tail = &workers->head;
		pthread_mutex_unlock(&workers->lock);
		work->run(work);
		work->task = (struct loop_task){.fn = on_done};
		loop_post(workers->loop, &work->task);
		pthread_mutex_lock(&workers->lock);
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

int workers_create(
	struct loop *loop, unsigned threads, struct workers **ret_workers, struct ramet_err *err)
{
	struct workers *workers = calloc(1, sizeof(*workers));
	if (!workers)
		return err_nomem(err);
	workers->loop = loop;
	workers->tail = &workers->head;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->wake, NULL);
	for (unsigned i = 0; i < MIN(MAX(threads, 1u), MAX_THREADS); i++) {
		int rc = pthread_create(&workers->threads[i], NULL, worker_main, workers);
		if (rc != 0) {
			workers_destroy(workers);
			return err_set(err, RAMET_EIO, "start a worker thread: error %d", rc);
		}
		workers->nthreads++;
		pthread_setname_np(workers->threads[i], "worker");
	}
	*ret_workers = workers;
	return 0;
}

void workers_destroy(struct workers *workers)
{
	if (!workers)
		return;
	/* done may submit more: threads end only when nothing is open */
	while (workers->open > 0 && loop_turn(workers->loop, UINT64_MAX, NULL) == 0)
		;
	pthread_mutex_lock(&workers->lock);
	workers->stop = true;
	pthread_cond_broadcast(&workers->wake);
	pthread_mutex_unlock(&workers->lock);
	for (unsigned i = 0; i < workers->nthreads; i++)
		pthread_join(workers->threads[i], NULL);
	pthread_cond_destroy(&workers->wake);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

void workers_submit(struct workers *workers, struct work *work)
{
	work->pool = workers;
	work->next = NULL;
	workers->open++;
	pthread_mutex_lock(&workers->lock);
	*workers->tail = work;
	workers->tail = &work->next;
	pthread_cond_signal(&workers->wake);
	pthread_mutex_unlock(&workers->lock);
}
