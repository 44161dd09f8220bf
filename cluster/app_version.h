/* A version: everything that was deployed at once, but the files themselves, which are in the
 * bundle of the same name (cluster/bundle.h). Immutable, counted. Control loop only. */
#ifndef CLUSTER_APP_VERSION_H
#define CLUSTER_APP_VERSION_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/wire.h"
#include "cluster/app_list.h"
#include "cluster/client_proto.h"
#include "runtime/spawn_proto.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define VERSION_HEX 64 /* a version's name: SHA-256 in hex of everything deployed */
#define VERSION_SHORT 12 /* of those, shown to people */
#define APP_HANDLER_MAX 383
#define APP_LANG_MAX 15
#define APP_SAMPLES_BYTES (1u << 20) /* of all samples together */

enum app_fresh { FRESH_REUSE, FRESH_RESET, FRESH_FRESH };
const char *app_fresh_name(enum app_fresh fresh);
int app_fresh_from_name(const char *name, enum app_fresh *ret_fresh);

struct language;

struct app_function {
	char name[CLIENT_NAME_MAX + 1];
	char handler[APP_HANDLER_MAX + 1]; /* "app.py:handler" */
	char lang[APP_LANG_MAX + 1];
};

struct app_limits { /* 0: none */
	uint64_t mem, pids, deadline_ms, output, heap;
	uint64_t cpu; /* thousandths of a core */
};

struct app_sample { /* a JSON value that every function is called with before the capture */
	void *data;
	size_t len;
};

/* Everything that was deployed but the files, which are in the bundle of the same name. Immutable,
 * shared. */
struct app_version {
	char id[VERSION_HEX + 1];
	char app[CLIENT_NAME_MAX + 1];
	/* whose are init, modules and path; Python's, if any function is in Python: its
	 * interpreter is the process then */
	char lang[APP_LANG_MAX + 1];
	char python[CLIENT_PATH_MAX +
		1]; /* absolute path of the interpreter; "": the node's default */
	uid_t uid;
	gid_t gid;
	char **env; /* "K=V", nenv of them, then NULL */
	uint32_t nenv;
	struct app_limits limits;
	enum app_fresh fresh;
	bool idempotent;
	bool shared; /* functions that can be are called in the same instances */
	unsigned close_on_fork; /* CLIENT_CLOSE_* */
	char init[APP_HANDLER_MAX +
		1]; /* "app.py:setup", called once before the capture; "": none */
	struct app_list modules; /* imported before it */
	/* of the environment that it is initialised in: lines, or a file among those deployed */
	struct app_list requirements;
	char requirements_file[CLIENT_PATH_MAX + 1];
	struct app_list path; /* of sys.path, behind the app's own files */
	struct app_list secrets; /* names of those that its functions get */
	struct app_list data; /* paths of nodes that instances see */
	struct app_function *functions;
	uint32_t nfunctions;
	struct app_sample *samples;
	uint32_t nsamples;
	uint64_t bundle_bytes; /* of the archive */
	unsigned refs;
};
struct app_version *app_version_get(struct app_version *version);
void app_version_put(struct app_version *version); /* NULL is fine */
DEFINE_CLEANUP(struct app_version, app_version_put)
#define auto_app_version AUTO(app_version_put)
/* the function of that name in a version, or NULL */
const struct app_function *app_version_function(
	const struct app_version *version, const char *name);
/* app_version_resets - instances of a function are brought back to what they were between calls;
 * otherwise those with fresh: reset have one call each, as those with fresh: fresh. Function may be
 * a pool's name */
bool app_version_resets(const struct app_version *version, const char *function);
bool app_version_once(const struct app_version *version, const char *function); /* one call each */
/* app_version_pool - of the instances that a function is called in: its own name, or APP_SHARED,
 * which is no function's */
#define APP_SHARED "-shared"
const char *app_version_pool(const struct app_version *version, const char *function);
/* app_version_compiled - the language whose files are to be compiled before a host is started;
 * NULL: there is none */
const struct language *app_version_compiled(const struct app_version *version);
bool app_version_isolates(
	const struct app_version *version); /* all its functions run in isolates */
/* bytes that an isolate may have allocated; 0: no limit */
uint64_t app_version_heap(const struct app_version *version);
/* what its processes may use, as ramet-spawn is told */
struct spawn_limits app_version_limits(const struct app_version *version);
/* as one wire map, without id; and back. The reader checks every field, the id too. */
void app_version_pack(const struct app_version *version, struct buf *b);
int app_version_parse(const struct wire_value *map, const char *id,
	struct app_version **ret_version, struct ramet_err *err);
/* a name of a function or app: 1 to CLIENT_NAME_MAX of [A-Za-z0-9_.-], not starting with "." or "-"
 */
bool app_name_valid(const char *name);
bool version_valid(const char *id); /* VERSION_HEX lower-case hex digits */

#endif
