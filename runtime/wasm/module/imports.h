/* What a module may import: its C, its type and who answers. One list for ramet-wasm, which checks
 * the types, for compiled modules, which call, and for the engine, which answers.
 *
 * X(module, name, type, result, parameters, arguments)
 * Types are parameters ':' results, of i (i32), I (i64), f (f32) and d (f64). result: NONE, I32,
 * I64. What they do is told in include/ramet/wasm.h, and of WASI in docs/engines.md. */
#ifndef RUNTIME_WASM_MODULE_IMPORTS_H
#define RUNTIME_WASM_MODULE_IMPORTS_H

#define WASM_RAMET_IMPORTS(X) \
	X(ramet, input_size, ":i", I32, (void *self), (self)) \
	X(ramet, input_is_binary, ":i", I32, (void *self), (self)) \
	X(ramet, input, "iii:i", I32, (void *self, uint32_t ptr, uint32_t offset, uint32_t len), \
		(self, ptr, offset, len)) \
	X(ramet, output, "iii:", NONE, (void *self, uint32_t ptr, uint32_t len, uint32_t binary), \
		(self, ptr, len, binary)) \
	X(ramet, error, "ii:", NONE, (void *self, uint32_t ptr, uint32_t len), (self, ptr, len)) \
	X(ramet, emit, "iii:i", I32, (void *self, uint32_t ptr, uint32_t len, uint32_t binary), \
		(self, ptr, len, binary)) \
	X(ramet, progress, "dii:i", I32, \
		(void *self, double fraction, uint32_t ptr, uint32_t len), \
		(self, fraction, ptr, len)) \
	X(ramet, listened, ":i", I32, (void *self), (self)) \
	X(ramet, cancelled, ":i", I32, (void *self), (self)) \
	X(ramet, function_name, "ii:i", I32, (void *self, uint32_t ptr, uint32_t cap), \
		(self, ptr, cap)) \
	X(ramet, version, "ii:i", I32, (void *self, uint32_t ptr, uint32_t cap), (self, ptr, cap)) \
	X(ramet, call_id, "i:", NONE, (void *self, uint32_t ptr), (self, ptr)) \
	X(ramet, node, ":I", I64, (void *self), (self)) \
	X(ramet, rank, ":I", I64, (void *self), (self)) \
	X(ramet, group_size, ":I", I64, (void *self), (self)) \
	X(ramet, deadline_ns, ":I", I64, (void *self), (self)) \
	X(ramet, remaining_ns, ":I", I64, (void *self), (self)) \
	X(ramet, secret, "iiii:i", I32, \
		(void *self, uint32_t name, uint32_t len, uint32_t ptr, uint32_t cap), \
		(self, name, len, ptr, cap)) \
	X(ramet, random, "ii:", NONE, (void *self, uint32_t ptr, uint32_t len), (self, ptr, len)) \
	X(ramet, log, "ii:", NONE, (void *self, uint32_t ptr, uint32_t len), (self, ptr, len))

#define WASM_WASI wasi_snapshot_preview1

#define WASM_WASI_IMPORTS(X) \
	X(WASM_WASI, args_get, "ii:i", I32, (void *self, uint32_t a, uint32_t b), (self, a, b)) \
	X(WASM_WASI, args_sizes_get, "ii:i", I32, (void *self, uint32_t a, uint32_t b), \
		(self, a, b)) \
	X(WASM_WASI, environ_get, "ii:i", I32, (void *self, uint32_t a, uint32_t b), (self, a, b)) \
	X(WASM_WASI, environ_sizes_get, "ii:i", I32, (void *self, uint32_t a, uint32_t b), \
		(self, a, b)) \
	X(WASM_WASI, clock_res_get, "ii:i", I32, (void *self, uint32_t a, uint32_t b), \
		(self, a, b)) \
	X(WASM_WASI, clock_time_get, "iIi:i", I32, \
		(void *self, uint32_t a, uint64_t b, uint32_t c), (self, a, b, c)) \
	X(WASM_WASI, fd_close, "i:i", I32, (void *self, uint32_t a), (self, a)) \
	X(WASM_WASI, fd_fdstat_get, "ii:i", I32, (void *self, uint32_t a, uint32_t b), \
		(self, a, b)) \
	X(WASM_WASI, fd_prestat_get, "ii:i", I32, (void *self, uint32_t a, uint32_t b), \
		(self, a, b)) \
	X(WASM_WASI, fd_prestat_dir_name, "iii:i", I32, \
		(void *self, uint32_t a, uint32_t b, uint32_t c), (self, a, b, c)) \
	X(WASM_WASI, fd_read, "iiii:i", I32, \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d), (self, a, b, c, d)) \
	X(WASM_WASI, fd_seek, "iIii:i", I32, \
		(void *self, uint32_t a, uint64_t b, uint32_t c, uint32_t d), (self, a, b, c, d)) \
	X(WASM_WASI, fd_write, "iiii:i", I32, \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d), (self, a, b, c, d)) \
	X(WASM_WASI, proc_exit, "i:", NONE, (void *self, uint32_t a), (self, a)) \
	X(WASM_WASI, sched_yield, ":i", I32, (void *self), (self)) \
	X(WASM_WASI, random_get, "ii:i", I32, (void *self, uint32_t a, uint32_t b), (self, a, b))

