/* Walks a parsed YAML document along a schema and says what is wrong in the words of who wrote it.
 * Recursion is as deep as the schema; every node is visited once, so that aliases cannot multiply
 * the work. */
#include "base/conf_check.h"
#include "base/cleanup.h"
#include "base/conf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#define DEPTH_MAX 32
#define PATH_CAP 160
#define KEYS_MAX 64 /* of one mapping that are offered as "did you mean" */

struct check {
	const char *name;
	yaml_document_t *doc;
	char path[PATH_CAP];
	struct ramet_err *err;
};

static int check_value(struct check *c, int number, const cyaml_schema_value_t *schema);

static int fail(struct check *c, const yaml_node_t *node, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int fail(struct check *c, const yaml_node_t *node, const char *fmt, ...)
{
	char reason[240];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	return err_set(c->err, RAMET_ECONFIG, "%s:%zu: %s%s%s", c->name, node->start_mark.line + 1,
		c->path, c->path[0] ? ": " : "", reason);
}

/* adds to the path; returns what to hand to path_leave() */
static size_t path_enter(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static size_t path_enter(struct check *c, const char *fmt, ...)
{
	size_t len = strlen(c->path);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->path + len, sizeof(c->path) - len, fmt, ap);
	va_end(ap);
	return len;
}

static void path_leave(struct check *c, size_t len)
{
	c->path[len] = '\0';
}

static bool same(const cyaml_schema_value_t *schema, const char *a, const char *b)
{
	return (schema->flags & CYAML_FLAG_CASE_INSENSITIVE ? strcasecmp(a, b) : strcmp(a, b)) == 0;
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcasecmp(text, *words) == 0)
			return true;
	return false;
}

/* the node's text; NULL if it is none, which has been told */
static const char *scalar(struct check *c, const yaml_node_t *node, const char *what)
{
	const char *text = (const char *)node->data.scalar.value;
	if (node->type != YAML_SCALAR_NODE)
		fail(c, node, "a %s where %s is expected",
			node->type == YAML_MAPPING_NODE ? "mapping" : "list", what);
	else if (strlen(text) != node->data.scalar.length)
		fail(c, node, "text with a NUL in it");
	else
		return text;
	return NULL;
}

static bool is_null(const yaml_node_t *node, const cyaml_schema_value_t *schema)
{
	static const char *const nulls[] = {"null", "Null", "NULL", "~"};
	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	const char *text = (const char *)node->data.scalar.value;
	if ((schema->flags & CYAML_FLAG_POINTER_NULL) == CYAML_FLAG_POINTER_NULL && !*text)
		return true;
	if ((schema->flags & CYAML_FLAG_POINTER_NULL_STR) == CYAML_FLAG_POINTER_NULL_STR)
		for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
			if (strcmp(text, nulls[i]) == 0)
				return true;
	return false;
}

/* --- scalars --- */

/* decimal without leading zeros, or 0x…: what libcyaml would read as octal is not accepted */
static bool integer_form(const char *text)
{
	text += *text == '-';
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return text[2] && strspn(text + 2, "0123456789abcdefABCDEF") == strlen(text + 2);
	if (text[0] == '0' && text[1])
		return false;
	return *text && strspn(text, "0123456789") == strlen(text);
}

static int check_int(struct check *c, const yaml_node_t *node, const char *text,
	const cyaml_schema_value_t *schema)
{
	if (!integer_form(text))
		return fail(c, node, "\"%.40s\" is not a whole number", text);
	unsigned bits = 8 * schema->data_size;
	int64_t max = (int64_t)(UINT64_MAX >> (65 - bits)), min = -max - 1;
	errno = 0;
	long long value = strtoll(text, NULL, 0);
	if (errno || value < min || value > max)
		return fail(c, node, "%.40s is not between %lld and %lld", text, (long long)min,
			(long long)max);
	return 0;
}

