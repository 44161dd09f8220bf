/* The conformance suite of engines: one set of cases, one binary for each language. A language has
 * a file engine_NAME.c with its spec, and one with the functions listed here. */
#ifndef TESTS_CONFORMANCE_ENGINE_CASES_H
#define TESTS_CONFORMANCE_ENGINE_CASES_H

#include "runtime/spawn/syscall_filter.h"
#include "tests/lib/suite.h"
#include "tests/runtime_host/clone_world.h"
#include "tests/runtime_host/host_world.h"

/* What a language has not, and its cases are skipped for. */
enum {
	LACKS_VALUES = 1, /* functions get JSON as text */
	LACKS_RESET = 2,
	LACKS_ISOLATES = 4, /* functions of one app see each other */
	LACKS_HEAP = 8, /* limits.heap */
	LACKS_DEPTH = 16, /* endless recursion is a crash */
};

/* Functions: echo(x) → x; count() → 1, 2, …; total() → what count() was at last, if it is the same
 * isolate's; fail() raises "no luck today" from a function `inner`; spin() never ends; hoard(n)
 * keeps n KiB; large(n) → n bytes of text; deep() recurses for ever; draw() → a random number;
 * now() → seconds since 1970; tell(n) emits 1 to n; loop(n) computes n times. */
struct engine_spec {
	const char *name;
	const char *file; /* of its functions */
	const char *error_type; /* of what fail() raises; "": it has none */
	const char *library; /* of the engine; NULL: it is the process's own */
	const char *(*compiled)(void); /* the directory of what was made of it; NULL: nothing is */
	unsigned lacks;
	int (*start)(struct host_world *w, struct ramet_err *err); /* NULL: ramet-host */
};
extern const struct engine_spec engine_spec;

/* engine_open - a host with all functions; copies: so many more of count(), c0, c1, …; a failure is
 * the test's */
struct engine_options {
	unsigned copies;
	uint64_t heap;
	bool resets;
};
bool engine_open(struct host_world *w, const struct engine_options *options);
void engine_close(struct host_world *w); /* it must still be well */
/* engine_filter - of hosts (SYSCALLS_ISOLATES_BEGIN) or templates (SYSCALLS_ISOLATES), as an app of
 * this language has it: nothing that an engine needs may be missing in it. The suite's own. */
const struct syscall_filter *engine_filter(enum syscall_set set);
bool engine_lacks(unsigned what); /* and says so */
/* engine_fails - a call's error, by code; NULL: any; false, and the test's failure: it had none */
bool engine_fails(int control, const struct host_request *request, const char *code);
/* engine_resident - bytes of a process that are its own */
uint64_t engine_resident(pid_t pid);

#define ENGINE_CASES(X) \
	X(test_values_come_back) \
	X(test_bytes_come_back) \
	X(test_what_is_no_json_is_refused) \
	X(test_errors_tell_what_and_where) \
	X(test_what_is_emitted_comes_first) \
	X(test_clock_is_right) \
	X(test_deadline_ends_a_loop) \
	X(test_heap_has_a_limit) \
	X(test_garbage_is_no_heap) \
	X(test_output_has_a_limit) \
	X(test_recursion_ends) \
	X(test_reset_resets) \
	X(test_functions_do_not_see_each_other) \
	X(test_thousand_isolates_live) \
	X(test_ten_thousand_isolates_leave_nothing) \
	X(test_many_calls_leave_nothing) \
	X(test_clones_have_what_was_there) \
	X(test_clones_differ) \
	X(test_clones_have_compiled_code) \
	X(test_clones_keep_deadlines)

#define ENGINE_CASE_DECLARATION(fn) void fn(void);
ENGINE_CASES(ENGINE_CASE_DECLARATION)

#endif
