/* A ring of batches between the thread that reads a shadow and the one that stores. */
#include "rfork/capture_copy.h"

#include "base/err.h"
#include "rfork/descriptor.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* 0, or errno */
static int store_run(int fd, const unsigned char *bytes, const struct copy_run *run)
{
	size_t len = run->count * RFORK_PAGE;
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, bytes + run->first * RFORK_PAGE + done, len - done,
			(off_t)(run->offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		done += (size_t)n;
	}
	return 0;
}

static int store_batch(int fd, const struct copy_batch *batch)
{
	int failed = 0;
	for (unsigned i = 0; i < batch->nruns && !failed; i++)
		failed = store_run(fd, batch->bytes, &batch->runs[i]);
	return failed;
}

static void *store_all(void *arg)
{
	struct capture_copy *copy = arg;
	pthread_mutex_lock(&copy->lock);
	for (;;) {
		while (copy->stored == copy->put && !copy->closing)
			pthread_cond_wait(&copy->changed, &copy->lock);
		if (copy->stored == copy->put)
			break;
		const struct copy_batch *batch = &copy->batches[copy->stored % COPY_BATCHES];
		pthread_mutex_unlock(&copy->lock);
		int failed = store_batch(copy->fd, batch);
		pthread_mutex_lock(&copy->lock);
		copy->stored++;
		if (failed && !copy->failed)
			copy->failed = failed;
		pthread_cond_broadcast(&copy->changed);
	}
	pthread_mutex_unlock(&copy->lock);
	return NULL;
}

/* the thread takes no signals: those are for the program's own threads */
static bool start_thread(struct capture_copy *copy)
{
	cpu_set_t cpus;
	sigset_t all, old;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2)
		return false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(&copy->thread, NULL, store_all, copy);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc == 0;
}

int capture_copy_init(struct capture_copy *copy, int fd, struct ramet_err *err)
{
	*copy = (struct capture_copy){.fd = fd};
	copy->memory = aligned_alloc(RFORK_PAGE, COPY_BATCHES * COPY_PAGES * RFORK_PAGE);
	if (!copy->memory)
		return err_nomem(err);
	for (unsigned i = 0; i < COPY_BATCHES; i++)
		copy->batches[i].bytes = copy->memory + i * COPY_PAGES * RFORK_PAGE;
	pthread_mutex_init(&copy->lock, NULL);
	pthread_cond_init(&copy->changed, NULL);
	copy->threaded = start_thread(copy);
	return 0;
}

void capture_copy_fini(struct capture_copy *copy)
{
	if (copy->threaded) {
		pthread_mutex_lock(&copy->lock);
		copy->closing = true;
		pthread_cond_broadcast(&copy->changed);
		pthread_mutex_unlock(&copy->lock);
		pthread_join(copy->thread, NULL);
	}
	pthread_cond_destroy(&copy->changed);
	pthread_mutex_destroy(&copy->lock);
	free(copy->memory);
}

/* waits until at most `left` batches are not stored */
static void await(struct capture_copy *copy, uint64_t left)
{
	pthread_mutex_lock(&copy->lock);
	while (copy->put - copy->stored > left)
		pthread_cond_wait(&copy->changed, &copy->lock);
	pthread_mutex_unlock(&copy->lock);
}

struct copy_batch *capture_copy_batch(struct capture_copy *copy)
{
	return &copy->batches[copy->put % COPY_BATCHES];
}

/* hands the batch over, and waits until the next one is free */
static void put(struct capture_copy *copy)
{
	pthread_mutex_lock(&copy->lock);
	copy->put++;
	if (!copy->threaded) {
		int failed = store_batch(copy->fd, &copy->batches[copy->stored % COPY_BATCHES]);
		copy->stored++;
		copy->failed = copy->failed ? copy->failed : failed;
	}
	pthread_cond_broadcast(&copy->changed);
	pthread_mutex_unlock(&copy->lock);
	await(copy, COPY_BATCHES - 1);
	struct copy_batch *next = capture_copy_batch(copy);
	next->used = next->nruns = 0;
}

void capture_copy_used(struct capture_copy *copy, unsigned count)
{
	struct copy_batch *batch = capture_copy_batch(copy);
	batch->used += count;
	if (batch->used == COPY_PAGES)
		put(copy);
}

int capture_copy_wait(struct capture_copy *copy, struct ramet_err *err)
{
	put(copy);
	await(copy, 0);
	if (!copy->failed)
		return 0;
	errno = copy->failed;
	return err_errno(err, RAMET_EIO, "capture: store pages in the image");
}
