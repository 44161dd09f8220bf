/* SPDX-License-Identifier: Apache-2.0
 * Native functions of Ramet: the interface between a shared object and ramet-host, which loads it.
 *
 * A handler is a function
 *
 *	int handle(struct ramet_invocation *call);
 *
 * with default visibility and C linkage, named in the deployment ("libsum.so:handle"). It returns 0, or anything else
 * after a failure, which ramet_fail() describes. Build with
 *
 *	cc -shared -fPIC -o libsum.so sum.c -I<include directory of Ramet>
 *
 * and without linking any library of Ramet: the functions below are in the program that loads the object.
 *
 * ramet_init(), ramet_before_snapshot() and ramet_after_clone(), declared below, are defined by the shared object itself,
 * as far as it needs them. All of its code runs on the one thread of the instance, and a call is never nested.
 *
 * In C++ a handler is extern "C", and no exception may leave it. */
#ifndef RAMET_FUNCTION_H
#define RAMET_FUNCTION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RAMET_FUNCTION_SEED_BYTES 32
#define RAMET_FUNCTION_ID_BYTES 16

#if defined(__GNUC__)
#define RAMET_FUNCTION_EXPORT __attribute__((visibility("default")))
#else
#define RAMET_FUNCTION_EXPORT
#endif

/* The hooks of a shared object: each is optional and called where it is defined. 0, or anything else for a failure.
 *
 * ramet_init - once, before the first call: what it sets up is part of the seed, so every instance on every node has it.
 * A failure fails the deployment. */
RAMET_FUNCTION_EXPORT int ramet_init(void);
/* ramet_before_snapshot - before each capture: close sockets, hold no lock. Threads of the process are in its clones,
 * too. A failure refuses the capture, and the process goes on. */
RAMET_FUNCTION_EXPORT int ramet_before_snapshot(void);
/* ramet_after_clone - first thing in each instance that is a fork, on the main thread (others run already): seed generators of random numbers anew from these
 * bytes, which no other instance gets. rand(), random(), drand48() and their kin have been. A failure ends the instance. */
RAMET_FUNCTION_EXPORT int ramet_after_clone(const unsigned char seed[RAMET_FUNCTION_SEED_BYTES]);

struct ramet_invocation; /* one call; valid until the handler returns */

/* ramet_input - the payload: JSON text (UTF-8, not terminated; empty stands for null), or raw bytes when
 * ramet_input_is_binary(). The memory is read-only by convention and valid until the handler returns. */
const void *ramet_input(const struct ramet_invocation *call, size_t *ret_len);
int ramet_input_is_binary(const struct ramet_invocation *call);

/* ramet_output - room for an answer of len bytes, which the caller fills in before the handler returns;
 * a second call replaces the first. binary: raw bytes, else JSON text. NULL: out of memory, or more than
 * the function's output limit (the call has failed then, with that reason). */
void *ramet_output(struct ramet_invocation *call, size_t len, int binary);
/* ramet_answer - the same with a copy of data: 0, or -1 */
int ramet_answer(struct ramet_invocation *call, const void *data, size_t len, int binary);
/* ramet_answerf - JSON text by printf: 0, or -1 */
int ramet_answerf(struct ramet_invocation *call, const char *format, ...)
#if defined(__GNUC__)
	__attribute__((format(printf, 2, 3)))
#endif
	;

/* Told before the answer, to whoever listens to the call (ramet_next_event(), `ramet invoke --follow`); nobody: nothing
 * happens. On the handler's thread. What is emitted waits while the listener is behind. 0, or -1 when the call has failed:
 * more than the limit, or its deadline has passed meanwhile.
 *
 * ramet_emit - a chunk of at most 1 MiB. All chunks together count as output, towards its limit,
 * each as 64 bytes at least. binary: raw bytes, else
 * JSON text. A call that is run again, being idempotent, emits again.
 * ramet_progress - how far the call is, 0 to 1, with a line for people (NULL: none; at most 1024 bytes are told). It may be
 * told often: what is overtaken soon is left out. */
int ramet_emit(struct ramet_invocation *call, const void *data, size_t len, int binary);
int ramet_progress(struct ramet_invocation *call, double fraction, const char *text);
int ramet_listened(const struct ramet_invocation *call); /* whether anybody does */

/* ramet_fail - what the caller is told: a short type ("ValueError") and a message. Returns -1, so that a
 * handler can return it. */
int ramet_fail(struct ramet_invocation *call, const char *type, const char *format, ...)
#if defined(__GNUC__)
	__attribute__((format(printf, 3, 4)))
#endif
	;

/* About the call. Strings live until the handler returns. */
const char *ramet_function_name(const struct ramet_invocation *call);
const char *ramet_function_version(const struct ramet_invocation *call);
uint64_t ramet_node(const struct ramet_invocation *call);
uint64_t ramet_rank(const struct ramet_invocation *call); /* in its burst, from 0 */
uint64_t ramet_group_size(const struct ramet_invocation *call);
uint64_t ramet_deadline_ns(const struct ramet_invocation *call); /* CLOCK_MONOTONIC; 0: none */
const unsigned char *ramet_call_id(const struct ramet_invocation *call); /* RAMET_FUNCTION_ID_BYTES, random */
/* ramet_secret - the value of a secret that the app names (ramet.yaml: secrets): *ret_len bytes (ret_len may be NULL), and a
 * NUL behind them, valid until the handler returns. NULL: the app does not name it. */
const char *ramet_secret(const struct ramet_invocation *call, const char *name, size_t *ret_len);
/* ramet_cancelled - nonzero once the deadline has passed: return soon. Native code cannot be interrupted; an
 * instance that goes on is killed at twice its time. */
int ramet_cancelled(const struct ramet_invocation *call);

#ifdef __cplusplus
}
#endif
#endif
