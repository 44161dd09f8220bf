/* Tables for people. Widths are counted in characters, not bytes. */
#include "cmd/ramet/table.h"

#include <err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void table_column(struct table *table, const char *title, bool right)
{
	if (table->columns == TABLE_MAX_COLUMNS)
		return;
	table->titles[table->columns] = title;
	table->right[table->columns++] = right;
}

void table_cell(struct table *table, const char *fmt, ...)
{
	char *text;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		errx(4, "out of memory");
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (table->count == table->cap) {
		table->cap = table->cap ? table->cap * 2 : 64;
		table->cells = reallocarray(table->cells, table->cap, sizeof(char *));
		if (!table->cells)
			errx(4, "out of memory");
	}
	table->cells[table->count++] = text;
}

static size_t width(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_cell(
	const struct table *table, FILE *out, size_t column, const char *text, size_t widest)
{
	int pad = (int)(widest - width(text));
	bool last = column + 1 == table->columns;
	if (table->right[column])
		fprintf(out, "%*s%s", pad, "", text);
	else
		fprintf(out, "%s%*s", text, last ? 0 : pad, "");
	fputs(last ? "\n" : "  ", out);
}

void table_print(const struct table *table, FILE *out)
{
	size_t widths[TABLE_MAX_COLUMNS];
	for (size_t c = 0; c < table->columns; c++)
		widths[c] = width(table->titles[c]);
	for (size_t i = 0; table->columns && i < table->count; i++) {
		size_t w = width(table->cells[i]), c = i % table->columns;
		if (w > widths[c])
			widths[c] = w;
	}
	for (size_t c = 0; c < table->columns; c++)
		print_cell(table, out, c, table->titles[c], widths[c]);
	for (size_t i = 0; table->columns && i < table->count; i++)
		print_cell(table, out, i % table->columns, table->cells[i],
			widths[i % table->columns]);
}

void table_fini(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){0};
}

const char *table_bytes(char dst[24], unsigned long long bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;
	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(dst, 24, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return dst;
}

const char *table_us(char dst[24], double us)
{
	if (us < 1000)
		snprintf(dst, 24, us < 10 ? "%.1f µs" : "%.0f µs", us);
	else if (us < 1e6)
		snprintf(dst, 24, us < 1e5 ? "%.1f ms" : "%.0f ms", us / 1e3);
	else
		snprintf(dst, 24, "%.1f s", us / 1e6);
	return dst;
}

const char *table_ms(char dst[24], unsigned long long ms)
{
	unsigned long long s = ms / 1000;
	if (s < 60)
		snprintf(dst, 24, "%llus", s);
	else if (s < 3600)
		snprintf(dst, 24, "%llum %llus", s / 60, s % 60);
	else
		snprintf(dst, 24, "%lluh %llum", s / 3600, s / 60 % 60);
	return dst;
}
