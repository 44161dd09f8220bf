/* Loads YAML with libcyaml, after conf_check() has found nothing wrong with it. */
#include "base/conf.h"
#include "base/cleanup.h"
#include "base/conf_check.h"
#include "base/file.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* what libcyaml logs about a failure: the reason, then a backtrace from the inside out */
struct capture {
	char reason[160], where[160];
};

static void on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct capture *capture = ctx;
	char line[160];
	if (level < CYAML_LOG_ERROR)
		return;
	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "  in ", 5) == 0) {
		if (!capture->where[0])
			snprintf(capture->where, sizeof(capture->where), "%s", line + 1);
	} else if (!strstr(line, "Backtrace") && !capture->reason[0]) {
		const char *reason = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
		snprintf(capture->reason, sizeof(capture->reason), "%s", reason);
	}
}

static cyaml_config_t config_of(struct capture *capture)
{
	return (cyaml_config_t){
		.log_fn = on_log,
		.log_ctx = capture,
		.log_level = CYAML_LOG_ERROR,
		.mem_fn = cyaml_mem,
		.flags = CYAML_CFG_NO_ALIAS,
	};
}

int conf_load_mem(const char *name, const char *text, size_t len,
	const cyaml_schema_value_t *schema, void **ret_conf, struct ramet_err *err)
{
	bool empty;
	if (len > CONF_MAX_BYTES)
		return err_set(
			err, RAMET_ECONFIG, "%s: longer than %u bytes", name, CONF_MAX_BYTES);
	int rc = conf_check(name, text, len, schema, &empty, err);
	if (rc < 0)
		return rc;
	if (empty) {
		text = "{}"; /* libcyaml would succeed and return nothing */
		len = 2;
	}
	struct capture capture = {0};
	cyaml_config_t config = config_of(&capture);
	cyaml_data_t *conf = NULL;
	cyaml_err_t failed =
		cyaml_load_data((const uint8_t *)text, len, &config, schema, &conf, NULL);
	if (failed == CYAML_ERR_OOM)
		return err_nomem(err);
	if (failed != CYAML_OK)
		return err_set(err, RAMET_ECONFIG, "%s: %s%s", name,
			capture.reason[0] ? capture.reason : cyaml_strerror(failed), capture.where);
	*ret_conf = conf;
	return 0;
}

int conf_load_file(const char *path, const cyaml_schema_value_t *schema, void **ret_conf,
	struct ramet_err *err)
{
	auto_free char *text = NULL;
	size_t len;
	int rc = file_read(path, CONF_MAX_BYTES, &text, &len, err);
	if (rc == RAMET_ELIMIT)
		return err_set(
			err, RAMET_ECONFIG, "%s: longer than %u bytes", path, CONF_MAX_BYTES);
	if (rc < 0)
		return rc;
	return conf_load_mem(path, text, len, schema, ret_conf, err);
}

void conf_free(const cyaml_schema_value_t *schema, void *conf)
{
	struct capture capture = {0};
	cyaml_config_t config = config_of(&capture);
	if (conf)
		cyaml_free(&config, schema, conf, 0);
}
