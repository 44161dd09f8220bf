/* What the tests of ramet-spawn share: a client with a recorder of its events, hosts that run
 * spawn_probe, and waiting for conditions by turning the loop. */
#ifndef TESTS_RUNTIME_SPAWN_FIXTURE_H
#define TESTS_RUNTIME_SPAWN_FIXTURE_H

#include "runtime/spawn/spawn_client.h"
#include "tests/lib/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TEST_UID 60001
#define OTHER_UID 60002
#define WAIT_S 20
#define EVENTS_MAX 256

struct fixture {
	struct loop *loop;
	struct spawn_client *client;
	char store[64]; /* a directory of its own; removed at the end */
	char node[32];
	unsigned exits, gone, lost;
	struct {
		uint64_t inst;
		struct spawn_exit how;
	} exited[EVENTS_MAX];
	struct ramet_err why_lost, why_gone;
};

/* fixture_start - false: the test is to return (a failure or skip was recorded) */
bool fixture_start(struct fixture *f, unsigned sandboxes);
void fixture_stop(struct fixture *f);
/* turns the loop until cond(arg) is true; false after WAIT_S */
bool fixture_wait(struct fixture *f, bool (*cond)(void *arg), void *arg);
const char *program(const char *name); /* in the directory of the built programs; static */

/* A host: started, with its output. */
struct host {
	struct fixture *f;
	uint64_t inst;
	bool done, ended;
	struct spawn_result result;
	struct spawn_exit how;
	int pidfd; /* after host_started(): -1 if it was reaped by then */
	int control; /* our end */
	int log; /* our end of the pipe that is its stdout and stderr */
	char *output; /* after host_finish() */
	size_t output_len;
};

struct host_options {
	uid_t uid; /* 0: TEST_UID; ROOT_UID: 0 */
	const char *dir, *group;
	struct spawn_limits limits, tenant_limits;
	const char *const *argv; /* NULL: spawn_probe `what` `arg` */
	const char *what, *arg;
};
#define ROOT_UID 0xfffffffeu

bool host_begin(struct fixture *f, struct host *h, const struct host_options *options);
bool host_started(struct host *h); /* waits for the answer; true: it runs */
bool host_finish(struct host *h); /* waits for its exit and reads its output to the end */
void host_close(struct host *h);
/* all of the above; true: it ended with status 0 */
bool host_run(struct fixture *f, struct host *h, const struct host_options *options);
/* the value of a line "key value" of its output; "" none; static, of four calls */
const char *host_value(const struct host *h, const char *key);

/* looking at the machine */
unsigned count_children(pid_t pid); /* of any depth */
unsigned count_fds(pid_t pid);
unsigned count_mounts(void); /* of this process */
unsigned count_cgroups(const char *node); /* directories named ramet/<node>… in every hierarchy */
bool wait_gone(int pidfd); /* a process has ended */

#endif
