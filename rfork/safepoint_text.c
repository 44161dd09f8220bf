/* Lines of files of /proc. */
#include "rfork/safepoint_text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool text_open(struct text *text, const char *path)
{
	text->have = text->used = 0;
	text->fd = open(path, O_RDONLY | O_CLOEXEC);
	return text->fd >= 0;
}

void text_close(struct text *text)
{
	close(text->fd);
}

bool text_line(struct text *text, char *line, size_t cap)
{
	size_t len = 0;
	for (;;) {
		if (text->used == text->have) {
			ssize_t n = read(text->fd, text->buf, sizeof(text->buf));
			if (n <= 0)
				return false;
			text->have = (size_t)n;
			text->used = 0;
		}
		char c = text->buf[text->used++];
		if (c == '\n')
			break;
		if (len + 1 < cap)
			line[len++] = c;
	}
	line[len] = '\0';
	return true;
}

bool text_number(const char *line, const char *key, int base, uint64_t *ret)
{
	size_t len = strlen(key);
	if (strncmp(line, key, len) != 0)
		return false;
	*ret = strtoull(line + len, NULL, base);
	return true;
}
