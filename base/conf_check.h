/* The check of a YAML text against a schema that comes before libcyaml loads it. Used by conf_*.c only:
 * conf_scan.c what the text may be at all, conf_check.c mappings and lists, conf_scalar.c single values. */
#ifndef BASE_CONF_CHECK_H
#define BASE_CONF_CHECK_H

#include "base/err.h"

#include <cyaml/cyaml.h>
#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

/* 0 and whether there is any content, or RAMET_ECONFIG with file, line, key and reason; RAMET_ENOMEM */
int conf_check(const char *name, const char *text, size_t len, const cyaml_schema_value_t *schema, bool *ret_empty,
	struct ramet_err *err);

/* a pass over the parser's events: syntax, depth, one document, no aliases */
int conf_scan(const char *name, yaml_parser_t *parser, bool *ret_empty, struct ramet_err *err);
int conf_fail_parse(const char *name, const yaml_parser_t *parser, struct ramet_err *err); /* tells the parser's error */

#define CONF_PATH_CAP 160
#define CONF_WORDS_MAX 64 /* keys or values that are offered as "did you mean" */

struct conf_check {
	const char *name;
	yaml_document_t *doc;
	char path[CONF_PATH_CAP]; /* "limits.mem", "items[2].path" */
	struct ramet_err *err;
};

/* both return RAMET_ECONFIG; conf_fail_word adds the nearest of the words, or all of them */
int conf_fail(struct conf_check *c, const yaml_node_t *node, const char *fmt, ...) PRINTF_LIKE(3, 4);
int conf_fail_word(struct conf_check *c, const yaml_node_t *node, const char *what, const char *text,
	const char *const *words);
/* the node's text; NULL if it is none, which has been told */
const char *conf_text(struct conf_check *c, const yaml_node_t *node, const char *what);
bool conf_same(const cyaml_schema_value_t *schema, const char *a, const char *b);

int conf_check_scalar(struct conf_check *c, const yaml_node_t *node, const cyaml_schema_value_t *schema);
/* of an enum or one of a list of flags */
int conf_check_word(struct conf_check *c, const yaml_node_t *node, const char *text, const cyaml_schema_value_t *schema);

#endif
