/* Lists of the cluster: rows from rametd, as a table or as JSON, by one table of columns for each
 * list. */
#ifndef CMD_RAMET_LIST_H
#define CMD_RAMET_LIST_H

#include <stdbool.h>

enum column_kind {
	COLUMN_STR,
	COLUMN_UINT,
	COLUMN_NODE, /* a number; 0 is none: null, "-" */
	COLUMN_BOOL,
	COLUMN_BYTES,
	COLUMN_MS,
	COLUMN_VERSION
};

struct column {
	const char *key; /* NULL ends a table of columns */
	enum column_kind kind;
	const char *title; /* NULL: only in JSON */
};

struct list_verb {
	const char *what; /* the verb, and what to ask for */
	const char *text; /* for --help */
	const struct column *columns;
	const struct list_verb
		*versions; /* what it lists with --versions; NULL: there is no such option */
};

/* list_run - the whole verb: options, request, printing */
int list_run(const struct list_verb *list, int argc, char **argv);

#endif
