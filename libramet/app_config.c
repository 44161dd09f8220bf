/* ramet.yaml: the schema that base/conf.h checks it against, and what it then has to say beyond
 * types. */
#include "libramet/app_config.h"

#include "base/conf.h"
#include "base/file.h"
#include "base/parse.h"
#include "cluster/client_proto.h"
#include "libramet/app_config_scan.h"

#include <stdlib.h>
#include <string.h>

/* What libcyaml fills in; limits are text, because they have units. */
struct raw_limits {
	char *mem, *heap, *cpu, *deadline, *output;
	uint64_t pids;
};

struct raw {
	char *name, *app, *lang, *handler, *python, *fresh, *bind, *init, *samples;
	char **files, **close_on_fork, **modules, **path, **data;
	unsigned files_count, close_on_fork_count, modules_count, path_count, data_count;
	char *requirements_file, **requirements; /* one of them */
	char **secrets;
	unsigned secrets_count;
	struct app_function_config *functions;
	unsigned functions_count;
	unsigned requirements_count;
	char **env; /* values, in the order of the keys that the scan found */
	struct raw_limits *limits;
	bool idempotent;
};

static const cyaml_schema_value_t file_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CLIENT_PATH_MAX),
};

static const cyaml_schema_value_t name_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CLIENT_NAME_MAX),
};

static const cyaml_schema_value_t word_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 15),
};

static const cyaml_schema_field_t function_fields[] = {
	CYAML_FIELD_STRING_PTR(
		"name", CYAML_FLAG_POINTER, struct app_function_config, name, 1, CLIENT_NAME_MAX),
	CYAML_FIELD_STRING_PTR("handler", CYAML_FLAG_POINTER, struct app_function_config, handler,
		1, CLIENT_PATH_MAX + 129),
	CYAML_FIELD_STRING_PTR("lang", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct app_function_config, lang, 1, 15),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t function_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct app_function_config, function_fields),
};

static const cyaml_schema_field_t limits_fields[] = {
	CYAML_FIELD_STRING_PTR(
		"mem", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_limits, mem, 1, 32),
	CYAML_FIELD_STRING_PTR(
		"heap", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_limits, heap, 1, 32),
	CYAML_FIELD_STRING_PTR(
		"cpu", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_limits, cpu, 1, 32),
	CYAML_FIELD_STRING_PTR("deadline", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct raw_limits, deadline, 1, 32),
	CYAML_FIELD_STRING_PTR("output", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct raw_limits, output, 1, 32),
	CYAML_FIELD_UINT("pids", CYAML_FLAG_OPTIONAL, struct raw_limits, pids),
	CYAML_FIELD_END,
};

#define LIST(key, schema, most) \
	CYAML_FIELD_SEQUENCE( \
		#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, key, schema, 1, most)
#define TEXT(key, max) \
	CYAML_FIELD_STRING_PTR( \
		#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, key, 1, max)

static const cyaml_schema_field_t fixed_fields[] = {
	TEXT(name, CLIENT_NAME_MAX),
	TEXT(app, CLIENT_NAME_MAX),
	TEXT(lang, 15),
	TEXT(handler, CLIENT_PATH_MAX + 129),
	TEXT(python, CLIENT_PATH_MAX),
	TEXT(fresh, 15),
	TEXT(bind, 15),
	TEXT(init, CLIENT_PATH_MAX + 129),
	TEXT(samples, CLIENT_PATH_MAX),
	LIST(files, &file_schema, APP_CONFIG_MAX_ITEMS),
	LIST(functions, &function_schema, CLIENT_MAX_FUNCTIONS),
	LIST(modules, &file_schema, CLIENT_MAX_MODULES),
	LIST(path, &file_schema, CLIENT_MAX_PATH),
	LIST(data, &file_schema, CLIENT_MAX_DATA),
	LIST(secrets, &name_schema, CLIENT_MAX_SECRETS),
	LIST(close_on_fork, &word_schema, 16),
	CYAML_FIELD_MAPPING_PTR("limits", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw,
		limits, limits_fields),
	CYAML_FIELD_BOOL("idempotent", CYAML_FLAG_OPTIONAL, struct raw, idempotent),
};
#define FIXED ARRAY_LEN(fixed_fields)

/* The schema of one file: libcyaml has no mappings with free keys, so those of env become fields of
 * their own. */
struct schema {
	cyaml_schema_field_t fields[FIXED + 3];
	cyaml_schema_field_t env_fields[CLIENT_MAX_ENV + 1];
	cyaml_schema_value_t root;
};

static void schema_init(struct schema *s, const struct app_config_scan *scan)
{
	static const cyaml_schema_field_t end = CYAML_FIELD_END;
	static const cyaml_schema_field_t listed =
		LIST(requirements, &file_schema, CLIENT_MAX_REQUIREMENTS);
	static const cyaml_schema_field_t file =
		CYAML_FIELD_STRING_PTR("requirements", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			struct raw, requirements_file, 1, CLIENT_PATH_MAX);
	const struct strings *env_keys = &scan->env_keys;
	memcpy(s->fields, fixed_fields, sizeof(fixed_fields));
	for (size_t i = 0; i < env_keys->count; i++)
		s->env_fields[i] = (cyaml_schema_field_t){
			.key = env_keys->v[i],
			.data_offset = (uint32_t)(i * sizeof(char *)),
			.value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, 65535)},
		};
	s->env_fields[env_keys->count] = end;
	s->fields[FIXED] = (cyaml_schema_field_t){
		.key = "env",
		.data_offset = offsetof(struct raw, env),
		.value =
			{
				.type = CYAML_MAPPING,
				.flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				.data_size = (uint32_t)(MAX(env_keys->count, 1u) * sizeof(char *)),
				.mapping = {.fields = s->env_fields},
			},
	};
	s->fields[FIXED + 1] = scan->requirements_listed ? listed : file;
	s->fields[FIXED + 2] = end;
	s->root = (cyaml_schema_value_t){
		CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, s->fields)};
}

