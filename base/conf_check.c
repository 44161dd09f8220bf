/* Walks a parsed YAML document along a schema and says what is wrong in the words of who wrote it.
 * Recursion is as deep as the schema. */
#include "base/conf_check.h"
#include "base/cleanup.h"
#include "base/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int check_value(struct conf_check *c, int number, const cyaml_schema_value_t *schema);

/* adds to the path; returns what to hand to path_leave() */
static size_t path_enter(struct conf_check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static size_t path_enter(struct conf_check *c, const char *fmt, ...)
{
	size_t len = strlen(c->path);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->path + len, sizeof(c->path) - len, fmt, ap);
	va_end(ap);
	return len;
}

static void path_leave(struct conf_check *c, size_t len)
{
	c->path[len] = '\0';
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

static const cyaml_schema_field_t *find_field(const cyaml_schema_value_t *schema, const char *key)
{
	for (const cyaml_schema_field_t *f = schema->mapping.fields; f->key; f++)
		if (conf_same(schema, key, f->key))
			return f;
	return NULL;
}

static int fail_key(struct conf_check *c, const yaml_node_t *node, const char *key,
	const cyaml_schema_value_t *schema)
{
	const char *words[CONF_WORDS_MAX + 1] = {NULL};
	unsigned count = 0;
	for (const cyaml_schema_field_t *f = schema->mapping.fields;
		f->key && count < CONF_WORDS_MAX; f++)
		words[count++] = f->key;
	return conf_fail_word(c, node, "unknown key", key, words);
}

/* line of the pair before `pair` with the same key, counted from 1, or 0 */
static size_t earlier(struct conf_check *c, const yaml_node_t *node, const yaml_node_pair_t *pair,
	const cyaml_schema_value_t *schema, const cyaml_schema_field_t *field)
{
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < pair; p++) {
		const yaml_node_t *key = yaml_document_get_node(c->doc, p->key);
		if (find_field(schema, (const char *)key->data.scalar.value) == field)
			return key->start_mark.line + 1;
	}
	return 0;
}

static int check_pair(struct conf_check *c, const yaml_node_t *node, const yaml_node_pair_t *pair,
	const cyaml_schema_value_t *schema)
{
	const yaml_node_t *key_node = yaml_document_get_node(c->doc, pair->key);
	const char *key = conf_text(c, key_node, "a key");
	if (!key)
		return RAMET_ECONFIG;
	size_t at = path_enter(c, "%s%.40s", c->path[0] ? "." : "", key);
	const cyaml_schema_field_t *field = find_field(schema, key);
	size_t before = field ? earlier(c, node, pair, schema, field) : 0;
	int rc;
	if (!field)
		rc = fail_key(c, key_node, key, schema);
	else if (before)
		rc = conf_fail(c, key_node, "is there already, on line %zu", before);
	else
		rc = check_value(c, pair->value, &field->value);
	path_leave(c, at);
	return rc;
}

static bool has_key(struct conf_check *c, const yaml_node_t *node,
	const cyaml_schema_value_t *schema, const char *wanted)
{
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
		p < node->data.mapping.pairs.top; p++)
		if (conf_same(schema,
			    (const char *)yaml_document_get_node(c->doc, p->key)->data.scalar.value,
			    wanted))
			return true;
	return false;
}

static int check_mapping(
	struct conf_check *c, const yaml_node_t *node, const cyaml_schema_value_t *schema)
{
	if (node->type != YAML_MAPPING_NODE)
		return conf_fail(c, node, "a mapping (key: value) is expected");
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
		p < node->data.mapping.pairs.top; p++) {
		int rc = check_pair(c, node, p, schema);
		if (rc < 0)
			return rc;
	}
	for (const cyaml_schema_field_t *f = schema->mapping.fields; f->key; f++)
		if (!(f->value.flags & CYAML_FLAG_OPTIONAL) && !has_key(c, node, schema, f->key))
			return conf_fail(c, node, "key \"%s\" is missing", f->key);
	return 0;
}

static int check_item(struct conf_check *c, int number, const cyaml_schema_value_t *schema)
{
	if (schema->type != CYAML_FLAGS)
		return check_value(c, number, schema->sequence.entry);
	const yaml_node_t *node = yaml_document_get_node(c->doc, number);
	const char *text = conf_text(c, node, "text");
	return text ? conf_check_word(c, node, text, schema) : RAMET_ECONFIG;
}

static int check_list(
	struct conf_check *c, const yaml_node_t *node, const cyaml_schema_value_t *schema)
{
	if (node->type != YAML_SEQUENCE_NODE)
		return conf_fail(c, node, "a list is expected");
	const yaml_node_item_t *items = node->data.sequence.items.start;
	size_t count = (size_t)(node->data.sequence.items.top - items);
	if (schema->type != CYAML_FLAGS && count < schema->sequence.min)
		return conf_fail(c, node, "fewer than %u entries", schema->sequence.min);
	if (schema->type != CYAML_FLAGS && count > schema->sequence.max)
		return conf_fail(c, node, "more than %u entries", schema->sequence.max);
	for (size_t i = 0; i < count; i++) {
		size_t at = path_enter(c, "[%zu]", i);
		int rc = check_item(c, items[i], schema);
		path_leave(c, at);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_value(struct conf_check *c, int number, const cyaml_schema_value_t *schema)
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
		return conf_check_scalar(c, node, schema);
	}
}

static int check_document(const char *name, yaml_parser_t *parser,
	const cyaml_schema_value_t *schema, struct ramet_err *err)
{
	yaml_document_t doc;
	if (!yaml_parser_load(parser, &doc))
		return conf_fail_parse(name, parser, err);
	struct conf_check c = {.name = name, .doc = &doc, .err = err};
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
	int rc = conf_scan(name, &parser, &empty, err);
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
