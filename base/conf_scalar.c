/* Single values of a configuration, by the type that the schema says; and telling what is wrong
 * with one. */
#include "base/cleanup.h"
#include "base/conf.h"
#include "base/conf_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int conf_fail(struct conf_check *c, const yaml_node_t *node, const char *fmt, ...)
{
	char reason[240];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	return err_set(c->err, RAMET_ECONFIG, "%s:%zu: %s%s%s", c->name, node->start_mark.line + 1,
		c->path, c->path[0] ? ": " : "", reason);
}

bool conf_same(const cyaml_schema_value_t *schema, const char *a, const char *b)
{
	return (schema->flags & CYAML_FLAG_CASE_INSENSITIVE ? strcasecmp(a, b) : strcmp(a, b)) == 0;
}

const char *conf_text(struct conf_check *c, const yaml_node_t *node, const char *what)
{
	const char *text = (const char *)node->data.scalar.value;
	if (node->type != YAML_SCALAR_NODE)
		conf_fail(c, node, "a %s where %s is expected",
			node->type == YAML_MAPPING_NODE ? "mapping" : "list", what);
	else if (strlen(text) != node->data.scalar.length)
		conf_fail(c, node, "text with a NUL in it");
	else
		return text;
	return NULL;
}

/* words joined for a message; what does not fit is left out */
static void join(const char *const *words, char *dst, size_t cap)
{
	size_t len = 0;
	dst[0] = '\0';
	for (; *words && len + strlen(*words) + 3 < cap; words++)
		len += (size_t)snprintf(dst + len, cap - len, "%s%s", len ? ", " : "", *words);
}

int conf_fail_word(struct conf_check *c, const yaml_node_t *node, const char *what,
	const char *text, const char *const *words)
{
	char all[160];
	const char *nearest = conf_nearest(text, words);
	if (nearest)
		return conf_fail(c, node, "%s; did you mean \"%s\"?", what, nearest);
	join(words, all, sizeof(all));
	return conf_fail(c, node, "%s; known are: %s", what, all);
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcasecmp(text, *words) == 0)
			return true;
	return false;
}

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

static int check_int(struct conf_check *c, const yaml_node_t *node, const char *text,
	const cyaml_schema_value_t *schema)
{
	if (!integer_form(text))
		return conf_fail(c, node, "\"%.40s\" is not a whole number", text);
	unsigned bits = 8 * schema->data_size;
	int64_t max = (int64_t)(UINT64_MAX >> (65 - bits)), min = -max - 1;
	errno = 0;
	long long value = strtoll(text, NULL, 0);
	if (errno || value < min || value > max)
		return conf_fail(c, node, "%.40s is not between %lld and %lld", text,
			(long long)min, (long long)max);
	return 0;
}

static int check_uint(struct conf_check *c, const yaml_node_t *node, const char *text,
	const cyaml_schema_value_t *schema)
{
	if (!integer_form(text))
		return conf_fail(c, node, "\"%.40s\" is not a whole number", text);
	uint64_t max = UINT64_MAX >> (64 - 8 * schema->data_size);
	errno = 0;
	unsigned long long value = strtoull(text, NULL, 0);
	if (errno || *text == '-' || value > max)
		return conf_fail(
			c, node, "%.40s is not between 0 and %llu", text, (unsigned long long)max);
	return 0;
}

static int check_float(struct conf_check *c, const yaml_node_t *node, const char *text)
{
	char *end;
	strtod(text, &end);
	return !*text || *end ? conf_fail(c, node, "\"%.40s\" is not a number", text) : 0;
}

static int check_bool(struct conf_check *c, const yaml_node_t *node, const char *text)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on", "off", NULL};
	return is_one_of(text, words)
		? 0
		: conf_fail(c, node, "\"%.40s\" is neither true nor false", text);
}

static int check_string(struct conf_check *c, const yaml_node_t *node, const char *text,
	const cyaml_schema_value_t *schema)
{
	size_t len = strlen(text);
	if (len < schema->string.min)
		return len ? conf_fail(c, node, "shorter than %u bytes", schema->string.min)
			   : conf_fail(c, node, "empty");
	return len > schema->string.max
		? conf_fail(c, node, "longer than %u bytes", schema->string.max)
		: 0;
}

int conf_check_word(struct conf_check *c, const yaml_node_t *node, const char *text,
	const cyaml_schema_value_t *schema)
{
	const char *words[CONF_WORDS_MAX + 1] = {NULL};
	char what[64];
	for (uint32_t i = 0; i < schema->enumeration.count; i++) {
		if (conf_same(schema, text, schema->enumeration.strings[i].str))
			return 0;
		if (i < CONF_WORDS_MAX)
			words[i] = schema->enumeration.strings[i].str;
	}
	snprintf(what, sizeof(what), "unknown value \"%.40s\"", text);
	return conf_fail_word(c, node, what, text, words);
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

int conf_check_scalar(
	struct conf_check *c, const yaml_node_t *node, const cyaml_schema_value_t *schema)
{
	const char *text = conf_text(c, node, kind(schema->type));
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
		return conf_check_word(c, node, text, schema);
	}
}
