/* The check of a YAML text against a schema that comes before libcyaml loads it. Used by conf.c only. */
#ifndef BASE_CONF_CHECK_H
#define BASE_CONF_CHECK_H

#include "base/err.h"

#include <cyaml/cyaml.h>
#include <stdbool.h>
#include <stddef.h>

/* 0 and whether there is any content, or RAMET_ECONFIG with file, line, key and reason; RAMET_ENOMEM */
int conf_check(const char *name, const char *text, size_t len, const cyaml_schema_value_t *schema, bool *ret_empty,
	struct ramet_err *err);

#endif
