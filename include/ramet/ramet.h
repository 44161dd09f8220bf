/* SPDX-License-Identifier: Apache-2.0
 * Ramet's client library: deploy functions to a cluster, call them, spread bursts over it. Link
 * with -lramet (pkg-config ramet, or find_package(ramet)). C99 and C++98 and later; every exported
 * name starts with ramet_.
 *
 *	struct ramet *ramet;
 *	struct ramet_result *result;
 *	struct ramet_err err = { 0 };
 *
 *	if (ramet_open(NULL, &ramet, &err) < 0 ||
 *	    ramet_call(ramet, "square", "7", 1, NULL, &result, &err) < 0)
 *		errx(1, "%s", err.msg);
 *	printf("%.*s by a %s\n", (int)result->output_len, (const char *)result->output,
 *		ramet_start_name(result->start));
 *
 * ERRORS. What returns int returns 0, or a negative RAMET_E… (ramet/error.h). err may be NULL;
 * otherwise it is filled in on failure with the same code and a message that names what failed.
 * Outputs (ret_…) are untouched on failure, with one exception that is said where it applies: a
 * function that failed still has a result, with its traceback.
 *
 * OWNERSHIP. Strings and data passed in are copied before a call returns. What an output hands over
 * is freed with the function named for it; each of those takes NULL. Names: 1 to 64 bytes of
 * [A-Za-z0-9_.-], not starting with '.' or '-'.
 *
 * THREADS. A struct ramet may be used by any number of threads at the same time; a wait in one does
 * not delay the others. A struct ramet_call is used by one thread at a time, but ramet_cancel() may
 * be called from any. A result is plain memory. No thread is created and no signal handler
 * installed. After fork() the child must not use a handle of its parent's, nor close it: it opens
 * its own.
 *
 * BLOCKING. Timeouts are in milliseconds: 0 does not wait, negative waits without limit. Signals do
 * not interrupt waits. When the connection is lost, everything that was under way ends with
 * RAMET_EPEER: whether the calls took effect is then unknown; ramet_open() makes a new one.
 *
 * Structs that a caller fills in start with their size and are made by ramet_…_options_default();
 * structs that the library fills in are allocated by it, and start with theirs. Both only ever grow
 * at their end. */
#ifndef RAMET_RAMET_H
#define RAMET_RAMET_H

#include "ramet/error.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RAMET_API __attribute__((visibility("default")))

#define RAMET_MAX_PAYLOAD (64u << 20) /* bytes of one call's data, and of one output */

struct ramet; /* a connection to a node of a cluster, as one tenant */
struct ramet_call; /* a call that was sent off */

/* How the instance that ran a call came to be. */
enum ramet_start {
	RAMET_START_NONE = 0, /* there was none: the call failed before */
	RAMET_START_WARM = 1, /* it was there already */
	RAMET_START_LOCAL_FORK = 2, /* forked from a seed on its own node */
	RAMET_START_REMOTE_FORK = 3, /* forked from a seed on another node, source_node */
	RAMET_START_COLD = 4 /* initialised from scratch */
};

/* Whose failure it was. */
enum ramet_kind {
	RAMET_KIND_USER = 1, /* the function raised an error */
	RAMET_KIND_LIMIT = 2, /* a limit or the deadline was exceeded */
	RAMET_KIND_SYSTEM = 3, /* an instance, a node or the connection failed */
	RAMET_KIND_REFUSED = 4 /* not allowed, not found, or a fork that cannot be made correctly */
};

/* What is known about a failure. Strings are never NULL, UTF-8, "" where there is nothing to say.
 */
struct ramet_failure {
	size_t size;
	int code; /* RAMET_E… */
	enum ramet_kind kind;
	int retryable; /* 1: calling again may help and does no harm (not started, or declared
			  idempotent) */
	int signal; /* that ended the instance, or 0 */
	uint64_t fault_address; /* of SIGSEGV and the like, or 0 */
	uint32_t node; /* where it happened; 0 unknown */
	const char *type; /* of the exception: "ValueError" */
	const char *message;
	const char *traceback; /* as the language prints it, several lines */
	const char *log_tail; /* the last the instance wrote to stdout and stderr; log_tail_len
				 bytes, and a NUL */
	size_t log_tail_len;
};

/* What became of a call, of one instance of a burst, or of a deployment. Free with
 * ramet_result_free(). */
