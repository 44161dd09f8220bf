/* SPDX-License-Identifier: Apache-2.0
 * Engines of Ramet: what runs the functions of a language in a host. An engine is a shared object
 * engine_NAME.so with a table
 *
 *	const struct ramet_engine_ops ramet_engine = {.name = "NAME", .abi = RAMET_ENGINE_ABI, …};
 *
 * with default visibility. The host opens it when an application has functions of that language, and
 * never closes it; several engines may be in one host. The host owns the control socket, the clock and
 * the process; an engine loads functions and runs them.
 *
 * Every slot is called on the host's one thread, and none may read or write the control socket but
 * by ramet_engine_call.emit. Text and bytes that an engine hands out stay its own: the host has
 * copied or sent them when it calls the next slot. */
#ifndef RAMET_ENGINE_H
#define RAMET_ENGINE_H

#include "ramet/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAMET_ENGINE_ABI 9u
#define RAMET_ENGINE_SYMBOL "ramet_engine" /* of a shared object: a const struct ramet_engine_ops */
#define RAMET_ENGINE_SEED_BYTES 32
#define RAMET_ENGINE_CALL_ID_BYTES 16
#define RAMET_ENGINE_VERSION_MAX 96

struct ramet_engine; /* each engine defines its own */

struct ramet_engine_text { /* UTF-8 is expected, not trusted: the host mends and cuts it */
	const char *data;
	size_t len;
};

enum ramet_engine_kind {
	RAMET_ENGINE_USER,
	RAMET_ENGINE_LIMIT,
	RAMET_ENGINE_SYSTEM,
	RAMET_ENGINE_REFUSED
};

/* What the caller of the function gets to see. */
struct ramet_engine_error {
	int code; /* RAMET_E…, negative */
	enum ramet_engine_kind kind;
	struct ramet_engine_text type, message, traceback; /* empty where there is nothing to say */
	bool leaves; /* of a call: the process cannot serve another one, and ends after this answer */
};

struct ramet_engine_function {
	const char *name;
	const char *handler; /* "file:symbol", the file relative to ramet_engine_load.dir */
};

struct ramet_engine_env {
	const char *name, *value;
};

struct ramet_engine_load {
	const char *dir;
	const struct ramet_engine_function *functions;
	unsigned nfunctions;
	const struct ramet_engine_env
		*env; /* already in the environment: for engines that keep a copy of it */
	unsigned nenv;
	const char *init; /* "file:symbol", called once when all else is loaded; NULL: none */
	const char *const *modules; /* to be imported first, by name */
	unsigned nmodules;
	const char *const *path; /* directories of modules, relative to dir or absolute */
	unsigned npath;
	bool resets; /* ramet_engine_ops.reset will be called between calls */
	uint64_t heap; /* bytes that one isolate may have allocated, where the engine can count
			  them; more is RAMET_ELIMIT of the call that wanted it. 0: no limit */
	const char *compiled; /* directory of what was made of the application's files when they
				 were deployed, readable, absolute; NULL: nothing was */
};

/* What a function may know about the call it runs. */
struct ramet_engine_context {
	const char *function;
	char version[RAMET_ENGINE_VERSION_MAX];
	uint64_t node, rank, size;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC of this process; 0: none */
	unsigned char id[RAMET_ENGINE_CALL_ID_BYTES];
};

/* What a call tells before its end: a chunk of output, or how far it is. */
struct ramet_engine_event {
	bool progress;
	struct ramet_engine_text text; /* progress: for people */
	double fraction; /* progress: 0 to 1 */
	const void *chunk; /* else: len bytes, raw if binary, else JSON text */
	size_t len;
	bool binary;
};

struct ramet_engine_call {
	unsigned function; /* index into ramet_engine_load.functions */
	bool binary; /* data is raw bytes; else JSON text, or nothing (len 0), which stands for null
		      */
	const void *data; /* valid during the call only */
	size_t len;
	size_t max_output; /* an engine need not build more than this; the host checks it in any
			      case */
	/* memory of len bytes in which the caller reads the answer: an answer built there is not
	 * copied. It may overlap data, and the last one counts. NULL, or returning NULL: there is
	 * none. */
	void *(*room)(void *room_arg, size_t len);
	void *room_arg;
	/* tells whoever listens; waits while that reader is behind. By one thread at a time, during
	 * call() only. RAMET_ELIMIT, RAMET_EDEADLINE (the call has been interrupted),
	 * RAMET_ECLOSED. NULL: nobody listens. */
	int (*emit)(const struct ramet_engine_event *event, struct ramet_err *err);
	struct ramet_engine_context context;
};

struct ramet_engine_secret {
	const char *name;
	const char *value; /* len bytes, and a NUL behind them */
	size_t len;
};

struct ramet_engine_result {
	const void *data;
	size_t len;
	bool binary;
};

struct ramet_engine_stats {
	uint64_t functions;
	uint64_t bytes; /* that its isolates have allocated; 0: it does not know */
	uint64_t blocks; /* live allocations as the engine counts them; 0: it does not */
};

