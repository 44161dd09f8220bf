/* Something to undo when the user presses ^C: `ramet run` removes what it has deployed. */
#ifndef CMD_RAMET_INTERRUPT_H
#define CMD_RAMET_INTERRUPT_H

#include <pthread.h>
#include <stdbool.h>

struct interrupt {
	void (*undo)(void *user);
	void *user;
	pthread_t thread;
	pthread_mutex_t lock;
	bool armed;
	bool ready; /* there is something to undo */
	int pending; /* the signal that came before that */
};

/* interrupt_arm - before other threads are made: SIGINT, SIGTERM and SIGHUP no longer end the
 * program at once, but the second of them does. Where no thread can be made they still do. */
void interrupt_arm(struct interrupt *interrupt, void (*undo)(void *user), void *user);
/* interrupt_ready - from now on a signal calls undo, in a thread of its own, and then ends the
 * program; if one came before, this call does */
void interrupt_ready(struct interrupt *interrupt);
/* interrupt_disarm - signals end the program again; if one came, it does now */
void interrupt_disarm(struct interrupt *interrupt);

#endif
