/* Tables for people: cells are collected, then printed with every column as wide as it needs. */
#ifndef CMD_RAMET_TABLE_H
#define CMD_RAMET_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_MAX_COLUMNS 16

struct table {
	size_t columns;
	const char *titles[TABLE_MAX_COLUMNS];
	bool right[TABLE_MAX_COLUMNS]; /* numbers */
	char **cells; /* count of them, row by row */
	size_t count, cap;
};

void table_column(struct table *table, const char *title, bool right);
/* table_cell - the next cell; control characters are shown as '?'. Out of memory ends the program.
 */
void table_cell(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_print(const struct table *table, FILE *out);
void table_fini(struct table *table);

/* figures for people, into a buffer of 24 bytes */
const char *table_bytes(char dst[24], unsigned long long bytes); /* "1.3 MiB" */
const char *table_us(char dst[24], double us); /* "88 µs", "2.3 ms" */
const char *table_ms(char dst[24], unsigned long long ms); /* "3m 20s" */

#endif
