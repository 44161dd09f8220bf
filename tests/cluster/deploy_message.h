/* Deploy messages as a client sends them, for tests: a valid one, and what to change in it. */
#ifndef TESTS_CLUSTER_DEPLOY_MESSAGE_H
#define TESTS_CLUSTER_DEPLOY_MESSAGE_H

#include "base/wire.h"
#include "cluster/client_proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct deploy_message {
	const char *app, *lang, *function, *handler, *second, *python, *fresh, *env_name;
	const char *init, *module, *sys_path, *shown, *requirement, *requirements; /* NULL: none */
	const char *path, *path2; /* of files; path2 NULL: one file */
	const char *data;
	bool no_functions, many_functions, no_files, executable;
	unsigned many_files;
};

#define DEPLOY_MESSAGE \
	{ \
		.app = "app", .lang = "python", .function = "f", .handler = "app.py:handler", \
		.env_name = "B", .path = "app.py", \
		.data = "def handler(event, context): return 1\n" \
	}

static inline struct deploy_message deploy_message_with(const struct deploy_message *change)
{
	struct deploy_message message = DEPLOY_MESSAGE;
	const char **from = (const char **)(uintptr_t)&change->app, **to = &message.app;
	for (size_t i = 0; i < offsetof(struct deploy_message, no_functions) / sizeof(char *); i++)
		if (from[i])
			to[i] = from[i];
	message.no_functions = change->no_functions;
	message.many_functions = change->many_functions;
	message.no_files = change->no_files;
	message.executable = change->executable;
	message.many_files = change->many_files;
	return message;
}

static inline void deploy_message_function(struct buf *b, const char *name, const char *handler)
{
	wire_map(b, 2);
	wire_kstr(b, "name", name);
	wire_kstr(b, "handler", handler);
}

static inline void deploy_message_file(
	struct buf *b, const char *path, unsigned mode, const char *data)
{
	wire_map(b, 3);
	wire_kstr(b, "path", path);
	wire_kuint(b, "mode", mode);
	wire_kbin(b, "data", data, strlen(data));
}

static inline void deploy_message_functions(const struct deploy_message *m, struct buf *b)
{
	wire_key(b, "functions");
	if (m->many_functions) {
		wire_array(b, CLIENT_MAX_FUNCTIONS + 1);
		for (unsigned i = 0; i <= CLIENT_MAX_FUNCTIONS; i++) {
			char name[16];
			snprintf(name, sizeof(name), "f%u", i);
			deploy_message_function(b, name, m->handler);
		}
		return;
	}
	wire_array(b, m->no_functions ? 0 : m->second ? 2 : 1);
	if (!m->no_functions)
		deploy_message_function(b, m->function, m->handler);
	if (!m->no_functions && m->second)
		deploy_message_function(b, m->second, m->handler);
}

static inline void deploy_message_files(const struct deploy_message *m, struct buf *b)
{
	wire_key(b, "files");
	wire_array(b, m->no_files ? 0 : 1 + (m->path2 != NULL) + m->many_files);
	if (m->no_files)
		return;
	deploy_message_file(b, m->path, m->executable ? 0755 : 0644, m->data);
	if (m->path2)
		deploy_message_file(b, m->path2, 0644, "second");
	for (unsigned i = 0; i < m->many_files; i++) {
		char path[32];
		snprintf(path, sizeof(path), "many/%u", i);
		deploy_message_file(b, path, 0644, "x");
	}
}

static inline void deploy_message_list(struct buf *b, const char *key, const char *item)
{
	wire_key(b, key);
	wire_array(b, item != NULL);
	if (item)
		wire_str(b, item);
}

static inline void deploy_message_pack(const struct deploy_message *m, struct buf *b)
{
	wire_map(b, 16);
	wire_kstr(b, "t", "deploy");
	wire_kuint(b, "req", 1);
	wire_kstr(b, "app", m->app);
	wire_kstr(b, "lang", m->lang);
	deploy_message_functions(m, b);
	deploy_message_files(m, b);
	wire_kstr(b, "python", m->python ? m->python : "");
	wire_key(b, "env");
	wire_map(b, 2);
	wire_kstr(b, m->env_name, "x=y");
	wire_kstr(b, "A", "1");
	wire_kstr(b, "fresh", m->fresh ? m->fresh : "reuse");
	wire_key(b, "samples");
	wire_array(b, 1);
	wire_bin(b, "[1]", 3);
	wire_kstr(b, "init", m->init);
	deploy_message_list(b, "modules", m->module);
	deploy_message_list(b, "path", m->sys_path);
	deploy_message_list(b, "data", m->shown);
	deploy_message_list(b, "requirements", m->requirement);
	wire_kstr(b, "requirements_file", m->requirements);
}

#endif
