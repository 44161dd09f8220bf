/* Signals that end the program are taken by a thread, which may do what a handler must not. */
#include "cmd/ramet/interrupt.h"

#include <signal.h>

static void set_of_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

static void unblock(void)
{
	sigset_t set;
	set_of_signals(&set);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *wait_for_signal(void *arg)
{
	struct interrupt *interrupt = arg;
	sigset_t set;
	int number, state;
	set_of_signals(&set);
	while (sigwait(&set, &number) != 0)
		;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	unblock(); /* the next one ends the program */
	pthread_mutex_lock(&interrupt->lock);
	interrupt->pending = number;
	bool ready = interrupt->ready;
	pthread_mutex_unlock(&interrupt->lock);
	if (ready) {
		interrupt->undo(interrupt->user);
		raise(number);
	}
	return NULL;
}

void interrupt_arm(struct interrupt *interrupt, void (*undo)(void *user), void *user)
{
	sigset_t set, old;
	set_of_signals(&set);
	interrupt->undo = undo;
	interrupt->user = user;
	pthread_mutex_init(&interrupt->lock, NULL);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	interrupt->armed =
		pthread_create(&interrupt->thread, NULL, wait_for_signal, interrupt) == 0;
	if (!interrupt->armed)
		pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void interrupt_ready(struct interrupt *interrupt)
{
	pthread_mutex_lock(&interrupt->lock);
	interrupt->ready = true;
	int pending = interrupt->pending;
	pthread_mutex_unlock(&interrupt->lock);
	if (!pending)
		return;
	interrupt->undo(interrupt->user);
	unblock();
	raise(pending);
}

void interrupt_disarm(struct interrupt *interrupt)
{
	if (!interrupt->armed)
		return;
	pthread_cancel(interrupt->thread);
	pthread_join(interrupt->thread, NULL); /* does not return while it undoes */
	interrupt->armed = false;
	unblock();
	if (interrupt->pending)
		raise(interrupt->pending);
}