struct ramet_result {
	size_t size;
	const char *function;
	const char *version; /* of what was deployed, 16 or more hexadecimal digits */
	const char *call; /* the call's id, for logs; "" for deployments */
	uint32_t node; /* where it ran; 0 nowhere */
	uint32_t source_node; /* where a remote fork's pages came from, else 0 */
	uint64_t instance; /* number of the instance, unique on its node */
	int32_t pid; /* on its node */
	uint32_t rank; /* in a burst, 0 to group - 1 */
	uint32_t group; /* instances of the burst; 1 for a call */
	enum ramet_start start;
	int binary; /* output is raw bytes, not JSON text */
	const void *output; /* output_len bytes, and a NUL that is not counted; never NULL. Memory
			       of the result's alone: who owns that may cast and write to it */
	size_t output_len;
	const struct ramet_failure *failure; /* NULL: it succeeded */
	/* microseconds */
	double queue_us; /* from arrival at the daemon until an instance was being made or taken */
	double start_us; /* from there until the instance could take the call; 0 when warm */
	double first_instruction_us; /* from there until a clone's first instruction; 0 when warm or
					cold */
	double run_us; /* in the handler; a deployment: loading the app */
	double total_us; /* from arrival at the daemon until it answered */
	/* deployments only, else 0 */
	double capture_us;
	double stall_us; /* of capture_us, how long the app stood still */
	uint64_t image_bytes; /* pages kept */
};

/* ---- connection ---- */

/* ramet_open - connect to a node of a cluster on this machine.
 * address: path of its client socket. NULL: RAMET_SOCKET of the environment, else node1/client.sock
 * in RAMET_DIR of the environment, else in /run/ramet (root) or $XDG_RUNTIME_DIR/ramet. Blocks
 * until the daemon has answered, ≤ 5 s. Errors: RAMET_ENOCLUSTER nothing answers there;
 * RAMET_EVERSION it speaks another protocol; RAMET_EPERM. */
RAMET_API int ramet_open(const char *address, struct ramet **ret_ramet, struct ramet_err *err);

/* ramet_close - disconnect. Calls that are under way are cancelled, detached ones go on. No other
 * thread may be inside a function with this handle. struct ramet_calls made with it stay valid
 * until they are freed: waiting for them gives their result if it had arrived, else RAMET_ECLOSED.
 */
RAMET_API void ramet_close(struct ramet *ramet);

/* ramet_node, ramet_nodes - the node connected to, from 1; and the nodes the cluster had when we
 * connected */
RAMET_API uint32_t ramet_node(const struct ramet *ramet);
RAMET_API uint32_t ramet_nodes(const struct ramet *ramet);

/* ramet_fd - a descriptor to poll for reading, from an event loop of the caller's: it is readable
 * when ramet_wait_any(…, timeout 0) is worth calling: bytes have arrived, or a call is done that no
 * wait has returned yet. The handle's own: never read, never close it. Same descriptor for the
 * handle's life. */
RAMET_API int ramet_fd(const struct ramet *ramet);

/* ---- functions ---- */

/* ramet_progress_fn - called during ramet_deploy(), in its thread, with no lock held: what is being
 * done. stage is one of receive, install, start, load, capture, measure, first-call, publish; text
 * is for people; fraction is 0 to 1. The strings live until it returns. */
typedef void (*ramet_progress_fn)(void *user, const char *stage, const char *text, double fraction);

/* What to deploy besides path. NULL, "" and 0 mean: as ramet.yaml says, or the default. */
struct ramet_deploy_options {
	size_t size;
	const char *name; /* of the function; default: the file's or directory's name without
			     extension */
	const char *app; /* default: the function's name */
	const char *lang; /* "python", "native", "lua" or "wasm"; default: by extension, .py, .so,
			     .lua or .wasm */
	const char *handler; /* "FILE:SYMBOL", or SYMBOL in the file deployed; default: "handler" in
				it */
	const char *python; /* absolute path of the interpreter, on the nodes */
	const char *
		fresh; /* "reuse", "reset" or "fresh": what of an instance the next call may find */
	const char *samples; /* path of a file of JSON values, one a line: the function is called
				with them before capture */
	const char *const *env; /* "KEY=value", …, NULL: added to those of ramet.yaml */
	int idempotent; /* 1: calls may be run again when their instance was lost */
	uint32_t node; /* initialise there; 0 any */
	uint32_t deadline_ms; /* of a call, unless the call says otherwise */
	uint64_t mem; /* bytes an instance may use */
	uint64_t output; /* bytes an output may have */
	ramet_progress_fn progress; /* or NULL */
	void *user; /* progress' first argument */
};

