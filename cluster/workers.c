/* A small thread pool: see workers.h. */
#include "cluster/workers.h"

#include "base/cancel.h"
#include "base/cleanup.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define MAX_THREADS 16

struct workers {
	struct loop *loop;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct work *head, **tail; /* not begun; under lock */
	struct work *ended, **ended_tail; /* run, not told; under lock */
	bool stop; /* under lock */
	atomic_bool hurry;
	struct loop_watch watch;
	int event; /* readable when something has ended */
	pthread_t threads[MAX_THREADS];
	unsigned nthreads;
};

static void append(struct work ***tail, struct work *work)
{
	work->next = NULL;
	**tail = work;
	*tail = &work->next;
}

static struct work *take_ended(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	struct work *work = workers->ended;
	if (work)
		workers->ended = work->next;
	if (!workers->ended)
		workers->ended_tail = &workers->ended;
	pthread_mutex_unlock(&workers->lock);
	return work;
}

static void tell_ended(struct workers *workers)
{
	struct work *work;
	while ((work = take_ended(workers)))
		work->done(work);
}

static void on_event(struct loop_watch *watch, uint32_t events)
{
	struct workers *workers = container_of(watch, struct workers, watch);
	eventfd_t count;
	eventfd_read(workers->event, &count);
	tell_ended(workers);
}

static void *worker_main(void *arg)
{
	struct workers *workers = arg;
	cancel_watch(&workers->hurry);
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
		pthread_mutex_lock(&workers->lock);
		append(&workers->ended_tail, work);
		eventfd_write(workers->event, 1);
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

/* signals are the main thread's business */
static int start_thread(struct workers *workers, struct ramet_err *err)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&workers->threads[workers->nthreads], NULL, worker_main, workers);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_set(err, RAMET_EIO, "start a worker thread: %s", strerror(rc));
	pthread_setname_np(workers->threads[workers->nthreads], "worker");
	workers->nthreads++;
	return 0;
}

int workers_create(
	struct loop *loop, unsigned threads, struct workers **ret_workers, struct ramet_err *err)
{
	struct workers *workers = calloc(1, sizeof(*workers));
	if (!workers)
		return err_nomem(err);
	workers->loop = loop;
	workers->tail = &workers->head;
	workers->ended_tail = &workers->ended;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->wake, NULL);
	workers->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = workers->event < 0 ? err_errno(err, RAMET_EIO, "make an eventfd") : 0;
	if (rc == 0)
		rc = loop_watch_add(loop, &workers->watch, workers->event, EPOLLIN, on_event, err);
	for (unsigned i = 0; rc == 0 && i < MIN(MAX(threads, 1u), MAX_THREADS); i++)
		rc = start_thread(workers, err);
	if (rc < 0) {
		workers_destroy(workers);
		return rc;
	}
	*ret_workers = workers;
	return 0;
}

void workers_hurry(struct workers *workers)
{
	if (workers)
		atomic_store(&workers->hurry, true);
}

void workers_destroy(struct workers *workers)
{
	if (!workers)
		return;
	workers_hurry(workers);
	pthread_mutex_lock(&workers->lock);
	workers->stop = true;
	pthread_cond_broadcast(&workers->wake);
	pthread_mutex_unlock(&workers->lock);
	for (unsigned i = 0; i < workers->nthreads; i++)
		pthread_join(workers->threads[i], NULL);
	tell_ended(workers);
	loop_watch_remove(&workers->watch);
	close_reset(&workers->event);
	pthread_cond_destroy(&workers->wake);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

void workers_submit(struct workers *workers, struct work *work)
{
	pthread_mutex_lock(&workers->lock);
	bool stopped = workers->stop;
	if (!stopped) {
		append(&workers->tail, work);
		pthread_cond_signal(&workers->wake);
	}
	pthread_mutex_unlock(&workers->lock);
	if (!stopped)
		return;
	/* from a `done` during workers_destroy(): there is no thread any more */
	cancel_watch(&workers->hurry);
	work->run(work);
	cancel_watch(NULL);
	pthread_mutex_lock(&workers->lock);
	append(&workers->ended_tail, work);
	pthread_mutex_unlock(&workers->lock);
}
