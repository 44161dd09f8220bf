/* The tables of all cases, and what their checks share. */
#include "tests/rfork/state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct state_case *const state_tables[] = {state_clocks, state_events, state_files,
	state_growth, state_mappings, state_memory, state_openmp, state_pipes, state_process,
	state_registers, state_threads, state_threads_fds, state_threads_kept,
	state_threads_refused, state_timers, NULL};

const struct state_case *state_find(const char *name)
{
	for (const struct state_case *const *table = state_tables; *table; table++)
		for (const struct state_case *c = *table; c->name; c++)
			if (strcmp(c->name, name) == 0)
				return c;
	return NULL;
}

unsigned state_patience(void)
{
	const char *factor = getenv("RAMET_TEST_PATIENCE");
	return factor ? (unsigned)strtoul(factor, NULL, 10) : 1;
}

const char *state_wrong(const char *fmt, ...)
{
	static char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return text;
}

const char *state_failed(const char *what)
{
	return state_wrong("%s: %s", what, strerror(errno));
}
