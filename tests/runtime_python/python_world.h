/* What tests of the Python engine share: a host started as rametd starts it, and clones of it. */
#ifndef TESTS_RUNTIME_PYTHON_PYTHON_WORLD_H
#define TESTS_RUNTIME_PYTHON_PYTHON_WORLD_H

#include "tests/rfork/fork_world.h"
#include "tests/runtime_host/host_world.h"

#include <stdbool.h>
#include <sys/types.h>

/* python_interpreter - RAMET_TEST_PYTHON in the environment, else /usr/bin/python3 */
const char *python_interpreter(void);
/* python_has - whether it can import a module */
bool python_has(const char *module);

/* python_start - a host by this interpreter, until its `ready`, which is *ret_ready (may be NULL).
 * env: variables that an app sets, ended by NULL, or NULL; LD_PRELOAD is instead of ours. */
int python_start(struct host_world *w, const char *python, const char *const *env,
	struct host_answer *ret_ready, struct ramet_err *err);
/* python_open - the same with handlers loaded, ended by NULL; a failure is the test's, too */
bool python_open(struct host_world *w, const char *const *handlers);

/* python_call - one call and its answer, whose failure is the test's */
bool python_call(int control, const char *function, const char *text, struct host_answer *ret);
/* python_output - what a host or clone prints, until it contains text; false: it ended without. The
 * whole of it is in said. */
bool python_output(int fd, const char *text, char *said, size_t cap);

/* A host, its seed and the seed's template. */
struct python_seed {
	struct host_world host;
	struct fork_world fork;
};
/* python_seed_open - captures the host and builds a template */
bool python_seed_open(struct python_seed *s, const char *const *handlers);
bool python_seed_start(struct python_seed *s, const char *const *handlers); /* without a capture */
bool python_seed_capture(struct python_seed *s);
void python_seed_close(struct python_seed *s);

struct python_clone {
	pid_t pid;
	int control, output;
};
/* python_clone_start - until its `started`. sandbox: pidfd of a process whose namespaces it joins,
 * or -1. */
bool python_clone_start(struct python_seed *s, int sandbox, struct python_clone *ret);
int python_clone_end(struct python_clone *clone); /* its wait status */

#endif
