/* Structured log: one sink, levels, an event name and key=value fields. Only programs log; libraries return errors.
 *
 *	log_info("node.joined", "node=%u addr=%s", id, addr);
 *	2026-01-02T03:04:05.678Z info rametd[123] node.joined node=2 addr=10.0.0.2
 *
 * Thread-safe: a line is one write(2) of at most 2 KiB; control characters in it come out as \xNN. Values that hold
 * spaces are the caller's to quote: log_warn("seed.refused", "node=%u " LOG_Q("reason"), node, text). */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define LOG_Q(key) key "=\"%s\""

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_init(const char *program, enum log_level level, int fd); /* fd stays the caller's; default 2 */
int log_level_from_name(const char *name, enum log_level *ret_level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* log_err - tells a failure once: event, fields, then err=NAME msg="…" */
void log_err(enum log_level level, const char *event, const struct ramet_err *err);

#define log_error(event, ...) log_write(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) log_write(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) \
	do { \
		if (log_enabled(LOG_DEBUG)) \
			log_write(LOG_DEBUG, event, __VA_ARGS__); \
	} while (0)

/* log_limit - true at most `burst` times in each `period_ns`; for events a peer can cause at will */
struct log_limit {
	uint64_t window_ns;
	unsigned count;
};
bool log_limit(struct log_limit *limit, unsigned burst, uint64_t period_ns);

#endif
