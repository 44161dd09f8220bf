/* A thread that runs a loop. It takes no signals but those of its own faults: the program's main
 * thread handles them. */
#include "base/cleanup.h"
#include "base/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct loop_thread {
	pthread_t thread;
	struct loop *loop;
	char name[16];
};

static void *thread_main(void *arg)
{
	struct loop_thread *thread = arg;
	struct ramet_err err = {0};
	pthread_setname_np(pthread_self(), thread->name);
	/* It fails only if the loop's own descriptors are gone: whatever relies on this thread
	 * could only hang. */
	if (loop_run(thread->loop, &err) < 0) {
		fprintf(stderr, "loop %s: %s\n", thread->name, err.msg);
		abort();
	}
	return NULL;
}

static void signals_of_others(sigset_t *ret_set)
{
	sigfillset(ret_set);
	static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		sigdelset(ret_set, own[i]);
}

int loop_thread_start(const char *name, struct loop_thread **ret_thread, struct ramet_err *err)
{
	struct loop_thread *thread = calloc(1, sizeof(*thread));
	if (!thread)
		return err_nomem(err);
	snprintf(thread->name, sizeof(thread->name), "%s", name);
	int rc = loop_create(&thread->loop, err);
	if (rc < 0) {
		free(thread);
		return rc;
	}
	sigset_t blocked, old;
	signals_of_others(&blocked);
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	int sys = pthread_create(&thread->thread, NULL, thread_main, thread);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (sys) {
		loop_destroy(thread->loop);
		free(thread);
		errno = sys;
		return err_errno(err, RAMET_EIO, "start thread %s", name);
	}
	*ret_thread = thread;
	return 0;
}

struct loop *loop_thread_loop(struct loop_thread *thread)
{
	return thread->loop;
}

void loop_thread_stop(struct loop_thread *thread)
{
	if (!thread)
		return;
	loop_stop(thread->loop);
	pthread_join(thread->thread, NULL);
	loop_destroy(thread->loop);
	free(thread);
}