static inline struct ramet_deploy_options ramet_deploy_options_default(void)
{
	struct ramet_deploy_options options;

	memset(&options, 0, sizeof(options));
	options.size = sizeof(options);
	return options;
}

/* ramet_deploy - initialise an app on one node and capture it; every further instance is a fork of
 * that. path: a .py, .so, .lua or .wasm file, or a directory (with ramet.yaml, see ramet.yaml(5)).
 * options may be NULL. *ret_result tells where it was initialised and how long that took; unlike
 * other outputs it is always written: on failure NULL, or, when the app itself failed, a result
 * whose failure holds the traceback. ret_result may be NULL. Errors: RAMET_ECONFIG ramet.yaml;
 * RAMET_EUSER the app raised an error; RAMET_EREFUSED it cannot be captured, the message names why
 * (a connected socket, a thread that will not park); RAMET_ELIMIT more than 64 MiB of files;
 * RAMET_ENOTSUP something asked for that this cluster cannot do. */
RAMET_API int ramet_deploy(struct ramet *ramet, const char *path,
	const struct ramet_deploy_options *options, struct ramet_result **ret_result,
	struct ramet_err *err);

/* ramet_rollback - go back to an earlier version of a function's app, with all functions that it
 * had: calls that begin after this get it, calls that run finish. version: NULL the one before,
 * "latest" the one that was deployed last, or the first digits of one. The last eight are kept, by
 * each node as long as it runs. *ret_result as of ramet_deploy(); its seed is made anew if it is
 * gone. RAMET_ENOTFOUND: no such function or version. */
RAMET_API int ramet_rollback(struct ramet *ramet, const char *function, const char *version,
	struct ramet_result **ret_result, struct ramet_err *err);

/* ramet_remove - remove a function; its running calls end with RAMET_EREVOKED. RAMET_ENOTFOUND:
 * there is none. */
RAMET_API int ramet_remove(struct ramet *ramet, const char *function, struct ramet_err *err);

/* ---- secrets ---- */

/* ramet_secret_set - keep a value that functions get which name it (ramet.yaml: secrets): of the
 * caller's own apps, or with app (else NULL) of that one only, which then goes before. len bytes,
 * ≤ 64 KiB; name and app as those of functions. It is kept in the memory of the cluster's nodes
 * only, and never given out again. When this returns, calls that begin from then on get the new
 * value, also in instances that live already. Blocks until all nodes have it. */
RAMET_API int ramet_secret_set(struct ramet *ramet, const char *name, const char *app,
	const void *value, size_t len, struct ramet_err *err);

/* ramet_secret_remove - forget it. Calls of functions that name it are refused from then on.
 * RAMET_ENOTFOUND: there is none of that name (and app). */
RAMET_API int ramet_secret_remove(
	struct ramet *ramet, const char *name, const char *app, struct ramet_err *err);

struct ramet_secret {
	size_t size;
	const char *name;
	const char *app; /* "": of all apps */
	uint32_t uid; /* whose it is */
	uint64_t bytes; /* of the value */
	uint64_t changed_ms; /* since 1970 */
};
/* ramet_secret_fn - called during ramet_secret_list(), in its thread. Not 0: no more, and that is
 * returned. What secret points to is valid during the call. */
typedef int (*ramet_secret_fn)(void *user, const struct ramet_secret *secret);
/* ramet_secret_list - the caller's secrets (root: all), without their values */
RAMET_API int ramet_secret_list(
	struct ramet *ramet, ramet_secret_fn fn, void *user, struct ramet_err *err);

/* ---- calls ---- */

#define RAMET_CALL_BINARY \
	1u /* data is raw bytes, and output will be; else both are JSON text in UTF-8 */
#define RAMET_CALL_DETACH \
	2u /* the call goes on without us; its result is fetched with ramet_wait_id() */
#define RAMET_CALL_NOWAIT \
	4u /* RAMET_EAGAIN, and nothing was sent, where sending it off would have to wait for \
	      calls under way */
