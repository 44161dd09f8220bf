/* Sample inputs of a deployment: reading the file, walking its lines. */
#include "libramet/samples.h"

#include "base/file.h"
#include "cluster/client_proto.h"

#include <stdlib.h>
#include <string.h>

/* the next line that is not blank at *pos, which moves behind it; NULL at the end */
static const char *next_line(const struct samples *s, size_t *pos, size_t *ret_len)
{
	while (*pos < s->len) {
		const char *line = s->text + *pos;
		const char *end = memchr(line, '\n', s->len - *pos);
		size_t len = end ? (size_t)(end - line) : s->len - *pos;
		*pos += len + 1;
		if (strspn(line, " \t\r") < len) {
			*ret_len = len;
			return line;
		}
	}
	return NULL;
}

int samples_load(struct samples *samples, const char *path, struct ramet_err *err)
{
	struct samples loaded = {0};
	int rc = file_read(path, SAMPLES_MAX_BYTES, &loaded.text, &loaded.len, err);
	if (rc < 0)
		return rc;
	size_t len, pos = 0;
	while (next_line(&loaded, &pos, &len))
		loaded.count++;
	if (loaded.count > CLIENT_MAX_SAMPLES) {
		samples_fini(&loaded);
		return err_set(err, RAMET_ELIMIT, "%s has %zu samples, more than %d", path,
			loaded.count, CLIENT_MAX_SAMPLES);
	}
	*samples = loaded;
	return 0;
}

void samples_pack(const struct samples *samples, struct buf *b)
{
	wire_array(b, (uint32_t)samples->count);
	size_t len, pos = 0;
	for (const char *line = next_line(samples, &pos, &len); line;
		line = next_line(samples, &pos, &len))
		wire_bin(b, line, len);
}

void samples_fini(struct samples *samples)
{
	free(samples->text);
	*samples = (struct samples){0};
}
