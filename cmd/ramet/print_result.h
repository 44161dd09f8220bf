/* Printing results: for programs, the JSON object that DESIGN fixes; for people, output and a line
 * about the start. */
#ifndef CMD_RAMET_PRINT_RESULT_H
#define CMD_RAMET_PRINT_RESULT_H

#include "ramet/ramet.h"

#include <stdbool.h>
#include <stdio.h>

/* one line, one object; in a burst with rank and size */
void print_result_json(FILE *out, const struct ramet_result *result, bool burst);
/* output to stdout; a failure, and on a terminal how it started, to stderr */
void print_result_text(const char *verb, const struct ramet_result *result);
/* message, traceback, signal, last output */
void print_failure(const char *verb, const struct ramet_result *result);

#endif
