/* What tests of process state share: a state_host with some cases set up, its seed, a template of
 * it on this node or on a second one, and clones. Hosts and clones have no capabilities and the
 * system-call filter of service. What fails is the test's failure, too. */
#ifndef TESTS_RFORK_STATE_WORLD_H
#define TESTS_RFORK_STATE_WORLD_H

#include "runtime/spawn/syscall_filter.h"
#include "tests/rfork/fork_world.h"
#include "tests/rfork/pager_world.h"
#include "tests/rfork/pid_space.h"
#include "tests/rfork/state.h"
#include "tests/runtime_host/host_world.h"

#include <stdbool.h>

#define STATE_CLONES 8

enum state_where {
	STATE_LOCAL, /* clones of the image as it was captured */
	STATE_REMOTE, /* the image is empty, a pager brings its pages from a peer; host and clones
			 have clocks an hour ahead of this machine's */
};

struct state_world {
	enum state_where where;
	const struct state_case *const *cases; /* NULL at the end */
	struct syscall_filter filter;
	struct host_world host;
	struct fork_world fork;
	struct pid_space space; /* the host's; init 0: none */
	struct world second; /* remote: the second node's pager, and the first as its peer */
};

struct state_clone {
	pid_t pid;
	int control;
	int uffd; /* remote: kept so long as the clone lives */
	struct pager_child *child;
	struct pid_space space;
};

/* state_world_start - the host, with its cases set up. fault: a fault point that is set in it and
 * here, until the world is closed; NULL: none. */
bool state_world_start(struct state_world *w, enum state_where where,
	const struct state_case *const *cases, const char *fault);
/* state_world_capture - until there is a template. A refusal of the capture, by the host or by us,
 * is an error in *err and not a failure of the test. */
int state_world_capture(struct state_world *w, struct ramet_err *err);
void state_world_close(struct state_world *w);

/* state_clones - how many at once: STATE_CLONES, or fewer by RAMET_STATE_CLONES, in guests */
unsigned state_clones(void);
/* state_clone_start - until it has said that it runs; state_clone_send() does not wait */
int state_clone_start(struct state_world *w, struct state_clone *ret, struct ramet_err *err);
int state_clone_send(struct state_world *w, struct state_clone *ret, struct ramet_err *err);
int state_clone_wait(struct state_world *w, struct state_clone *clone, struct ramet_err *err);
void state_clone_end(struct state_clone *clone);

/* state_ask - has the host or a clone (its control socket) check a case: "" when all is well, or
 * what is wrong; also when it died */
const char *state_ask(struct state_world *w, int control, const struct state_case *c);

#endif