struct ramet_engine_ops {
	const char *name; /* "native", "python" */
	unsigned abi; /* RAMET_ENGINE_ABI: checked at registration */

	/*
	 * init - start the engine. Called once, first; for a shared object when it is opened. Writes a line about itself (version, interpreter) to detail. Signal actions that
	 * it installs for deadline_signal are replaced by the host's afterwards; interrupt() may
	 * call the one it saved.
	 */
	int (*init)(int deadline_signal, char *detail, size_t cap, struct ramet_engine **ret_engine,
		struct ramet_err *err);

	/*
	 * base - import what the application's own files import from elsewhere, as far as they do
	 * so before any of their code has an effect, and nothing of those files: the process may
	 * then be captured as the base of this version and of others. At most once, before load(),
	 * which then refuses (RAMET_ENGINE_REFUSED) a version whose files would not have had the
	 * base's modules imported in the same way. What load points to lives as long as the engine.
	 * After a failure nothing has happened that load() would not have done. NULL: the language
	 * has no bases.
	 */
	int (*base)(struct ramet_engine *engine, const struct ramet_engine_load *load,
		struct ramet_engine_error *ret_error);

	/*
	 * load - find every function's handler and run the application's own initialisation:
	 * imports, module code, ramet_init(), load->init. Called once. What load points to lives as
	 * long as the engine. After a failure the host exits.
	 */
	int (*load)(struct ramet_engine *engine, const struct ramet_engine_load *load,
		struct ramet_engine_error *ret_error);

	/*
	 * call - run one function to its end. Never nested. *ret_result and *ret_error are the
	 * engine's memory and are left alone until done(). Returns 0 with *ret_result filled, or a
	 * negative code with *ret_error filled.
	 */
	int (*call)(struct ramet_engine *engine, const struct ramet_engine_call *call,
		struct ramet_engine_result *ret_result, struct ramet_engine_error *ret_error);

	/*
	 * ready - this process waits for the one call that it serves, to the function of this
	 * index: touch now what a call touches, so that it does not begin with page faults. Nothing
	 * of the application's runs. May be NULL.
	 */
	void (*ready)(struct ramet_engine *engine, unsigned function);

	/*
	 * done - the answer to the last call has been sent: release it and flush the language's
	 * stdout and stderr. Off the caller's path, so this is the place for what need not happen
	 * before the answer.
	 */
	void (*done)(struct ramet_engine *engine);

	/*
	 * interrupt - make the running call end soon, with an error where the language can raise
	 * one. From a signal handler, on the host's thread, during call() only: async-signal-safe.
	 */
	void (*interrupt)(struct ramet_engine *engine);

	/*
	 * wait_begin, wait_end - around the time in which the host waits for a message: an
	 * interpreter that runs threads of its own lets them run. Both NULL where there are none;
	 * an engine in a shared object has none.
	 */
	void (*wait_begin)(struct ramet_engine *engine);
	void (*wait_end)(struct ramet_engine *engine);

	/*
	 * before_snapshot - make the process fit to be captured: collect garbage, flush output,
	 * hold no lock, and prepare whatever after_clone() needs. The host itself serves on
	 * afterwards.
	 */
	int (*before_snapshot)(struct ramet_engine *engine, struct ramet_err *err);

	/*
	 * after_clone - first thing in a clone: make every source of randomness differ from its
	 * siblings', starting from seed. On the path of every start, so each page it touches
	 * counts. A failure ends the clone.
	 */
	int (*after_clone)(struct ramet_engine *engine,
		const unsigned char seed[RAMET_ENGINE_SEED_BYTES], struct ramet_err *err);

	/*
	 * roots - after load: files, and directories with all below them, that functions may open
	 * later: the language's library, its packages, what they read. Absolute paths, each
	 * terminated, into dst; returns the bytes used, less than what there is where it does not
	 * fit. Must not change the process: it is about to be captured. NULL: none.
	 */
	size_t (*roots)(struct ramet_engine *engine, char *dst, size_t cap);

	/*
	 * secrets - those that functions may see from now on, in the place of all earlier ones:
	 * never in a process that is yet to be captured, and between calls only. The memory is the
	 * host's, until the next time: no copy should be made before a function asks. NULL: the
	 * language has no way to show them.
	 */
	void (*secrets)(struct ramet_engine *engine, const struct ramet_engine_secret *secrets,
		unsigned count);

	/*
	 * reset - behind each call, where load said so: what the call's function may have changed
	 * is again as it was at the capture, as far as the language can do that. Before done() or
	 * after it: before it, the call's result stays what it is. Negative: it cannot, and the
	 * process ends. NULL: the language cannot.
	 */
	int (*reset)(struct ramet_engine *engine);

	/* stats - may be NULL */
	void (*stats)(const struct ramet_engine *engine, struct ramet_engine_stats *ret_stats);
};

#endif
