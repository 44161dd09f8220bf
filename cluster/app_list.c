/* Lists of short texts in a version: see app_list.h. */
#include "cluster/app_list.h"

#include "base/cleanup.h"
#include "cluster/app_version.h"
#include "cluster/bundle_archive.h"
#include "cluster/client_proto.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void app_list_fini(struct app_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		free(list->v[i]);
	free(list->v);
	*list = (struct app_list){0};
}

void app_list_pack(const struct app_list *list, const char *key, struct buf *b)
{
	wire_key(b, key);
	wire_array(b, list->count);
	for (uint32_t i = 0; i < list->count; i++)
		wire_str(b, list->v[i]);
}

static int parse_item(const struct wire_value *value, const struct app_list_rule *rule,
	char **ret_text, struct ramet_err *err)
{
	const char *span;
	size_t len;
	int rc = wire_as_span(value, &span, &len, err);
	if (rc < 0)
		return err_prefix(err, "%s", rule->key);
	if (len == 0 || len > CLIENT_PATH_MAX || memchr(span, 0, len))
		return err_set(err, RAMET_EINVAL, "%s: an item has %zu bytes: 1 to %u are allowed",
			rule->key, len, CLIENT_PATH_MAX);
	auto_free char *text = strndup(span, len);
	if (!text)
		return err_nomem(err);
	rc = rule->check(text, err);
	if (rc < 0)
		return err_prefix(err, "%s", rule->key);
	*ret_text = steal_ptr(&text);
	return 0;
}

int app_list_parse(const struct wire_value *map, const struct app_list_rule *rule,
	struct app_list *ret_list, struct ramet_err *err)
{
	const struct wire_value *array;
	uint32_t count;
	CLEANUP(app_list_fini) struct app_list list = {0};
	if (!wire_has(map, rule->key))
		return 0;
	int rc = wire_get_array(map, rule->key, &array, &count, err);
	if (rc < 0)
		return rc;
	if (count > rule->max)
		return err_set(err, RAMET_ELIMIT, "%s: %u items, more than %u", rule->key, count,
			rule->max);
	list.v = calloc(count + 1, sizeof(*list.v));
	if (!list.v)
		return err_nomem(err);
	for (uint32_t i = 0; i < count; i++) {
		rc = parse_item(wire_at(array, i), rule, &list.v[list.count], err);
		if (rc < 0)
			return rc;
		list.count++;
	}
	*ret_list = list;
	memset(&list, 0, sizeof(list));
	return 0;
}

/* --- what may stand in them --- */

int app_check_module(const char *text, struct ramet_err *err)
{
	static const char refused[] = " \t\r\n\\/:;,'\"()[]{}";
	size_t len = strlen(text);
	if (text[0] == '.' || text[len - 1] == '.' || strstr(text, "..") || strpbrk(text, refused))
		return err_set(err, RAMET_EINVAL,
			"\"%.100s\" is no module's name, as in numpy.linalg", text);
	return 0;
}

int app_check_requirement(const char *text, struct ramet_err *err)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return err_set(err, RAMET_EINVAL, "an item holds a control character");
	return 0;
}

int app_check_secret(const char *text, struct ramet_err *err)
{
	if (app_name_valid(text))
		return 0;
	return err_set(err, RAMET_EINVAL,
		"\"%.100s\" is no secret's name: use letters, digits, _ . -", text);
}

/* absolute, and the only way to write it: what is compared and shown is what was meant */
static bool absolute(const char *text)
{
	return text[0] == '/' && text[1] &&
		bundle_path_check(text + 1, strlen(text + 1), NULL) == 0;
}

int app_check_path(const char *text, struct ramet_err *err)
{
	if (text[0] == '/' ? absolute(text) : bundle_path_check(text, strlen(text), NULL) == 0)
		return 0;
	return err_set(err, RAMET_EINVAL,
		"\"%.200s\" is neither an absolute path nor one within the app's files, without "
		"empty "
		"parts, \".\" and \"..\"",
		text);
}

static bool below(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	return strncmp(path, dir, len) == 0 && (!path[len] || path[len] == '/');
}

int app_check_data(const char *text, struct ramet_err *err)
{
	static const char *const others[] = {"/proc", "/sys", "/dev", "/ramet"};
	if (!absolute(text))
		return err_set(err, RAMET_EINVAL,
			"\"%.200s\" is not an absolute path without empty parts, \".\" and \"..\"",
			text);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (below(text, others[i]))
			return err_set(err, RAMET_EINVAL,
				"\"%.200s\" cannot be shown: %s is the instances' own", text,
				others[i]);
	return 0;
}