#define RAMET_CALL_ALONE \
	8u /* behind no other call: in an instance that is idle, or one that is made for it */
#define RAMET_CALL_BEHIND \
	16u /* only in an instance that this handle calls already, where it may wait behind quick \
	       calls; else RAMET_EAGAIN. That is also how it ends, without having begun, when \
	       those before it turn out not to be quick, or their instance dies. For who sends the \
	       next ones ahead, but does not want more instances for them */

#define RAMET_CALL_EVENTS \
	32u /* what the function emits before its end is wanted: see ramet_next_event(). Not with \
	       RAMET_CALL_DETACH, and not for ramet_call() or bursts */

struct ramet_call_options {
	size_t size;
	uint32_t flags; /* RAMET_CALL_* */
	uint32_t node; /* it must run there; 0 anywhere */
	uint32_t deadline_ms; /* from arrival at the daemon; 0: the function's own, or none */
	uint32_t rank; /* seen by the function in its context */
	uint32_t group; /* the same; 0 means 1 */
	uint32_t instances; /* RAMET_CALL_BEHIND: that this handle may keep busy with the function
			       at once. An idle one takes the call only while fewer are; 0: however
			       many are */
};

static inline struct ramet_call_options ramet_call_options_default(void)
{
	struct ramet_call_options options;

	memset(&options, 0, sizeof(options));
	options.size = sizeof(options);
	return options;
}

/* ramet_call - call a function and wait for what it returns.
 * data: len bytes, ≤ RAMET_MAX_PAYLOAD; none means JSON null. options may be NULL.
 * Returns 0 if the function returned, else what went wrong: RAMET_EUSER it raised an error,
 * RAMET_ECRASH it crashed, RAMET_ELIMIT, RAMET_EDEADLINE, RAMET_ECANCELED, RAMET_ELOST,
 * RAMET_ENOTFOUND no such function (or node)… *ret_result is always written: NULL, or a result to
 * be freed, also when the call failed (result->failure says why). */
RAMET_API int ramet_call(struct ramet *ramet, const char *function, const void *data, size_t len,
	const struct ramet_call_options *options, struct ramet_result **ret_result,
	struct ramet_err *err);

/* ramet_call_async - send a call off. 0 says that it was sent; whether it succeeds the waits tell.
 * May block while the daemon does not read, or while quick calls under way have taken all places in
 * front of an instance (RAMET_CALL_NOWAIT: RAMET_EAGAIN instead). Free *ret_call with
 * ramet_call_free(). */
RAMET_API int ramet_call_async(struct ramet *ramet, const char *function, const void *data,
	size_t len, const struct ramet_call_options *options, struct ramet_call **ret_call,
	struct ramet_err *err);

/* ramet_wait - wait for a call and take its result. Returns and writes *ret_result as ramet_call()
 * does; a result is handed out once, a second wait gives RAMET_ENOTFOUND. RAMET_ETIMEOUT with
 *ret_result NULL: timeout_ms has passed, the call goes on. */
RAMET_API int ramet_wait(struct ramet_call *call, int timeout_ms, struct ramet_result **ret_result,
	struct ramet_err *err);

/* ramet_wait_any - wait until one of several calls is done; ramet_wait() then takes its result
 * without blocking. calls: count calls of this handle; count 0 means all that were sent off with it
 * and not yet waited for; never one that another thread makes by ramet_call(). The one done first
 * comes first. A call with RAMET_CALL_EVENTS is found, too, while it has an event to take
 * (ramet_next_event() tells whether it is done). RAMET_ETIMEOUT: none was done in time.
 * RAMET_ENOTFOUND: count 0 and none is under way. */
RAMET_API int ramet_wait_any(struct ramet *ramet, struct ramet_call *const *calls, size_t count,
	int timeout_ms, struct ramet_call **ret_call, struct ramet_err *err);

/* What a function tells before its end. Free with ramet_event_free(). */
struct ramet_event {
	size_t size;
	int progress; /* 1: fraction and text; 0: chunk, len and binary */
	double fraction; /* 0 to 1 */
	const char *text; /* for people, UTF-8; "" for chunks */
	const void *chunk; /* len bytes, and a NUL that is not counted; never NULL */
	size_t len;
	int binary; /* chunk is raw bytes, not JSON text */
};