int strings_add(struct strings *strings, const char *value, struct ramet_err *err)
{
	char **v = reallocarray(strings->v, strings->count + 2, sizeof(*v));
	if (!v)
		return err_nomem(err);
	strings->v = v;
	v[strings->count] = strdup(value);
	if (!v[strings->count])
		return err_nomem(err);
	v[++strings->count] = NULL;
	return 0;
}

void strings_fini(struct strings *strings)
{
	for (size_t i = 0; i < strings->count; i++)
		free(strings->v[i]);
	free(strings->v);
	*strings = (struct strings){0};
}

void app_config_fini(struct app_config *config)
{
	free(config->name);
	free(config->app);
	free(config->lang);
	free(config->handler);
	free(config->python);
	free(config->fresh);
	free(config->bind);
	free(config->init);
	free(config->samples);
	for (size_t i = 0; i < config->nfunctions; i++) {
		free(config->functions[i].name);
		free(config->functions[i].handler);
		free(config->functions[i].lang);
	}
	free(config->functions);
	strings_fini(&config->files);
	strings_fini(&config->modules);
	strings_fini(&config->path);
	strings_fini(&config->data);
	strings_fini(&config->secrets);
	strings_fini(&config->requirements);
	free(config->requirements_file);
	strings_fini(&config->env);
	*config = (struct app_config){0};
}

int app_config_env(struct app_config *config, const char *pair, struct ramet_err *err)
{
	size_t len = strcspn(pair, "=");
	if (!pair[len] || !app_config_env_key(pair, len))
		return err_set(err, RAMET_EINVAL,
			"\"%.60s\" is not KEY=value with a KEY of letters, digits and _", pair);
	for (size_t i = 0; i < config->env.count; i++) {
		if (strncmp(config->env.v[i], pair, len + 1) != 0)
			continue;
		char *copy = strdup(pair);
		if (!copy)
			return err_nomem(err);
		free(config->env.v[i]);
		config->env.v[i] = copy;
		return 0;
	}
	if (config->env.count >= CLIENT_MAX_ENV)
		return err_set(
			err, RAMET_ELIMIT, "more than %d environment variables", CLIENT_MAX_ENV);
	return strings_add(&config->env, pair, err);
}

static int wrong(const char *file, const char *key, const char *value, const char *expected,
	struct ramet_err *err)
{
	return err_set(err, RAMET_ECONFIG, "%s: %s: \"%s\" is not %s", file, key, value, expected);
}

static int get_bytes(
	const char *file, const char *key, const char *text, uint64_t *ret, struct ramet_err *err)
{
	if (text && (parse_bytes(text, ret) < 0 || *ret == 0))
		return wrong(file, key, text, "a size, as in 512M", err);
	return 0;
}

