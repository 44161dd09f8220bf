/* --data and --binary: reading files, checking JSON before it travels. */
#include "cmd/ramet/call_data.h"

#include "base/file.h"
#include "cmd/ramet/json.h"
#include "ramet/ramet.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int load(const char *value, struct call_data *data, struct ramet_err *err)
{
	if (strcmp(value, "@-") == 0)
		return file_read_fd(STDIN_FILENO, "standard input", RAMET_MAX_PAYLOAD, &data->text,
			&data->len, err);
	if (value[0] == '@')
		return file_read(value + 1, RAMET_MAX_PAYLOAD, &data->text, &data->len, err);
	data->text = strdup(value);
	if (!data->text)
		return err_nomem(err);
	data->len = strlen(value);
	return 0;
}

int call_data_load(
	const char *data, const char *binary, struct call_data *ret_data, struct ramet_err *err)
{
	struct call_data loaded = {.binary = binary != NULL};
	size_t at;
	if (data && binary)
		return err_set(err, RAMET_EINVAL, "give --data or --binary, not both");
	int rc = load(data ? data : binary ? binary : "null", &loaded, err);
	if (rc < 0)
		return rc;
	if (!loaded.binary && !json_check(loaded.text, loaded.len, &at)) {
		if (at == loaded.len)
			rc = err_set(err, RAMET_EINVAL, "--data is not JSON: it %s",
				loaded.len ? "ends too early" : "is empty");
		else
			rc = err_set(err, RAMET_EINVAL,
				"--data is not JSON: unexpected \"%.16s\" at byte %zu%s",
				loaded.text + at, at,
				data && data[0] != '@'
					? " (a string needs its own quotes: '\"text\"')"
					: "");
		call_data_fini(&loaded);
		return rc;
	}
	*ret_data = loaded;
	return 0;
}

void call_data_fini(struct call_data *data)
{
	free(data->text);
	*data = (struct call_data){0};
}