static int check_uint(struct check *c, const yaml_node_t *node, const char *text,
	const cyaml_schema_value_t *schema)
{
	if (!integer_form(text))
		return fail(c, node, "\"%.40s\" is not a whole number", text);
	uint64_t max = UINT64_MAX >> (64 - 8 * schema->data_size);
	errno = 0;
	unsigned long long value = strtoull(text, NULL, 0);
	if (errno || *text == '-' || value > max)
		return fail(
			c, node, "%.40s is not between 0 and %llu", text, (unsigned long long)max);
	return 0;
}

static int check_float(struct check *c, const yaml_node_t *node, const char *text)
{
	char *end;
	strtod(text, &end);
	return !*text || *end ? fail(c, node, "\"%.40s\" is not a number", text) : 0;
}

static int check_bool(struct check *c, const yaml_node_t *node, const char *text)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on", "off", NULL};
	return is_one_of(text, words) ? 0
				      : fail(c, node, "\"%.40s\" is neither true nor false", text);
}

static int check_string(struct check *c, const yaml_node_t *node, const char *text,
	const cyaml_schema_value_t *schema)
{
	size_t len = strlen(text);
	if (len < schema->string.min)
		return len ? fail(c, node, "shorter than %u bytes", schema->string.min)
			   : fail(c, node, "empty");
	return len > schema->string.max ? fail(c, node, "longer than %u bytes", schema->string.max)
					: 0;
}

/* words joined for a message; what does not fit is left out */
static void join(const char *const *words, char *dst, size_t cap)
{
	size_t len = 0;
	dst[0] = '\0';
	for (; *words && len + strlen(*words) + 3 < cap; words++)
		len += (size_t)snprintf(dst + len, cap - len, "%s%s", len ? ", " : "", *words);
}

static int fail_word(struct check *c, const yaml_node_t *node, const char *what, const char *text,
	const char *const *words)
{
	char all[160];
	const char *nearest = conf_nearest(text, words);
	if (nearest)
		return fail(c, node, "%s; did you mean \"%s\"?", what, nearest);
	join(words, all, sizeof(all));
	return fail(c, node, "%s; known are: %s", what, all);
}

static int check_enum(struct check *c, const yaml_node_t *node, const char *text,
	const cyaml_schema_value_t *schema)
{
	const char *words[KEYS_MAX + 1] = {NULL};
	char what[64];
	for (uint32_t i = 0; i < schema->enumeration.count; i++) {
		if (same(schema, text, schema->enumeration.strings[i].str))
			return 0;
		if (i < KEYS_MAX)
			words[i] = schema->enumeration.strings[i].str;
	}
	snprintf(what, sizeof(what), "unknown value \"%.40s\"", text);
	return fail_word(c, node, what, text, words);
}

static const char *kind(cyaml_type_e type)
{
	switch (type) {
	case CYAML_INT:
	case CYAML_UINT:
		return "a whole number";
	case CYAML_FLOAT:
		return "a number";
	case CYAML_BOOL:
		return "true or false";
	default:
		return "text";
	}
}

static int check_scalar(
	struct check *c, const yaml_node_t *node, const cyaml_schema_value_t *schema)
{
	const char *text = scalar(c, node, kind(schema->type));
	if (!text)
		return RAMET_ECONFIG;
	switch (schema->type) {
	case CYAML_INT:
		return check_int(c, node, text, schema);
	case CYAML_UINT:
		return check_uint(c, node, text, schema);
	case CYAML_BOOL:
		return check_bool(c, node, text);
	case CYAML_FLOAT:
		return check_float(c, node, text);
	case CYAML_STRING:
		return check_string(c, node, text, schema);
	default:
		return check_enum(c, node, text, schema);
	}
}

/* --- mappings and lists --- */

static const cyaml_schema_field_t *find_field(const cyaml_schema_value_t *schema, const char *key)
{
	for (const cyaml_schema_field_t *f = schema->mapping.fields; f->key; f++)
		if (same(schema, key, f->key))
			return f;
	return NULL;
}

static int fail_key(struct check *c, const yaml_node_t *node, const char *key,
	const cyaml_schema_value_t *schema)
{
	const char *words[KEYS_MAX + 1] = {NULL};
	unsigned count = 0;
	for (const cyaml_schema_field_t *f = schema->mapping.fields; f->key && count < KEYS_MAX;
		f++)
		words[count++] = f->key;
	return fail_word(c, node, "unknown key", key, words);
}