/* The rest of WASI preview 1: programs import what they never call. X(name, type, parameters): all
 * answer ENOSYS. */
#define WASM_WASI_ABSENT(X) \
	X(fd_advise, "iIIi:i", (void *self, uint32_t a, uint64_t b, uint64_t c, uint32_t d)) \
	X(fd_allocate, "iII:i", (void *self, uint32_t a, uint64_t b, uint64_t c)) \
	X(fd_datasync, "i:i", (void *self, uint32_t a)) \
	X(fd_fdstat_set_flags, "ii:i", (void *self, uint32_t a, uint32_t b)) \
	X(fd_fdstat_set_rights, "iII:i", (void *self, uint32_t a, uint64_t b, uint64_t c)) \
	X(fd_filestat_get, "ii:i", (void *self, uint32_t a, uint32_t b)) \
	X(fd_filestat_set_size, "iI:i", (void *self, uint32_t a, uint64_t b)) \
	X(fd_filestat_set_times, "iIIi:i", \
		(void *self, uint32_t a, uint64_t b, uint64_t c, uint32_t d)) \
	X(fd_pread, "iiiIi:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint64_t d, uint32_t e)) \
	X(fd_pwrite, "iiiIi:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint64_t d, uint32_t e)) \
	X(fd_readdir, "iiiIi:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint64_t d, uint32_t e)) \
	X(fd_renumber, "ii:i", (void *self, uint32_t a, uint32_t b)) \
	X(fd_sync, "i:i", (void *self, uint32_t a)) \
	X(fd_tell, "ii:i", (void *self, uint32_t a, uint32_t b)) \
	X(path_create_directory, "iii:i", (void *self, uint32_t a, uint32_t b, uint32_t c)) \
	X(path_filestat_get, "iiiii:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)) \
	X(path_filestat_set_times, "iiiiIIi:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint64_t e, \
			uint64_t f, uint32_t g)) \
	X(path_link, "iiiiiii:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, \
			uint32_t f, uint32_t g)) \
	X(path_open, "iiiiiIIii:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, \
			uint64_t f, uint64_t g, uint32_t h, uint32_t i)) \
	X(path_readlink, "iiiiii:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, \
			uint32_t f)) \
	X(path_remove_directory, "iii:i", (void *self, uint32_t a, uint32_t b, uint32_t c)) \
	X(path_rename, "iiiiii:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, \
			uint32_t f)) \
	X(path_symlink, "iiiii:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)) \
	X(path_unlink_file, "iii:i", (void *self, uint32_t a, uint32_t b, uint32_t c)) \
	X(poll_oneoff, "iiii:i", (void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d)) \
	X(proc_raise, "i:i", (void *self, uint32_t a)) \
	X(sock_accept, "iii:i", (void *self, uint32_t a, uint32_t b, uint32_t c)) \
	X(sock_recv, "iiiiii:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, \
			uint32_t f)) \
	X(sock_send, "iiiii:i", \
		(void *self, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)) \
	X(sock_shutdown, "ii:i", (void *self, uint32_t a, uint32_t b))

#endif