/* ramet_next_event - the next that a call with RAMET_CALL_EVENTS has emitted, in order; none is
 * lost, but of progress that comes often only the last counts. What is emitted is kept, also after
 * the call's end, until it is taken or the call is freed. A function waits when some 4 MiB of what
 * it emitted have not been freed: so events are to be freed as soon as they are used.
 * RAMET_ETIMEOUT: none came within timeout_ms. RAMET_ENOTFOUND: all were taken and the call is
 * done: ramet_wait() does not block. */
RAMET_API int ramet_next_event(struct ramet_call *call, int timeout_ms,
	struct ramet_event **ret_event, struct ramet_err *err);
/* ramet_event_free - any thread, also after the call was freed, or its handle closed */
RAMET_API void ramet_event_free(struct ramet_event *event);

/* ramet_cancel - ask for a call to end: queued it is dropped, running it is killed. Any thread.
 * Returns at once; the call still is to be waited for, and ends with RAMET_ECANCELED, or with its
 * result if that was sooner. */
RAMET_API int ramet_cancel(struct ramet_call *call, struct ramet_err *err);

/* ramet_call_free - forget a call. One that is under way is cancelled and its result dropped,
 * unless detached. */
RAMET_API void ramet_call_free(struct ramet_call *call);

/* ramet_call_id - the call's id in the cluster (for ramet_wait_id(), `ramet logs`), into dst, cap ≥
 * 33 bytes. Waits for the daemon to accept the call. */
RAMET_API int ramet_call_id(
	struct ramet_call *call, char *dst, size_t cap, int timeout_ms, struct ramet_err *err);

/* A pointer of the caller's, kept with the call; NULL at first. */
RAMET_API void ramet_call_set_user(struct ramet_call *call, void *user);
RAMET_API void *ramet_call_user(const struct ramet_call *call);

/* ramet_wait_id - the result of a detached call, of this or another process of the same tenant. As
 * ramet_wait(); results are kept for ten minutes. ramet_cancel_id - cancel it. Both:
 * RAMET_ENOTFOUND: over and fetched, or never was. */
RAMET_API int ramet_wait_id(struct ramet *ramet, const char *call, int timeout_ms,
	struct ramet_result **ret_result, struct ramet_err *err);
RAMET_API int ramet_cancel_id(struct ramet *ramet, const char *call, struct ramet_err *err);

/* ramet_result_free - free a result with all that it points to */
RAMET_API void ramet_result_free(struct ramet_result *result);

/* ---- bursts ---- */

/* What became of a burst as a whole. The caller sets size. */
struct ramet_summary {
	size_t size;
	uint32_t n, ok, failed;
	uint32_t warm, local_fork, remote_fork, cold;
	uint32_t nodes; /* that took part */
	double total_us;
};

/* ramet_result_fn - called during ramet_burst(), in its thread, with no lock held, once for each
 * instance as they are done. result is the callee's to free. Not 0: cancel what is left; results go
 * on coming until all have ended. */
typedef int (*ramet_result_fn)(void *user, struct ramet_result *result);

/* ramet_burst - call a function n times at once, each in an instance of its own, with rank 0 to n-1
 * in its context. One message and one placement decision. 1 ≤ n ≤ 65536. options may be NULL; rank,
 * group and RAMET_CALL_DETACH are not used. on_result and ret_summary may be NULL. Blocks until all
 * have ended. Returns 0 if every instance succeeded, else the code of one that did not;
 *ret_summary is written in both cases. When the burst as a whole was refused or the connection
 * lost, summary is untouched and missing ranks are not reported. */
RAMET_API int ramet_burst(struct ramet *ramet, const char *function, uint32_t n, const void *data,
	size_t len, const struct ramet_call_options *options, ramet_result_fn on_result, void *user,
	struct ramet_summary *ret_summary, struct ramet_err *err);

/* ---- words ---- */

RAMET_API const char *ramet_start_name(enum ramet_start start); /* "local-fork"; "" for none */
RAMET_API const char *ramet_kind_name(
	enum ramet_kind kind); /* "user"; "" for a number that is none */
RAMET_API const char *ramet_error_name(int code); /* "ENOTFOUND"; "OK" for 0 */
RAMET_API const char *ramet_error_text(int code); /* "no such function, seed, node or object" */
RAMET_API const char *ramet_version(void); /* of the library, "0.1.0" */

#ifdef __cplusplus
}
#endif
#endif
