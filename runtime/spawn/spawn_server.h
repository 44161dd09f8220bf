/* ramet-spawn: serves one connection of rametd (runtime/spawn_proto.h) until it ends, then kills
 * all that it made. */
#ifndef RUNTIME_SPAWN_SPAWN_SERVER_H
#define RUNTIME_SPAWN_SPAWN_SERVER_H

#include "base/err.h"

#define SPAWN_SANDBOXES 32 /* kept ready unless asked otherwise */
#define SPAWN_STUBS 2

struct spawn_config {
	const char *store_dir; /* NULL: none */
	const char *hide_dir; /* NULL: none */
	const char *node;
	const char *stub_path;
	const char *sandbox_path; /* ramet-sandbox */
	const char *files_path; /* ramet-files */
	unsigned sandboxes, stubs;
};

/* spawn_serve - conn_fd is taken. Returns when the connection ended, or SIGTERM or SIGINT came, and
 * everything is cleaned up. The process must be single-threaded; signals stay blocked. */
int spawn_serve(int conn_fd, const struct spawn_config *config, struct ramet_err *err);

#endif
