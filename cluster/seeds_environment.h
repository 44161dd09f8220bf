/* What an app needs before its host is started, made by a process of the tenant's: what it requires
 * of its interpreter (`requirements`), a virtual environment; or, in a language that compiles
 * (cluster/languages.h), its files compiled. Control loop only. */
#ifndef CLUSTER_SEEDS_ENVIRONMENT_H
#define CLUSTER_SEEDS_ENVIRONMENT_H

#include "base/err.h"
#include "cluster/app_version.h"
#include "cluster/calls_result.h"

struct environment;

enum environment_kind { ENVIRONMENT_PYTHON, ENVIRONMENT_COMPILED };
struct node;

/* made: the environment's interpreter, or the directory of what was compiled, valid during the
 * call; or error, and why */
typedef void environment_done_fn(void *user, const char *made, const struct call_error *error);

/* environment_begin - have it made, or found: the app's files are there. done comes once, later,
 * unless it is forgotten before. Environments stay, for other versions and after a restart. */
int environment_begin(struct node *node, struct app_version *app, enum environment_kind kind,
	environment_done_fn *done, void *user, struct environment **ret_environment,
	struct ramet_err *err);
/* environment_forget - done will not be called, and what is being made is given up; NULL is fine */
void environment_forget(struct environment *environment);

#endif
