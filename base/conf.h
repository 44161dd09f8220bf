/* Configuration and manifests in YAML, into a struct that a libcyaml schema describes. Stricter than libcyaml: unknown,
 * repeated and missing keys, "3x" for a number, "maybe" for a truth value, aliases and a second document are errors,
 * and each names the file, the line and the key. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base/err.h"

#include <cyaml/cyaml.h>
#include <stddef.h>

#define CONF_MAX_BYTES (1u << 20)

/*
 * conf_load_file, conf_load_mem - schema is a mapping with CYAML_FLAG_POINTER; *ret_conf then points to its struct, to be
 * freed with conf_free() and the same schema. Optional keys that are missing leave zero or NULL. An empty text is a
 * mapping without keys. Integers are decimal or 0x…; truth values are true, false, yes, no, on, off. name stands for
 * the file in messages:
 *
 *	ramet.yaml:7: limits.mme: unknown key; did you mean "mem"?
 *
 * RAMET_ECONFIG: the content is not valid; RAMET_EIO: the file cannot be read; RAMET_ENOMEM. Any thread; blocks on the file.
 */
int conf_load_file(const char *path, const cyaml_schema_value_t *schema, void **ret_conf, struct ramet_err *err);
int conf_load_mem(const char *name, const char *text, size_t len, const cyaml_schema_value_t *schema, void **ret_conf,
	struct ramet_err *err);
void conf_free(const cyaml_schema_value_t *schema, void *conf); /* NULL is fine */

/* conf_nearest - that of the words (NULL-terminated) which word was probably meant to be, or NULL. For command names too. */
const char *conf_nearest(const char *word, const char *const *words);

#endif
