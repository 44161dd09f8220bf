/* A look at ramet.yaml with libyaml, along its top level only. */
#include "libramet/app_config_scan.h"

#include "cluster/client_proto.h"

#include <string.h>
#include <yaml.h>

struct scan {
	const char *name;
	yaml_document_t *doc;
	struct app_config_scan *found;
};

bool app_config_env_key(const char *key, size_t len)
{
	if (len == 0 || len > 128 || (key[0] >= '0' && key[0] <= '9'))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = key[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '_'))
			return false;
	}
	return true;
}

/* the text of a scalar, or NULL */
static const char *text_of(const yaml_node_t *node)
{
	return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value
						      : NULL;
}

static bool has(const struct strings *strings, const char *value)
{
	for (size_t i = 0; i < strings->count; i++)
		if (strcmp(strings->v[i], value) == 0)
			return true;
	return false;
}

static int scan_env(struct scan *s, const yaml_node_t *env, struct ramet_err *err)
{
	if (!env || env->type != YAML_MAPPING_NODE)
		return 0;
	for (const yaml_node_pair_t *p = env->data.mapping.pairs.start;
		p < env->data.mapping.pairs.top; p++) {
		const yaml_node_t *node = yaml_document_get_node(s->doc, p->key);
		const char *key = text_of(node);
		if (!key || has(&s->found->env_keys, key))
			continue; /* told by the check that follows */
		if (!app_config_env_key(key, strlen(key)))
			return err_set(err, RAMET_ECONFIG,
				"%s:%zu: env: \"%.60s\" cannot name an environment variable",
				s->name, node->start_mark.line + 1, key);
		if (s->found->env_keys.count >= CLIENT_MAX_ENV)
			return err_set(err, RAMET_ECONFIG, "%s:%zu: env: more than %d variables",
				s->name, node->start_mark.line + 1, CLIENT_MAX_ENV);
		int rc = strings_add(&s->found->env_keys, key, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int scan_key(
	struct scan *s, const yaml_node_t *node, const yaml_node_t *value, struct ramet_err *err)
{
	const char *key = text_of(node);
	if (!key)
		return 0;
	if (strcmp(key, "requirements") == 0)
		s->found->requirements_listed = value && value->type == YAML_SEQUENCE_NODE;
	return strcmp(key, "env") == 0 ? scan_env(s, value, err) : 0;
}

static int scan_root(struct scan *s, struct ramet_err *err)
{
	const yaml_node_t *root = yaml_document_get_root_node(s->doc);
	if (!root || root->type != YAML_MAPPING_NODE)
		return 0;
	for (const yaml_node_pair_t *p = root->data.mapping.pairs.start;
		p < root->data.mapping.pairs.top; p++) {
		int rc = scan_key(s, yaml_document_get_node(s->doc, p->key),
			yaml_document_get_node(s->doc, p->value), err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void app_config_scan_fini(struct app_config_scan *scan)
{
	strings_fini(&scan->env_keys);
}

int app_config_scan(const char *name, const char *text, size_t len,
	struct app_config_scan *ret_scan, struct ramet_err *err)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	CLEANUP(app_config_scan_fini) struct app_config_scan found = {0};
	struct scan scan = {name, &doc, &found};
	if (!yaml_parser_initialize(&parser))
		return err_nomem(err);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	int rc = 0;
	if (yaml_parser_load(&parser, &doc)) {
		rc = scan_root(&scan, err);
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
	if (rc < 0)
		return rc;
	*ret_scan = found;
	found = (struct app_config_scan){0};
	return 0;
}
