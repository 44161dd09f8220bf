/* See state_workers.h. */
#include "tests/rfork/state_workers.h"

#include "tests/rfork/state.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS (20000 * state_patience())

int worker_start(struct worker *worker, void *(*run)(void *arg), void *arg)
{
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	atomic_store(&worker->count, 0);
	atomic_store(&worker->stop, 0);
	int rc = pthread_create(&worker->thread, &small, run, arg);
	pthread_attr_destroy(&small);
	return rc == 0 ? STATE_OK : STATE_BROKEN;
}

void worker_ready(struct worker *worker)
{
	atomic_fetch_add(&worker->count, 1);
}

/* A clone whose threads were not made again need not be waited for. */
static bool alone(void)
{
	struct stat st;
	return stat("/proc/self/task", &st) == 0 && st.st_nlink == 3;
}

bool await_value(const atomic_int *value, int least)
{
	const struct timespec pause = {0, 1000000};
	for (unsigned ms = 0; ms < PATIENCE_MS; ms++) {
		if (atomic_load(value) >= least)
			return true;
		if (alone())
			return atomic_load(value) >= least;
		nanosleep(&pause, NULL);
	}
	return false;
}

int worker_await(struct worker *worker)
{
	return await_value(&worker->count, 1) ? STATE_OK : STATE_BROKEN;
}

/* "1234 (name) S …" */
static bool sleeps(const char *tid)
{
	char path[64], text[128] = "";
	snprintf(path, sizeof(path), "/proc/self/task/%.16s/stat", tid);
	FILE *f = fopen(path, "re");
	if (!f)
		return true;
	const char *state = fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
	fclose(f);
	return !state || state[2] == 'S';
}

static bool all_sleep(void)
{
	bool all = true;
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;
	while (all && dir && (e = readdir(dir)))
		all = e->d_name[0] == '.' || strtol(e->d_name, NULL, 10) == gettid() ||
			sleeps(e->d_name);
	if (dir)
		closedir(dir);
	return all;
}

int workers_sleep(void)
{
	const struct timespec pause = {0, 1000000};
	for (unsigned ms = 0; ms < PATIENCE_MS; ms++) {
		if (all_sleep())
			return STATE_OK;
		nanosleep(&pause, NULL);
	}
	return STATE_BROKEN;
}

const char *worker_join(struct worker *worker, void **ret_value)
{
	struct timespec at;
	bool missing = alone();
	int rc = pthread_tryjoin_np(worker->thread, ret_value);
	if (rc == EBUSY && missing)
		return state_wrong("the thread is not there");
	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec += PATIENCE_MS / 1000;
	if (rc == EBUSY)
		rc = pthread_timedjoin_np(worker->thread, ret_value, &at);
	errno = rc;
	return rc == 0 ? NULL : state_failed("pthread_join");
}

const char *worker_advances(struct worker *worker)
{
	return await_value(&worker->count, atomic_load(&worker->count) + 3)
		? NULL
		: state_wrong("the thread does not go on");
}