/* line of the pair before `pair` with the same key, counted from 1, or 0 */
static size_t earlier(struct check *c, const yaml_node_t *node, const yaml_node_pair_t *pair,
	const cyaml_schema_value_t *schema, const cyaml_schema_field_t *field)
{
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < pair; p++) {
		const yaml_node_t *key = yaml_document_get_node(c->doc, p->key);
		if (find_field(schema, (const char *)key->data.scalar.value) == field)
			return key->start_mark.line + 1;
	}
	return 0;
}

static int check_pair(struct check *c, const yaml_node_t *node, const yaml_node_pair_t *pair,
	const cyaml_schema_value_t *schema)
{
	const yaml_node_t *key_node = yaml_document_get_node(c->doc, pair->key);
	const char *key = scalar(c, key_node, "a key");
	if (!key)
		return RAMET_ECONFIG;
	size_t at = path_enter(c, "%s%.40s", c->path[0] ? "." : "", key);
	const cyaml_schema_field_t *field = find_field(schema, key);
	size_t before = field ? earlier(c, node, pair, schema, field) : 0;
	int rc;
	if (!field)
		rc = fail_key(c, key_node, key, schema);
	else if (before)
		rc = fail(c, key_node, "is there already, on line %zu", before);
	else
		rc = check_value(c, pair->value, &field->value);
	path_leave(c, at);
	return rc;
}

static bool has_key(struct check *c, const yaml_node_t *node, const cyaml_schema_value_t *schema,
	const char *wanted)
{
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
		p < node->data.mapping.pairs.top; p++)
		if (same(schema,
			    (const char *)yaml_document_get_node(c->doc, p->key)->data.scalar.value,
			    wanted))
			return true;
	return false;
}

static int check_mapping(
	struct check *c, const yaml_node_t *node, const cyaml_schema_value_t *schema)
{
	if (node->type != YAML_MAPPING_NODE)
		return fail(c, node, "a mapping (key: value) is expected");
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
		p < node->data.mapping.pairs.top; p++) {
		int rc = check_pair(c, node, p, schema);
		if (rc < 0)
			return rc;
	}
	for (const cyaml_schema_field_t *f = schema->mapping.fields; f->key; f++)
		if (!(f->value.flags & CYAML_FLAG_OPTIONAL) && !has_key(c, node, schema, f->key))
			return fail(c, node, "key \"%s\" is missing", f->key);
	return 0;
}

static int check_item(struct check *c, int number, const cyaml_schema_value_t *schema)
{
	if (schema->type != CYAML_FLAGS)
		return check_value(c, number, schema->sequence.entry);
	const yaml_node_t *node = yaml_document_get_node(c->doc, number);
	const char *text = scalar(c, node, "text");
	return text ? check_enum(c, node, text, schema) : RAMET_ECONFIG;
}

