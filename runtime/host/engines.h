/* The engines of a host. The first is the process's own, which its program registered: native code
 * in ramet-host, Python in the user's interpreter. Others are shared objects, opened when an
 * application has functions of theirs, and stay. Functions lie one engine's after the other's, so
 * that each engine has a part of host.functions, and finds its own by their index in that part. */
#ifndef RUNTIME_HOST_ENGINES_H
#define RUNTIME_HOST_ENGINES_H

#include "ramet/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENGINES_MAX 8u
#define ENGINES_OWN 0u

struct engines_one {
	const struct ramet_engine_ops *ops;
	struct ramet_engine *engine;
	unsigned first, count; /* its functions */
};

/* Small, and in what a clone writes: it is read at every call. */
struct engines {
	struct engines_one items[ENGINES_MAX];
	unsigned count;
};

/* engines_add - the process's own. RAMET_EVERSION: built against another ABI; RAMET_EINVAL: a slot
 * is empty; RAMET_EEXIST: there is one already. */
int engines_add(struct engines *engines, const struct ramet_engine_ops *ops, struct ramet_err *err);
/* engines_open - the one of this name; if it is not there, from this shared object, which is then
 * initialised. RAMET_ENOTFOUND: there is no such file, and path may be NULL; as engines_add; or
 * what its init() returned. */
int engines_open(struct engines *engines, const char *name, const char *path, unsigned *ret_index,
	struct ramet_err *err);
/* engines_of - whose function this is; *ret_index: its index in that engine's load */
const struct engines_one *engines_of(
	const struct engines *engines, unsigned function, unsigned *ret_index);

/* Each of them; the first failure ends it. */
int engines_before_snapshot(const struct engines *engines, struct ramet_err *err);
/* each with random bytes of its own: no language repeats another one either */
int engines_after_clone(const struct engines *engines,
	unsigned char seeds[][RAMET_ENGINE_SEED_BYTES], struct ramet_err *err);
/* engines_roots - as ramet_engine_ops.roots, of all of them */
size_t engines_roots(const struct engines *engines, char *dst, size_t cap);
void engines_secrets(
	const struct engines *engines, const struct ramet_engine_secret *secrets, unsigned count);
/* The process's own alone: others have no threads that could run meanwhile. */
void engines_wait_begin(const struct engines *engines);
void engines_wait_end(const struct engines *engines);

#endif