/* "1.5": thousandths of a core */
static int get_cores(
	const char *file, const char *key, const char *text, uint64_t *ret, struct ramet_err *err)
{
	char digits[4] = "000";
	char whole[8];
	uint64_t cores, rest;
	if (!text)
		return 0;
	size_t len = strcspn(text, ".");
	const char *fraction = text[len] ? text + len + 1 : "0";
	if (snprintf(whole, sizeof(whole), "%.*s", (int)len, text) >= (int)sizeof(whole) ||
		strlen(fraction) >= sizeof(digits))
		return wrong(file, key, text, "a number of cores, as in 1.5", err);
	memcpy(digits, fraction, strlen(fraction));
	if (parse_u64(whole, CLIENT_MAX_CPU / 1000, &cores) < 0 ||
		parse_u64(digits, 999, &rest) < 0 || cores * 1000 + rest < CLIENT_MIN_CPU)
		return wrong(file, key, text, "a number of cores, as in 1.5", err);
	*ret = cores * 1000 + rest;
	return 0;
}

static int get_ms(
	const char *file, const char *key, const char *text, uint64_t *ret, struct ramet_err *err)
{
	uint64_t ns;
	if (!text || (parse_u64(text, UINT32_MAX, ret) == 0 && *ret > 0))
		return 0;
	if (parse_duration(text, &ns) < 0 || ns < 1000000 || ns / 1000000 > UINT32_MAX)
		return wrong(file, key, text, "a time, as in 30s or 500ms", err);
	*ret = ns / 1000000;
	return 0;
}

static int take_limits(const char *file, const struct raw_limits *raw,
	struct app_limits_config *limits, struct ramet_err *err)
{
	if (!raw)
		return 0;
	limits->pids = raw->pids;
	int rc = get_bytes(file, "limits.mem", raw->mem, &limits->mem, err);
	if (rc == 0)
		rc = get_bytes(file, "limits.heap", raw->heap, &limits->heap, err);
	if (rc == 0)
		rc = get_cores(file, "limits.cpu", raw->cpu, &limits->cpu, err);
	if (rc == 0)
		rc = get_ms(file, "limits.deadline", raw->deadline, &limits->deadline_ms, err);
	if (rc == 0)
		rc = get_bytes(file, "limits.output", raw->output, &limits->output, err);
	if (rc == 0 && limits->output > CLIENT_MAX_PAYLOAD)
		return wrong(file, "limits.output", raw->output, "at most 64M", err);
	return rc;
}

static int one_of(const char *file, const char *key, const char *value, const char *const *words,
	struct ramet_err *err)
{
	char all[80] = "";
	if (!value)
		return 0;
	for (size_t i = 0; words[i]; i++) {
		if (strcmp(value, words[i]) == 0)
			return 0;
		size_t len = strlen(all);
		snprintf(all + len, sizeof(all) - len, "%s%s", len ? ", " : "one of: ", words[i]);
	}
	return wrong(file, key, value, all, err);
}

static int check_words(const char *file, const struct raw *raw, struct ramet_err *err)
{
	static const char *const langs[] = {"python", "native", "lua", "js", "qjs", "wasm", NULL};
	static const char *const freshness[] = {"reuse", "reset", "fresh", NULL};
	static const char *const binds[] = {"own", "shared", NULL};
	int rc = one_of(file, "lang", raw->lang, langs, err);
	for (unsigned i = 0; rc == 0 && i < raw->functions_count; i++)
		rc = one_of(file, "functions: lang", raw->functions[i].lang, langs, err);
	if (rc == 0)
		rc = one_of(file, "bind", raw->bind, binds, err);
	if (rc == 0)
		rc = one_of(file, "fresh", raw->fresh, freshness, err);
	if (rc == 0 && raw->functions && (raw->name || raw->handler))
		rc = err_set(err, RAMET_ECONFIG,
			"%s: functions: %s is not for an app that lists them", file,
			raw->name ? "name" : "handler");
	if (rc == 0 && raw->python && raw->python[0] != '/')
		rc = wrong(file, "python", raw->python, "an absolute path", err);
	return rc;
}

