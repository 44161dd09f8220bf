/* What tests of hosts share: a ramet-host on a socketpair, the messages it is sent and those it
 * answers. */
#ifndef TESTS_RUNTIME_HOST_HOST_WORLD_H
#define TESTS_RUNTIME_HOST_HOST_WORLD_H

#include "base/wire.h"
#include "ramet/error.h"
#include "tests/lib/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HOST_LANGUAGES_MAX 4
#define HOST_TIMEOUT_NS suite_patience(20000000000ull)

struct host_world {
	pid_t pid;
	int control; /* our end of its control socket */
	int output; /* what it prints, until it ends */
};

/* host_start - the program beside the tests with its control socket as descriptor 3; its `ready`
 * was read */
int host_start(struct host_world *w, struct ramet_err *err);
struct host_program {
	const char *name; /* beside the tests */
	int (*before_exec)(const void *arg); /* in the new process; may be NULL */
	const void *arg;
};
/* host_start_program - the same of another host */
int host_start_program(
	struct host_world *w, const struct host_program *program, struct ramet_err *err);
/* host_spawn - the same without waiting for anything */
int host_spawn(struct host_world *w, const struct host_program *program, struct ramet_err *err);
/* host_end - its wait status after our end of the socket was closed; closes everything */
int host_end(struct host_world *w);

/* One message of a host. */
struct host_answer {
	char type[16];
	const struct wire_value *body;
	int fds[4];
	unsigned nfds;
	unsigned char *bytes;
	struct wire_msg *msg;
};

/* host_read - the next message; RAMET_EPEER: there is none any more. Failures leave an answer that
 * fini accepts. */
int host_read(int control, struct host_answer *ret, struct ramet_err *err);
void host_answer_fini(struct host_answer *answer);

/* host_send - one frame */
int host_send(int control, struct buf *message, struct ramet_err *err);
int host_say(int control, const char *type, struct ramet_err *err); /* {t: type} */
/* host_load - the functions of these handlers, "libhost_functions.so:echo", each called by its
 * symbol, or by another name in front of it, "sound=libhost_functions.so:echo"; and its answer */
int host_load(
	int control, const char *const *handlers, struct host_answer *ret, struct ramet_err *err);
/* host_load_with - the same with the rest of what an app says; lists are ended by NULL, or NULL */
struct host_language {
	const char *name; /* functions of files with this extension are its: "lua" */
	const char *engine; /* path; NULL: this node has none, and none of those behind it */
};
struct host_config {
	const char *init;
	const char *const *modules, *const *path;
	struct host_language languages[HOST_LANGUAGES_MAX]; /* up to the first without a name */
	const char *dir; /* NULL: that of the host tests' functions */
	const char *lang; /* whose `init` is; NULL: the process's own engine's */
	const char *compiled;
	uint64_t heap;
	bool resets, isolates;
};
int host_load_with(int control, const char *const *handlers, const struct host_config *config,
	struct host_answer *ret, struct ramet_err *err);
/* host_load_all - every function of host_functions.c and host_memory.c; fails unless the answer is
 * `loaded` */
int host_load_all(int control, struct ramet_err *err);

struct host_request {
	const char *function;
	const void *data; /* NULL: text */
	size_t len;
	const char *text;
	bool binary, events, reset;
	uint64_t id, deadline_ns, max_output; /* max_output 0: 64 MiB */
};
void host_pack_call(struct buf *b, const struct host_request *request);
int host_call(int control, const struct host_request *request, struct host_answer *ret,
	struct ramet_err *err);

/* The parts of an answer; what is not there fails the test. */
uint64_t answer_uint(const struct host_answer *answer, const char *key);
bool answer_ok(const struct host_answer *answer);
/* answer_data - of a result, terminated; valid until the answer's end */
const char *answer_data(const struct host_answer *answer, size_t *ret_len);
/* answer_error - "code", "kind", "type", "message" of its error; valid until the next call */
const char *answer_error(const struct host_answer *answer, const char *key);

/* ask - calls a function with text and returns the text of its result; "" and a failed test if it
 * has none */
const char *ask(int control, const char *function, const char *text);

#endif
