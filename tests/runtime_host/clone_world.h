/* What tests of captured hosts share: a ramet-host with every function, its seed and template, and
 * clones. What fails is the test's failure, too. */
#ifndef TESTS_RUNTIME_HOST_CLONE_WORLD_H
#define TESTS_RUNTIME_HOST_CLONE_WORLD_H

#include "tests/rfork/fork_world.h"
#include "tests/runtime_host/host_world.h"

#include <stdbool.h>
#include <sys/types.h>

struct clone_world {
	struct host_world host;
	struct fork_world fork; /* the seed and its template */
	const struct sock_filter *filter; /* of its template; NULL: none */
	uint32_t filter_len;
	bool landlock;
};

/* clone_world_open - a host, captured, and a template of it: start and capture */
bool clone_world_open(struct clone_world *w);
bool clone_world_start(struct clone_world *w); /* not captured yet */
bool clone_world_capture(struct clone_world *w);
/* the parts of a capture: the host's `captured`, and what the daemon makes of it */
bool clone_world_take(struct clone_world *w, struct host_answer *answer);
bool clone_world_build(struct clone_world *w);
void clone_world_close(struct clone_world *w);

struct clone {
	pid_t pid;
	int control;
};

/* clone_start - until it has said that it runs */
bool clone_start(struct clone_world *w, struct clone *ret);
/* clone_make - the same without waiting for anything */
int clone_make(struct clone_world *w, struct clone *ret, struct ramet_err *err);
int clone_end(struct clone *clone); /* its wait status */
/* clone_check - one call without input in a clone of its own */
void clone_check(struct clone_world *w, const char *function, const char *expected);

#endif
