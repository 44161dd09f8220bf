/* SPDX-License-Identifier: Apache-2.0
 * WebAssembly functions of Ramet: what a module exports, and what it may import from "ramet". The
 *declarations are for C (clang --target=wasm32); other languages and WAT use the same names and
 *types, where a pointer and a length are i32.
 *
 *	clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -I<include directory of Ramet> -o
 *sum.wasm sum.c
 *
 * A handler is an exported function, named in the deployment ("sum.wasm:sum"), of one of these
 *types:
 *
 *	int32_t sum(const void *input, uint32_t len);	(i32, i32) -> i32: the input lies in memory
 *that the module gave by ramet_alloc(), which it exports. Empty: NULL, 0. int32_t sum(void);
 *() -> i32: it asks for the input, by ramet_input()
 *	void _start(void);				() -> (): a WASI command. Its stdin is the input,
 *its stdout the answer
 *
 * 0 is success, all else a failure, which ramet_error() describes. Input is JSON text (UTF-8, not
 *terminated; empty stands for null), or raw bytes when ramet_input_is_binary(). Further exports
 *that a module may have:
 *
 *	ramet_alloc		(i32) -> i32: memory for an input of so many bytes, 0: there is none.
 *Called before each call that has an input; the module may give the same memory every time.
 *	_initialize		() -> (): called when an instance is made, as WASI has it
 *	ramet_after_clone	() -> (): called before the first call in a process that is a fork:
 *seed generators of random numbers anew here
 *
 * Addresses that are not in the module's memory trap, as its own accesses do. */
#ifndef RAMET_WASM_H
#define RAMET_WASM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__wasm__)
#define RAMET_WASM_IMPORT(name) __attribute__((import_module("ramet"), import_name(#name)))
#define RAMET_WASM_EXPORT(name) __attribute__((export_name(#name)))
#else
#define RAMET_WASM_IMPORT(name)
#define RAMET_WASM_EXPORT(name)
#endif

#define RAMET_WASM_ID_BYTES 16
#define RAMET_WASM_NONE UINT32_MAX

/* RAMET_WASM_INPUT - at file scope: exports ramet_alloc(), which gives the same bytes of memory to
 * each input */
#define RAMET_WASM_INPUT(bytes) \
	static _Alignas(16) unsigned char ramet_wasm_input_[bytes]; \
	RAMET_WASM_EXPORT(ramet_alloc) void *ramet_wasm_alloc_(uint32_t len); \
	void *ramet_wasm_alloc_(uint32_t len) \
	{ \
		return len <= sizeof(ramet_wasm_input_) ? ramet_wasm_input_ : (void *)0; \
	}

/* ramet_input - len bytes of the input from offset on, as far as there are so many: how many there
 * were. A handler that was given its input may ask for it before its first output only. */
RAMET_WASM_IMPORT(input) uint32_t ramet_input(void *dst, uint32_t offset, uint32_t len);
RAMET_WASM_IMPORT(input_size) uint32_t ramet_input_size(void);
RAMET_WASM_IMPORT(input_is_binary) uint32_t ramet_input_is_binary(void);

/* ramet_output - the answer, which is copied; the last one counts. binary: raw bytes, else JSON
 * text. More than the function's output limit ends the call. */
RAMET_WASM_IMPORT(output) void ramet_output(const void *data, uint32_t len, uint32_t binary);
/* ramet_error - what the caller is told where the handler returns something other than 0 */
RAMET_WASM_IMPORT(error) void ramet_error(const char *text, uint32_t len);

/* Told before the answer, to whoever listens to the call: 0, or RAMET_WASM_NONE when the call has
 * failed: more than the limit, or its deadline has passed meanwhile. ramet_emit - a chunk of at
 * most 1 MiB. ramet_progress - how far the call is, 0 to 1, with a line for people. */
RAMET_WASM_IMPORT(emit) uint32_t ramet_emit(const void *data, uint32_t len, uint32_t binary);
RAMET_WASM_IMPORT(progress)
uint32_t ramet_progress(double fraction, const char *text, uint32_t len);
RAMET_WASM_IMPORT(listened) uint32_t ramet_listened(void);
RAMET_WASM_IMPORT(log) void ramet_log(const char *text, uint32_t len); /* a line */

/* About the call. Texts: at most cap bytes are written, none of them a terminator; the text's
 * length comes back. */
RAMET_WASM_IMPORT(function_name) uint32_t ramet_function_name(char *dst, uint32_t cap);
RAMET_WASM_IMPORT(version) uint32_t ramet_version(char *dst, uint32_t cap);
RAMET_WASM_IMPORT(call_id) void ramet_call_id(unsigned char dst[RAMET_WASM_ID_BYTES]); /* random */
RAMET_WASM_IMPORT(node) uint64_t ramet_node(void);
RAMET_WASM_IMPORT(rank) uint64_t ramet_rank(void); /* in its burst, from 0 */
RAMET_WASM_IMPORT(group_size) uint64_t ramet_group_size(void);
RAMET_WASM_IMPORT(deadline_ns)
uint64_t ramet_deadline_ns(void); /* on the monotonic clock; 0: none */
RAMET_WASM_IMPORT(remaining_ns)
int64_t ramet_remaining_ns(void); /* until then; INT64_MAX: no deadline */
RAMET_WASM_IMPORT(cancelled) uint32_t ramet_cancelled(void); /* the deadline has passed */
/* ramet_secret - as the texts; RAMET_WASM_NONE: the app names no such secret */
RAMET_WASM_IMPORT(secret)
uint32_t ramet_secret(const char *name, uint32_t len, void *dst, uint32_t cap);
RAMET_WASM_IMPORT(random) void ramet_random(void *dst, uint32_t len);

#ifdef __cplusplus
}
#endif
#endif