static int check_list(struct check *c, const yaml_node_t *node, const cyaml_schema_value_t *schema)
{
	if (node->type != YAML_SEQUENCE_NODE)
		return fail(c, node, "a list is expected");
	const yaml_node_item_t *items = node->data.sequence.items.start;
	size_t count = (size_t)(node->data.sequence.items.top - items);
	if (schema->type != CYAML_FLAGS && count < schema->sequence.min)
		return fail(c, node, "fewer than %u entries", schema->sequence.min);
	if (schema->type != CYAML_FLAGS && count > schema->sequence.max)
		return fail(c, node, "more than %u entries", schema->sequence.max);
	for (size_t i = 0; i < count; i++) {
		size_t at = path_enter(c, "[%zu]", i);
		int rc = check_item(c, items[i], schema);
		path_leave(c, at);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_value(struct check *c, int number, const cyaml_schema_value_t *schema)
{
	const yaml_node_t *node = yaml_document_get_node(c->doc, number);
	if (is_null(node, schema))
		return 0;
	switch (schema->type) {
	case CYAML_MAPPING:
		return check_mapping(c, node, schema);
	case CYAML_SEQUENCE:
	case CYAML_SEQUENCE_FIXED:
	case CYAML_FLAGS:
		return check_list(c, node, schema);
	case CYAML_BITFIELD:
	case CYAML_IGNORE:
		return 0; /* libcyaml's to judge */
	default:
		return check_scalar(c, node, schema);
	}
}

/* --- the text --- */

static int fail_parse(const char *name, const yaml_parser_t *parser, struct ramet_err *err)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return err_nomem(err);
	return err_set(err, RAMET_ECONFIG, "%s:%zu: %s%s%s", name, parser->problem_mark.line + 1,
		parser->context ? parser->context : "", parser->context ? ": " : "",
		parser->problem ? parser->problem : "not YAML");
}

struct scan {
	unsigned depth, documents;
	bool ended;
};

static int scan_event(
	const char *name, struct scan *scan, const yaml_event_t *event, struct ramet_err *err)
{
	size_t line = event->start_mark.line + 1;
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return err_set(err, RAMET_ECONFIG, "%s:%zu: anchors and aliases are not supported",
			name, line);
	case YAML_DOCUMENT_START_EVENT:
		if (scan->documents++)
			return err_set(err, RAMET_ECONFIG, "%s:%zu: a second document", name, line);
		return 0;
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		if (scan->depth++ == DEPTH_MAX)
			return err_set(err, RAMET_ECONFIG, "%s:%zu: nested deeper than %d", name,
				line, DEPTH_MAX);
		return 0;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		scan->depth--;
		return 0;
	default:
		scan->ended = event->type == YAML_STREAM_END_EVENT;
		return 0;
	}
}

/* the first pass; *ret_empty: there is no document */
static int scan_text(
	const char *name, yaml_parser_t *parser, bool *ret_empty, struct ramet_err *err)
{
	struct scan scan = {0};
	while (!scan.ended) {
		yaml_event_t event;
		if (!yaml_parser_parse(parser, &event))
			return fail_parse(name, parser, err);
		int rc = scan_event(name, &scan, &event, err);
		yaml_event_delete(&event);
		if (rc < 0)
			return rc;
	}
	*ret_empty = scan.documents == 0;
	return 0;
}

static int check_document(const char *name, yaml_parser_t *parser,
	const cyaml_schema_value_t *schema, struct ramet_err *err)
{
	yaml_document_t doc;
	if (!yaml_parser_load(parser, &doc))
		return fail_parse(name, parser, err);
	struct check c = {.name = name, .doc = &doc, .err = err};
	int rc = check_value(&c, 1, schema); /* the root's number */
	yaml_document_delete(&doc);
	return rc;
}

/* a text without content must still have all keys that are not optional */
static int check_empty(const char *name, const cyaml_schema_value_t *schema, struct ramet_err *err)
{
	for (const cyaml_schema_field_t *f = schema->mapping.fields; f->key; f++)
		if (!(f->value.flags & CYAML_FLAG_OPTIONAL))
			return err_set(err, RAMET_ECONFIG, "%s: empty; key \"%s\" is missing", name,
				f->key);
	return 0;
}

static bool parser_start(yaml_parser_t *parser, const char *text, size_t len)
{
	if (!yaml_parser_initialize(parser))
		return false;
	yaml_parser_set_input_string(parser, (const unsigned char *)text, len);
	return true;
}

int conf_check(const char *name, const char *text, size_t len, const cyaml_schema_value_t *schema,
	bool *ret_empty, struct ramet_err *err)
{
	yaml_parser_t parser;
	bool empty = false;
	if (!parser_start(&parser, text, len))
		return err_nomem(err);
	int rc = scan_text(name, &parser, &empty, err);
	yaml_parser_delete(&parser);
	if (rc == 0 && empty) {
		rc = check_empty(name, schema, err);
	} else if (rc == 0) {
		if (!parser_start(&parser, text, len))
			return err_nomem(err);
		rc = check_document(name, &parser, schema, err);
		yaml_parser_delete(&parser);
	}
	if (rc == 0)
		*ret_empty = empty;
	return rc;
}
