/* ramet: the command line of a cluster. Which verb; everything else is in the verbs' files. */
#include "base/conf.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/verb.h"
#include "ramet/ramet.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct verb verbs[] = {
	{"up", verb_up, "start a cluster on this machine"},
	{"down", verb_down, "stop it and remove all that it made"},
	{"deploy", verb_deploy, "initialise a function once, so that it can be forked everywhere"},
	{"remove", verb_remove, "remove a function"},
	{"rollback", verb_rollback, "go back to an earlier version"},
	{"secret", verb_secret, "what functions get and nobody else sees"},
	{"run", verb_run, "deploy a file, call it N times at once, remove it"},
	{"invoke", verb_invoke, "call a function"},
	{"burst", verb_burst, "call a function in N instances at once"},
	{"wait", verb_wait, "wait for a detached call"},
	{"cancel", verb_cancel, "cancel a call or a burst"},
	{"ps", verb_ps, "list instances"},
	{"nodes", verb_nodes, "list nodes"},
	{"functions", verb_functions, "list functions"},
	{"seeds", verb_seeds, "list seeds"},
	{"logs", verb_logs, "what instances print"},
	{"doctor", verb_doctor, "what this machine and the cluster can do, and what is missing"},
};
static const unsigned verb_count = sizeof(verbs) / sizeof(verbs[0]);

static void print_help(FILE *out)
{
	fprintf(out,
		"Usage: ramet VERB [OPTION]... [ARGUMENT]...\n\n"
		"Import once, fork everywhere: a cluster runtime with remote fork.\n\nVerbs:\n");
	for (unsigned i = 0; i < verb_count; i++)
		fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
	fprintf(out,
		"\nEach verb has --help. Exit codes: 0 ok, 1 the function failed, 2 usage, "
		"3 no cluster, 4 refused,\n5 deadline, 6 lost, 7 cancelled.\n");
}

static int unknown_verb(const char *name)
{
	const char *names[sizeof(verbs) / sizeof(verbs[0]) + 1] = {NULL};
	for (unsigned i = 0; i < verb_count; i++)
		names[i] = verbs[i].name;
	const char *meant = conf_nearest(name, names);
	fprintf(stderr, "ramet: unknown verb \"%s\"%s%s%s\nTry: ramet --help\n", name,
		meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
	return EXIT_USAGE;
}

/* output that could not be written is no success; that nobody reads any more, as in `ramet ps |
 * head`, is */
static int finish(int code)
{
	struct pollfd p = {.fd = STDOUT_FILENO};
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (poll(&p, 1, 0) == 1 && (p.revents & POLLERR))
		return code;
	fputs("ramet: cannot write to standard output\n", stderr);
	return code == EXIT_OK ? EXIT_REFUSED : code;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	const char *name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_help(stdout);
		return finish(EXIT_OK);
	}
	if (strcmp(name, "--version") == 0) {
		printf("ramet %s\n", ramet_version());
		return EXIT_OK;
	}
	for (unsigned i = 0; i < verb_count; i++)
		if (strcmp(name, verbs[i].name) == 0)
			return finish(verbs[i].fn(argc - 1, argv + 1));
	return unknown_verb(name);
}
