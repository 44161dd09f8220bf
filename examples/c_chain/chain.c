/* Chains two functions through the C library: deploys both, gives the output of the first to the
 * second, and prints how each instance came to be and how long it took.
 *
 *	c_chain [BELOW [DIR]]      BELOW: sum the primes below this (default 1000); DIR: where the
 *	                           two functions are (default: the source tree)
 *
 * RAMET_SOCKET or RAMET_DIR say which cluster, as for the command line. */
#include <ramet/ramet.h>

#include <stdio.h>
#include <stdlib.h>

#ifndef EXAMPLE_DIR
#define EXAMPLE_DIR "."
#endif

static const char *const functions[] = {"sieve", "summary"};

static void print_step(const struct ramet_result *result)
{
	printf("%-8s node %u  %-11s", result->function, result->node,
		ramet_start_name(result->start));
	if (result->first_instruction_us > 0)
		printf("  first instruction %8.1f us", result->first_instruction_us);
	printf("  in the function %9.1f us  in all %9.1f us\n", result->run_us, result->total_us);
}

static int deploy(struct ramet *ramet, const char *dir, struct ramet_err *err)
{
	for (int i = 0; i < 2; i++) {
		char path[4096];
		struct ramet_result *result = NULL;
		snprintf(path, sizeof(path), "%s/%s.py", dir, functions[i]);
		int rc = ramet_deploy(ramet, path, NULL, &result, err);
		if (rc == 0)
			printf("%-8s node %u  %-11s  loading %.1f ms\n", result->function,
				result->node, ramet_start_name(result->start),
				result->run_us / 1000);
		else if (result)
			fputs(result->failure->traceback, stderr);
		ramet_result_free(result);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* the second function's input is the first one's output: JSON text, passed on as it is */
static int chain(struct ramet *ramet, const char *below, struct ramet_err *err)
{
	char event[64];
	struct ramet_result *primes = NULL, *summary = NULL;
	int len = snprintf(event, sizeof(event), "{\"below\": %d}", atoi(below));
	int rc = ramet_call(ramet, functions[0], event, (size_t)len, NULL, &primes, err);
	if (rc == 0) {
		print_step(primes);
		rc = ramet_call(ramet, functions[1], primes->output, primes->output_len, NULL,
			&summary, err);
	}
	if (rc == 0) {
		print_step(summary);
		printf("%s\n", (const char *)summary->output);
	}
	ramet_result_free(primes);
	ramet_result_free(summary);
	return rc;
}

int main(int argc, char **argv)
{
	struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	int rc = ramet_open(NULL, &ramet, &err);
	if (rc == 0)
		rc = deploy(ramet, argc > 2 ? argv[2] : EXAMPLE_DIR, &err);
	if (rc == 0)
		rc = chain(ramet, argc > 1 ? argv[1] : "1000", &err);
	ramet_close(ramet);
	if (rc < 0) {
		fprintf(stderr, "c_chain: %s: %s\n", ramet_error_name(rc), err.msg);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