static int take_close(
	const char *file, const struct raw *raw, unsigned *ret_kinds, struct ramet_err *err)
{
	static const char *const words[] = {
		"sockets", "pipes", "files", "devices", "other", "all", NULL};
	static const unsigned kinds[] = {CLIENT_CLOSE_SOCKETS, CLIENT_CLOSE_PIPES,
		CLIENT_CLOSE_FILES, CLIENT_CLOSE_DEVICES, CLIENT_CLOSE_OTHER, CLIENT_CLOSE_ALL};
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < raw->close_on_fork_count; i++) {
		rc = one_of(file, "close_on_fork", raw->close_on_fork[i], words, err);
		for (unsigned w = 0; rc == 0 && words[w]; w++)
			if (strcmp(raw->close_on_fork[i], words[w]) == 0)
				*ret_kinds |= kinds[w];
	}
	return rc;
}

static int take_env(struct raw *raw, const struct strings *keys, struct app_config *config,
	struct ramet_err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && raw->env && i < keys->count; i++) {
		char *pair;
		if (!raw->env[i])
			continue;
		if (asprintf(&pair, "%s=%s", keys->v[i], raw->env[i]) < 0)
			return err_nomem(err);
		rc = strings_add(&config->env, pair, err);
		free(pair);
	}
	return rc;
}

static int take_list(char *const *v, unsigned count, struct strings *strings, struct ramet_err *err)
{
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < count; i++)
		rc = strings_add(strings, v[i], err);
	return rc;
}

static int take(const char *file, struct raw *raw, const struct strings *env_keys,
	struct app_config *config, struct ramet_err *err)
{
	int rc = check_words(file, raw, err);
	if (rc == 0)
		rc = take_limits(file, raw->limits, &config->limits, err);
	if (rc == 0)
		rc = take_env(raw, env_keys, config, err);
	if (rc == 0)
		rc = take_close(file, raw, &config->close_on_fork, err);
	if (rc == 0)
		rc = take_list(raw->files, raw->files_count, &config->files, err);
	if (rc == 0)
		rc = take_list(raw->modules, raw->modules_count, &config->modules, err);
	if (rc == 0)
		rc = take_list(raw->path, raw->path_count, &config->path, err);
	if (rc == 0)
		rc = take_list(raw->data, raw->data_count, &config->data, err);
	if (rc == 0)
		rc = take_list(raw->secrets, raw->secrets_count, &config->secrets, err);
	if (rc == 0)
		rc = take_list(
			raw->requirements, raw->requirements_count, &config->requirements, err);
	if (rc < 0)
		return rc;
	config->functions = steal_ptr(&raw->functions);
	config->nfunctions = raw->functions_count;
	raw->functions_count = 0;
	config->name = steal_ptr(&raw->name); /* libcyaml allocates with realloc and free */
	config->app = steal_ptr(&raw->app);
	config->lang = steal_ptr(&raw->lang);
	config->handler = steal_ptr(&raw->handler);
	config->python = steal_ptr(&raw->python);
	config->fresh = steal_ptr(&raw->fresh);
	config->bind = steal_ptr(&raw->bind);
	config->init = steal_ptr(&raw->init);
	config->samples = steal_ptr(&raw->samples);
	config->requirements_file = steal_ptr(&raw->requirements_file);
	config->idempotent = raw->idempotent;
	return 0;
}

int app_config_parse(const char *name, const char *text, size_t len, struct app_config *ret_config,
	struct ramet_err *err)
{
	CLEANUP(app_config_scan_fini) struct app_config_scan scan = {0};
	CLEANUP(app_config_fini) struct app_config config = {0};
	struct schema schema;
	void *raw = NULL;
	int rc = app_config_scan(name, text, len, &scan, err);
	if (rc < 0)
		return rc;
	schema_init(&schema, &scan);
	rc = conf_load_mem(name, text, len, &schema.root, &raw, err);
	if (rc < 0)
		return rc;
	rc = take(name, raw, &scan.env_keys, &config, err);
	conf_free(&schema.root, raw);
	if (rc < 0)
		return rc;
	*ret_config = config;
	config = (struct app_config){0};
	return 0;
}

int app_config_load(const char *path, struct app_config *ret_config, struct ramet_err *err)
{
	auto_free char *text = NULL;
	size_t len;
	int rc = file_read(path, APP_CONFIG_MAX_BYTES, &text, &len, err);
	if (rc == RAMET_ELIMIT)
		return err_set(
			err, RAMET_ECONFIG, "%s: longer than %u bytes", path, APP_CONFIG_MAX_BYTES);
	return rc < 0 ? rc : app_config_parse(path, text, len, ret_config, err);
}
