/* The verbs of the command line: each has a file of its own and one line in main.c's table. */
#ifndef CMD_RAMET_VERB_H
#define CMD_RAMET_VERB_H

/* argv[0] is the verb; returns the exit code (exit_code.h) */
typedef int verb_fn(int argc, char **argv);

struct verb {
	const char *name;
	verb_fn *fn;
	const char *summary;
};

verb_fn verb_burst, verb_cancel, verb_deploy, verb_doctor, verb_down, verb_functions, verb_invoke,
	verb_logs, verb_nodes, verb_ps, verb_remove, verb_rollback, verb_run, verb_secret,
	verb_seeds, verb_up, verb_wait;

#endif
