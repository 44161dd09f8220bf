/* The log sink: formats one line in a stack buffer and writes it with one write(2). */
#include "base/log.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 2048

static struct {
	char program[32];
	atomic_int level;
	atomic_int fd;
} sink = {.program = "ramet", .level = LOG_INFO, .fd = 2};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(const char *program, enum log_level level, int fd)
{
	snprintf(sink.program, sizeof(sink.program), "%s", program);
	atomic_store(&sink.level, (int)level);
	atomic_store(&sink.fd, fd);
}

int log_level_from_name(const char *name, enum log_level *ret_level)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcmp(level_names[i], name) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return RAMET_EINVAL;
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&sink.level, memory_order_relaxed);
}

/* A line being built. Control characters come out as \xNN: a value from a peer cannot forge a
 * second line. */
struct line {
	char text[LOG_LINE_MAX];
	size_t len; /* at most LOG_LINE_MAX - 1: there is always room for the newline */
};

static void line_add(struct line *line, const char *s)
{
	static const char hex[] = "0123456789abcdef";
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		bool plain = c >= 0x20 && c != 0x7f;
		if (line->len + (plain ? 1 : 4) > sizeof(line->text) - 1)
			return;
		if (plain) {
			line->text[line->len++] = (char)c;
			continue;
		}
		line->text[line->len++] = '\\';
		line->text[line->len++] = 'x';
		line->text[line->len++] = hex[c >> 4];
		line->text[line->len++] = hex[c & 15];
	}
}

static void line_begin(struct line *line, enum log_level level, const char *event)
{
	struct timespec ts;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	char head[96];
	size_t n = strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(head + n, sizeof(head) - n, ".%03ldZ %s %s[%d] ", ts.tv_nsec / (long)NSEC_PER_MSEC,
		level_names[level], sink.program, (int)getpid());
	line->len = 0;
	line_add(line, head);
	line_add(line, event);
}

static void line_write(struct line *line)
{
	line->text[line->len++] = '\n';
	ssize_t n;
	do
		n = write(atomic_load(&sink.fd), line->text, line->len);
	while (n < 0 && errno == EINTR);
	/* a sink that refuses a line loses it: there is nowhere else to say so */
}

void log_write(enum log_level level, const char *event, const char *fmt, ...)
{
	if (!log_enabled(level))
		return;
	int saved = errno;
	char fields[LOG_LINE_MAX];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(fields, sizeof(fields), fmt, ap);
	va_end(ap);

	struct line line;
	line_begin(&line, level, event);
	if (n > 0) {
		line_add(&line, " ");
		line_add(&line, fields);
	}
	line_write(&line);
	errno = saved;
}

void log_err(enum log_level level, const char *event, const struct ramet_err *err)
{
	log_write(level, event, "err=%s " LOG_Q("msg"), err_name(err->code), err->msg);
}

bool log_limit(struct log_limit *limit, unsigned burst, uint64_t period_ns)
{
	uint64_t now = now_ns();
	if (limit->window_ns == 0 || now - limit->window_ns >= period_ns) {
		limit->window_ns = now;
		limit->count = 0;
	}
	if (limit->count >= burst)
		return false;
	limit->count++;
	return true;
}
