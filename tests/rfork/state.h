/* Process state that forks carry over, or refuse by name: one table of cases. Each is set up in a
 * host (state_host) before its capture; afterwards clones and the host check themselves. Its cure
 * is a fault point of the product: with that set the check must fail in clones. The cases of one
 * host live side by side and may not disturb each other. */
#ifndef TESTS_RFORK_STATE_H
#define TESTS_RFORK_STATE_H

#include <stdbool.h>
#include <stddef.h>

/* setup()'s results */
#define STATE_OK 0
#define STATE_NOT_HERE 1 /* the kernel lacks what the case is about: it is skipped */
#define STATE_BROKEN (-1) /* the set-up itself failed */

enum state_flag {
	STATE_ALONE = 1, /* a host of its own */
	STATE_FAR = 2, /* its cure shows only on a second node, with its clocks and missing pages */
	STATE_PIDS = 4, /* host and clones each in a PID namespace of their own; with STATE_ALONE */
	STATE_BUSY = 8, /* its threads run all the time, until it is checked: before the others */
};

struct state_case {
	const char *name; /* NULL ends a table */
	int (*setup)(void);
	/* In a clone, and in the host after its capture: NULL when all is as it should be, else
	 * what is not. They wait for nothing without a bound. NULL: nothing to check. */
	const char *(*check_child)(void);
	const char *(*check_parent)(void);
	const char *fault; /* the fault point that takes the cure out; NULL: there is no cure of
			      ours, the kernel does it */
	const char *refused; /* the capture must be refused with these words, and the host is
				unharmed */
	unsigned close_on_fork; /* the deployment's: enum safepoint_close */
	unsigned flags; /* enum state_flag */
};

/* each a table of its own file, state_*.c */
extern const struct state_case state_clocks[];
extern const struct state_case state_events[];
extern const struct state_case state_files[];
extern const struct state_case state_growth[];
extern const struct state_case state_mappings[];
extern const struct state_case state_memory[];
extern const struct state_case state_openmp[];
extern const struct state_case state_pipes[];
extern const struct state_case state_process[];
extern const struct state_case state_registers[];
extern const struct state_case state_threads[];
extern const struct state_case state_threads_fds[];
extern const struct state_case state_threads_kept[];
extern const struct state_case state_threads_refused[];
extern const struct state_case state_timers[];

extern const struct state_case *const state_tables[]; /* all, NULL at the end */

/* state_find - NULL: no such case */
const struct state_case *state_find(const char *name);

/* state_patience - how much longer all may take, and by how much what is measured in thousands is
 * less: RAMET_TEST_PATIENCE, in guests, else 1 */
unsigned state_patience(void);

/* for checks: what is wrong, in memory that the next call uses again */
const char *state_wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* and with errno */
const char *state_failed(const char *what);

/* STATE_EXPECT - ends a check whose condition does not hold */
#define STATE_EXPECT(cond) \
	do { \
		if (!(cond)) \
			return state_wrong("%s:%d: not %s", __func__, __LINE__, #cond); \
	} while (0)
#define STATE_EXPECT_INT(actual, expected) \
	do { \
		long long state_actual = (long long)(actual), \
			  state_expected = (long long)(expected); \
		if (state_actual != state_expected) \
			return state_wrong("%s:%d: %s is %lld (%#llx), not %lld", __func__, \
				__LINE__, #actual, state_actual, (unsigned long long)state_actual, \
				state_expected); \
	} while (0)

#endif
