/* The transport suite with its two sides in two processes, on one machine or on two: the tests and
 * their clients in one, the servers in the other. That one is the same program, which the first
 * starts (CMD in `--apart CMD` names how, and so where) and then drives over one TCP connection:
 * one question and one answer at a time, each a frame of base/frame.h. Functions travel as offsets
 * in the program, and with them all variables that are SHARED. A server in the other process has an
 * image here, of which each answer brings what is plain, and its counters.
 *
 * Checks that fail in the other process say so on our standard error, and fail the test here. Once
 * a question got no answer all others fail at once. */
#ifndef TESTS_CONFORMANCE_TRANSPORT_APART_H
#define TESTS_CONFORMANCE_TRANSPORT_APART_H

#include "tests/conformance/transport_pair.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define APART_CMD "--apart"
#define APART_SERVE "--serve" /* the argument that the other process is started with */
#define APART_READY "serving " /* in front of its address and cookie, on a line that it says */

/* apart_suite_run - what main() of a suite does: suite_run(), with the servers here or apart, or
 * serving */
int apart_suite_run(
	const char *name, const struct suite_test *tests, unsigned count, int argc, char **argv);

/* the servers are in another process */
bool apart(void);
/* For transport_server.c and transport_pair.c, which say what each means. After a failure a check
 * has failed, and nothing else has changed. */
int apart_open(struct server *s, const char *addr, const struct transport_options *options);
void apart_close(struct server *s);
void apart_call(struct server *s, void (*fn)(struct server *s));
void apart_run(void (*fn)(void));
void apart_memory(struct server *s, size_t offset, size_t len);
/* until the counter is there, WAIT_NS at most: then look at its count */
void apart_wait(struct counter *c, unsigned count);
/* the same in two steps, with no other question in between */
int apart_wait_begin(struct counter *c, unsigned count);
bool apart_answered(void); /* apart_wait_end() would not wait */
void apart_wait_end(struct counter *c);

/* The protocol: the process that asks starts with a hello, which has no answer; when it hangs up it
 * is over. Fixed structures, since both are the same program (apart_layout). */
struct apart_hello {
	uint64_t cookie, layout;
};
enum apart_kind { APART_OPEN, APART_CLOSE, APART_CALL, APART_RUN, APART_WAIT, APART_MEMORY };
struct apart_question { /* CALL and RUN: the shared variables follow */
	enum apart_kind kind;
	unsigned server; /* from 1; none for OPEN and RUN */
	int64_t fn; /* CALL and RUN */
	unsigned counter, count; /* WAIT */
	uint64_t offset, len; /* MEMORY */
	char addr[TRANSPORT_ADDR_MAX]; /* OPEN: "": its provider's */
	struct transport_options options; /* OPEN */
};
struct apart_answer { /* CALL and RUN: the shared variables follow; MEMORY: the bytes */
	unsigned server; /* OPEN: 0 if that failed */
	unsigned failed; /* checks since the last answer */
	unsigned counts[SERVER_COUNTERS];
	unsigned char plain[SERVER_PLAIN];
};
#define APART_TAIL_MAX SERVER_BYTES /* bytes that follow a question or an answer */

/* apart_layout - equal in processes of the same program only */
uint64_t apart_layout(void);
int64_t apart_offset(uintptr_t fn);
uintptr_t apart_function(int64_t offset); /* 0: that is no place of the program's code */
/* the variables that are SHARED */
unsigned char *apart_shared(size_t *ret_size);
int apart_serve(void);

#endif
