/* Printing events: see event_print.h. The JSON objects' keys are an interface: programs read them.
 */
#include "cmd/ramet/event_print.h"

#include "cmd/ramet/client.h"
#include "cmd/ramet/json.h"

#include <stdio.h>

#define MILLION 1000000

static void progress_json(uint64_t millionths, const char *text, size_t len)
{
	struct json json;
	json_open(&json, stdout);
	json_str(&json, "event", "progress");
	fprintf(json_key(&json, "fraction"), "%.6g", (double)millionths / MILLION);
	json_string(json_key(&json, "text"), text, len);
	json_close(&json);
	fputc('\n', stdout);
}

static void progress_text(uint64_t millionths, const char *text, size_t len)
{
	char line[160];
	snprintf(line, sizeof(line), "%3u%% %.*s", (unsigned)(millionths * 100 / MILLION), (int)len,
		text);
	if (client_is_terminal())
		client_progress(line);
	else
		fprintf(stderr, "%s\n", line);
}

static int print_progress(const struct wire_value *event, bool json, struct ramet_err *err)
{
	uint64_t millionths = 0;
	const char *text = NULL;
	size_t len = 0;
	int rc = wire_get_uint(event, "progress", MILLION, &millionths, err);
	if (rc == 0)
		rc = wire_get_span(event, "text", &text, &len, err);
	if (rc == 0 && json)
		progress_json(millionths, text, len);
	else if (rc == 0)
		progress_text(millionths, text, len);
	return rc;
}

static void chunk_json(const void *chunk, size_t len, bool binary)
{
	struct json json;
	json_open(&json, stdout);
	json_str(&json, "event", "chunk");
	if (!binary && json_check(chunk, len, NULL))
		json_verbatim(json_key(&json, "chunk"), chunk, len);
	else
		json_base64(json_key(&json, "chunk_base64"), chunk, len);
	json_close(&json);
	fputc('\n', stdout);
}

static int print_chunk(
	const struct wire_value *event, bool json, size_t *ret_len, struct ramet_err *err)
{
	const void *chunk = NULL;
	bool binary = false;
	int rc = wire_get_bin(event, "chunk", &chunk, ret_len, err);
	if (rc == 0)
		rc = wire_get_bool_or(event, "binary", false, &binary, err);
	if (rc < 0)
		return rc;
	client_progress_end();
	if (json) {
		chunk_json(chunk, *ret_len, binary);
		return 0;
	}
	fwrite(chunk, 1, *ret_len, stdout);
	if (!binary)
		fputc('\n', stdout);
	return 0;
}

int event_print(const struct message *message, bool json, size_t *ret_len, struct ramet_err *err)
{
	const struct wire_value *event = message->root;
	*ret_len = 0;
	int rc = wire_has(event, "progress") ? print_progress(event, json, err)
					     : print_chunk(event, json, ret_len, err);
	fflush(stdout);
	return rc;
}
