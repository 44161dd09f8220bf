/* Lists of the cluster. What a row says is decided by the table of columns; other keys of a row are
 * ignored. */
#include "cmd/ramet/list.h"

#include "base/err.h"
#include "cluster/client_proto.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/json.h"
#include "cmd/ramet/table.h"
#include "libramet/stream.h"

#include <stdio.h>

struct list_options {
	const char *what, *socket;
	uint64_t node;
	bool json;
};

static void pack(struct buf *b, const void *arg)
{
	const struct list_options *o = arg;
	wire_kstr(b, "what", o->what);
	wire_kuint(b, "node", o->node);
}

/* a value of a row; what is missing is has == false */
struct cell {
	bool has;
	uint64_t number;
	bool flag;
	char text[512];
};

static int get_cell(const struct wire_value *row, const struct column *column, struct cell *cell,
	struct ramet_err *err)
{
	cell->has = wire_has(row, column->key);
	if (!cell->has)
		return 0;
	switch (column->kind) {
	case COLUMN_STR:
	case COLUMN_VERSION:
		return wire_get_str(row, column->key, cell->text, sizeof(cell->text), err);
	case COLUMN_BOOL:
		return wire_get_bool_or(row, column->key, false, &cell->flag, err);
	default:
		return wire_get_uint(row, column->key, UINT64_MAX, &cell->number, err);
	}
}

static void json_cell(struct json *json, const struct column *column, const struct cell *cell)
{
	if (!cell->has || (column->kind == COLUMN_NODE && cell->number == 0))
		json_str(json, column->key, NULL);
	else if (column->kind == COLUMN_STR || column->kind == COLUMN_VERSION)
		json_str(json, column->key, cell->text);
	else if (column->kind == COLUMN_BOOL)
		json_bool(json, column->key, cell->flag);
	else
		json_uint(json, column->key, cell->number);
}

static int json_row(const struct wire_value *row, const struct column *columns, bool first,
	struct ramet_err *err)
{
	struct json json;
	fputs(first ? "\n" : ",\n", stdout);
	json_open(&json, stdout);
	for (const struct column *c = columns; c->key; c++) {
		struct cell cell = {0};
		int rc = get_cell(row, c, &cell, err);
		if (rc < 0)
			return rc;
		json_cell(&json, c, &cell);
	}
	json_close(&json);
	return 0;
}

static void text_cell(struct table *table, const struct column *column, const struct cell *cell)
{
	char figure[24];
	if (!cell->has || (column->kind == COLUMN_NODE && cell->number == 0))
		table_cell(table, "-");
	else if (column->kind == COLUMN_STR)
		table_cell(table, "%s", *cell->text ? cell->text : "-");
	else if (column->kind == COLUMN_VERSION)
		table_cell(table, "%.12s", cell->text);
	else if (column->kind == COLUMN_BOOL)
		table_cell(table, "%s", cell->flag ? "yes" : "no");
	else if (column->kind == COLUMN_BYTES)
		table_cell(table, "%s", table_bytes(figure, cell->number));
	else if (column->kind == COLUMN_MS)
		table_cell(table, "%s", table_ms(figure, cell->number));
	else
		table_cell(table, "%llu", (unsigned long long)cell->number);
}

static int text_rows(const struct wire_value *rows, uint32_t count, const struct column *columns,
	struct ramet_err *err)
{
	CLEANUP(table_fini) struct table table = {0};
	for (const struct column *c = columns; c->key; c++)
		if (c->title)
			table_column(&table, c->title,
				c->kind == COLUMN_UINT || c->kind == COLUMN_NODE ||
					c->kind == COLUMN_BYTES);
	for (uint32_t i = 0; i < count; i++) {
		for (const struct column *c = columns; c->key; c++) {
			struct cell cell = {0};
			int rc = get_cell(wire_at(rows, i), c, &cell, err);
			if (rc < 0)
				return rc;
			if (c->title)
				text_cell(&table, c, &cell);
		}
	}
	table_print(&table, stdout);
	return 0;
}

static int json_rows(const struct wire_value *rows, uint32_t count, const struct column *columns,
	struct ramet_err *err)
{
	int rc = 0;
	fputc('[', stdout);
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = json_row(wire_at(rows, i), columns, i == 0, err);
	fputs("\n]\n", stdout);
	return rc;
}

static int tell_silent(const struct wire_value *root, struct ramet_err *err)
{
	const struct wire_value *silent;
	uint32_t count;
	if (!wire_has(root, "silent"))
		return 0;
	int rc = wire_get_array(root, "silent", &silent, &count, err);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		uint64_t node;
		rc = wire_as_uint(wire_at(silent, i), UINT32_MAX, &node, err);
		if (rc == 0)
			fprintf(stderr, "node %llu did not answer: what it has is missing here\n",
				(unsigned long long)node);
	}
	return rc;
}

static int list(const struct list_options *o, const struct column *columns, struct ramet_err *err)
{
	auto_ramet struct ramet *ramet = NULL;
	auto_message struct message *message = NULL;
	const struct wire_value *rows;
	uint32_t count;
	int rc = ramet_open(o->socket, &ramet, err);
	if (rc == 0)
		rc = stream_request(
			ramet, "list", 2, pack, o, handle_deadline(10000), "rows", &message, err);
	if (rc == 0)
		rc = wire_get_array(message->root, "rows", &rows, &count, err);
	if (rc == 0)
		rc = o->json ? json_rows(rows, count, columns, err)
			     : text_rows(rows, count, columns, err);
	return rc != 0 ? rc : tell_silent(message->root, err);
}

int list_run(const struct list_verb *verb, int argc, char **argv)
{
	struct list_options o = {.what = verb->what};
	bool versions = false;
	const struct option with_versions = {"versions", 0, OPTION_FLAG, &versions, 0, NULL,
		"what functions are, and what they can go back to"};
	const struct option options[] = {
		{"node", 'N', OPTION_UINT, &o.node, UINT32_MAX, "N", "of this node only"},
		OPTION_JSON(&o.json),
		OPTION_SOCKET(&o.socket),
		verb->versions ? with_versions : (struct option){0},
		{0},
	};
	const struct usage usage = {verb->what, "[OPTION]...", verb->text, options, 0, 0};
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, NULL, &code))
		return code;
	const struct list_verb *asked = versions ? verb->versions : verb;
	o.what = asked->what;
	return list(&o, asked->columns, &err) < 0 ? exit_tell(verb->what, &err) : EXIT_OK;
}
