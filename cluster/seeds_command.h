/* How the host of an app is started: its command line, its environment, what it is to load. */
#ifndef CLUSTER_SEEDS_COMMAND_H
#define CLUSTER_SEEDS_COMMAND_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/wire.h"
#include "cluster/app_version.h"

struct command;
/* python: the interpreter of a Python app. RAMET_ENOTSUP: no engine for the app's
 * language here; RAMET_ENOTFOUND: Ramet is not installed completely */
int command_create(const struct app_version *app, const char *python, struct command **ret_command,
	struct ramet_err *err);
/* command_create_environment - what makes an app's environment below root; python: the node's
 * interpreter, for apps that name none */
int command_create_environment(const struct app_version *app, const char *python, const char *root,
	struct command **ret_command, struct ramet_err *err);
/* command_create_compiler - what compiles the files of an app's functions, in a language that
 * compiles, below root */
int command_create_compiler(const struct app_version *app, const char *root,
	struct command **ret_command, struct ramet_err *err);
void command_destroy(struct command *command); /* NULL is fine */
DEFINE_CLEANUP(struct command, command_destroy)
const char *const *command_argv(const struct command *command); /* NULL-terminated */
const char *const *command_env(const struct command *command);

/* command_check_languages - RAMET_ENOTSUP: this node has no engine for the language of one of the
 * functions */
int command_check_languages(const struct app_version *app, struct ramet_err *err);
/* command_pack_load - the messages `load` and `base` of runtime/host_proto.h; dir: the app's files
 * as the host sees them; compiled: what the compiler made of them, or NULL
 */
int command_pack_load(const struct app_version *app, const char *type, const char *dir,
	const char *compiled, struct buf *b, struct ramet_err *err);

#endif
