/* What the files of the JavaScript engine share: the engine itself is in C, what touches V8 in C++.
 */
#ifndef RUNTIME_JS_JS_INTERNAL_H
#define RUNTIME_JS_JS_INTERNAL_H

#include "ramet/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JS_MESSAGE_MAX 4096
#define JS_TRACEBACK_MAX 16384
#define JS_RANDOM_WORDS 4

struct js_context; /* that of one function: its globals, its modules */

/* Why something of a function's failed. */
struct js_failure {
	int code; /* RAMET_E… */
	char type[64], message[JS_MESSAGE_MAX], traceback[JS_TRACEBACK_MAX];
};

/* An answer, or a chunk: the engine's memory until js_context_rest(), or the caller's room. */
struct js_output {
	const char *data;
	size_t len;
	bool binary;
};

/* --- js_vm.cc: the process's one isolate of V8 --- */

/* js_vm_init - once, before all else; flags of V8 beyond ours, or NULL */
void js_vm_init(const char *flags);
const char *js_vm_version(void);
/* js_vm_create - heap: bytes that it may have, 0: V8's own idea. RAMET_ENOMEM */
int js_vm_create(uint64_t heap);
/* js_vm_interrupt - what runs ends soon; async-signal-safe, see there */
void js_vm_interrupt(void);
bool js_vm_interrupted(void);
/* js_vm_calm - what was interrupted, or ran out of memory, is over */
void js_vm_calm(void);
/* js_vm_is_full - the heap's limit was reached since js_vm_calm() */
bool js_vm_is_full(void);
bool js_vm_refused(void); /* memory, since js_vm_calm() */
void js_vm_collect(void);
size_t js_vm_used(void); /* bytes of its heap, and of array buffers */
/* js_vm_abandon - V8 cannot go on without memory: js_engine.c leaves it, for good */
__attribute__((noreturn)) void js_vm_abandon(void);

/* --- js_context.cc --- */

struct js_source {
	const char *dir; /* of the application */
	const char *handler, *init; /* "file.js:symbol"; init may be NULL */
};
/* js_context_create - with the function's modules evaluated. Negative, and what failed */
int js_context_create(const struct js_source *source, struct js_context **ret_context,
	struct js_failure *ret_failure);
void js_context_destroy(struct js_context *context); /* NULL is fine */
/* js_context_random - Math.random() goes on from these */
void js_context_random(struct js_context *context, const uint32_t words[JS_RANDOM_WORDS]);

/* --- js_call.cc --- */

/* js_context_call - to its end. RAMET_EUSER, RAMET_EINVAL, RAMET_ELIMIT, and what failed */
int js_context_call(struct js_context *context, const struct ramet_engine_call *call,
	const struct ramet_engine_secret *secrets, unsigned nsecrets, struct js_output *ret_output,
	struct js_failure *ret_failure);
/* js_context_rest - the answer was sent: what the call left behind goes, its timers, too */
void js_context_rest(struct js_context *context);

#ifdef __cplusplus
}
#endif
#endif
