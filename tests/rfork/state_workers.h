/* Threads of state cases, and waiting for what they do, never for ever: where a thread is missing,
 * checks find out at once. */
#ifndef TESTS_RFORK_STATE_WORKERS_H
#define TESTS_RFORK_STATE_WORKERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct worker {
	pthread_t thread;
	atomic_int count; /* how often it was ready */
	atomic_int stop;
};

/* worker_start - its setup waits for worker_ready() by worker_await(); STATE_OK or STATE_BROKEN */
int worker_start(struct worker *worker, void *(*run)(void *arg), void *arg);
int worker_await(struct worker *worker);
/* workers_sleep - until all threads but this one wait in the kernel; those that have ended do not
 * count */
int workers_sleep(void);
void worker_ready(struct worker *worker); /* the thread itself */

/* for checks: NULL, or what is wrong */
const char *worker_join(struct worker *worker, void **ret_value); /* ret_value may be NULL */
const char *worker_advances(struct worker *worker); /* it gets ready three more times */

/* await_value - until *value is at least that much */
bool await_value(const atomic_int *value, int least);

#endif
