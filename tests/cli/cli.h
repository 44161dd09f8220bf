/* Running the command line in a test: exit code, stdout and stderr. */
#ifndef TESTS_CLI_CLI_H
#define TESTS_CLI_CLI_H

#define CLI_MAX_OUTPUT 65536

struct cli {
	int code; /* exit code; 128 + signal when it was killed */
	char out[CLI_MAX_OUTPUT], err[CLI_MAX_OUTPUT]; /* cut to size */
};

/* cli_run - `ramet` with arguments, NULL at the end; stdin is empty */
void cli_run(struct cli *cli, ...) __attribute__((sentinel));
/* cli_check - run it, and the exit code must be this one; what it printed is shown if not */
#define cli_check(cli, expected, ...) \
	do { \
		cli_run((cli), __VA_ARGS__, NULL); \
		if (!CHECK_INT((cli)->code, (expected))) \
			printf("  stdout: %s\n  stderr: %s\n", (cli)->out, (cli)->err); \
	} while (0)

#endif
