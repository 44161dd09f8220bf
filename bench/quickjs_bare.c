/* The bare engine beside the qjs engine: QuickJS as WebAssembly, by wasm2c and wabt's runtime, one
 * instance with the file's module evaluated, and clones of its memory, copied on write. What it
 * reads and answers: bench/bare_process.h. */
#include "quickjs_module.h" /* made by wasm2c */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX 65536
#define MODULE 1u
#define STACK_BYTES (192u << 10)
#define ARGUMENTS 64u

static Z_qjs_instance_t first; /* what clones are made of */
static int memory_file;
static u32 arguments; /* memory for them */

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "bench_quickjs: %s\n", what);
	exit(EXIT_FAILURE);
}

/* --- imports; of the instance that was made first, since clones import nothing --- */

u32 Z_envZ_host_call(struct Z_env_instance_t *env, u32 name, u32 len, u32 self, u32 argc, u32 argv)
{
	(void)env, (void)name, (void)len, (void)self, (void)argc, (void)argv;
	return 0;
}

u32 Z_envZ_host_interrupt(struct Z_env_instance_t *env)
{
	(void)env;
	return 0;
}

void Z_envZ_host_promise_rejection(
	struct Z_env_instance_t *env, u32 promise, u32 reason, u32 handled)
{
	(void)env, (void)promise, (void)reason, (void)handled;
}

u32 Z_envZ_host_module_normalize(struct Z_env_instance_t *env, u32 base, u32 name)
{
	(void)env, (void)base, (void)name;
	return 0;
}

u32 Z_envZ_host_module_load(struct Z_env_instance_t *env, u32 name, u32 len)
{
	(void)env, (void)name, (void)len;
	return 0;
}

u32 Z_envZ_host_get_timezone_offset(struct Z_env_instance_t *env, u32 high, u32 low)
{
	(void)env, (void)high, (void)low;
	return 0;
}

u32 Z_wasi_snapshot_preview1Z_clock_time_get(
	struct Z_wasi_snapshot_preview1_instance_t *wasi, u32 clock, u64 precision, u32 ptr)
{
	struct timespec ts;
	(void)wasi, (void)precision;
	clock_gettime(clock == 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC, &ts);
	u64 ns = (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
	memcpy(first.w2c_memory.data + ptr, &ns, sizeof(ns));
	return 0;
}

u32 Z_wasi_snapshot_preview1Z_random_get(
	struct Z_wasi_snapshot_preview1_instance_t *wasi, u32 ptr, u32 len)
{
	(void)wasi;
	return getrandom(first.w2c_memory.data + ptr, len, 0) == (ssize_t)len ? 0 : 29;
}

#define BAD_DESCRIPTOR 8u

u32 Z_wasi_snapshot_preview1Z_fd_close(struct Z_wasi_snapshot_preview1_instance_t *wasi, u32 fd)
{
	(void)wasi, (void)fd;
	return BAD_DESCRIPTOR;
}

u32 Z_wasi_snapshot_preview1Z_fd_fdstat_get(
	struct Z_wasi_snapshot_preview1_instance_t *wasi, u32 fd, u32 ptr)
{
	(void)wasi, (void)fd, (void)ptr;
	return BAD_DESCRIPTOR;
}

u32 Z_wasi_snapshot_preview1Z_fd_seek(
	struct Z_wasi_snapshot_preview1_instance_t *wasi, u32 fd, u64 offset, u32 whence, u32 ptr)
{
	(void)wasi, (void)fd, (void)offset, (void)whence, (void)ptr;
	return BAD_DESCRIPTOR;
}

u32 Z_wasi_snapshot_preview1Z_fd_write(
	struct Z_wasi_snapshot_preview1_instance_t *wasi, u32 fd, u32 parts, u32 count, u32 ptr)
{
	(void)wasi, (void)fd, (void)parts, (void)count, (void)ptr;
	return BAD_DESCRIPTOR;
}

/* --- the instance that is cloned --- */

static u32 put(const char *text, size_t len)
{
	u32 ptr = Z_qjsZ_wasm_malloc(&first, (u32)len + 1);
	memcpy(first.w2c_memory.data + ptr, text, len);
	first.w2c_memory.data[ptr + len] = 0;
	return ptr;
}

/* what the file exports */
static u32 evaluate(const char *path)
{
	static char text[FILE_MAX];
	FILE *file = fopen(path, "re");
	size_t len = file ? fread(text, 1, sizeof(text), file) : 0;
	if (!file || len == sizeof(text))
		give_up("the file cannot be read");
	fclose(file);
	u32 promise =
		Z_qjsZ_qjs_eval(&first, put(text, len), (u32)len, put("isolate.js", 10), MODULE);
	while (Z_qjsZ_qjs_is_job_pending(&first))
		if ((s32)Z_qjsZ_qjs_execute_pending_job(&first) < 0)
			give_up("a job failed");
	if (Z_qjsZ_qjs_promise_state(&first, promise) != 1)
		give_up("the module cannot be evaluated");
	return Z_qjsZ_qjs_promise_result(&first, promise);
}

static void keep_image(void)
{
	const wasm_rt_memory_t *memory = &first.w2c_memory;
	memory_file = memfd_create("bench", MFD_CLOEXEC);
	if (memory_file < 0 ||
		write(memory_file, memory->data, memory->size) != (ssize_t)memory->size)
		give_up("no memory for the image");
}

/* --- clones: the instance with another memory, for its table has the instance's address --- */

#define ROOM (64u << 20) /* for a clone whose memory may grow, as wabt's runtime does it */

static Z_qjs_instance_t clone_open(size_t room)
{
	Z_qjs_instance_t kept = first;
	void *at = NULL;
	if (room > 0)
		at = mmap(
			NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		give_up("no room for a clone's memory");
	first.w2c_memory.data = mmap(at, first.w2c_memory.size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | (room > 0 ? MAP_FIXED : 0), memory_file, 0);
	if (first.w2c_memory.data == MAP_FAILED)
		give_up("a clone's memory cannot be mapped");
	return kept;
}

static void clone_close(const Z_qjs_instance_t *kept, size_t room)
{
	munmap(first.w2c_memory.data, room > 0 ? room : first.w2c_memory.size);
	first = *kept;
}

static double call(u32 function, double input)
{
	u32 argument = Z_qjsZ_qjs_new_number(&first, input);
	u32 undefined = Z_qjsZ_qjs_get_undefined(&first);
	memcpy(first.w2c_memory.data + arguments, &argument, sizeof(argument));
	u32 result = Z_qjsZ_qjs_call(&first, function, undefined, 1, arguments);
	double output = Z_qjsZ_qjs_get_float64(&first, result);
	Z_qjsZ_qjs_free_value(&first, result);
	Z_qjsZ_qjs_free_value(&first, undefined);
	Z_qjsZ_qjs_free_value(&first, argument);
	return output;
}

static double now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void serve(u32 function, double input, unsigned calls)
{
	const size_t room = calls > 0 ? ROOM : 0; /* else one call, which allocates nothing */
	double begin = now_us();
	double output = 0;
	Z_qjs_instance_t kept = clone_open(room);
	for (unsigned i = 0; i < calls; i++)
		output = call(function, input);
	if (calls > 0)
		begin = now_us();
	for (unsigned i = 0; i < (calls ? calls : 1); i++)
		output = call(function, input);
	clone_close(&kept, room);
	printf("%.4f %.17g\n", (now_us() - begin) / (calls ? calls : 1), output);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char symbol[32];
	double input;
	unsigned calls;
	if (argc != 2)
		give_up("usage: bench_quickjs FILE");
	wasm_rt_init();
	Z_qjs_init_module();
	Z_qjs_instantiate(&first, NULL, NULL);
	Z_qjsZ__initialize(&first);
	if (Z_qjsZ_qjs_init(&first) != 0)
		give_up("QuickJS does not start");
	Z_qjsZ_qjs_set_max_stack_size(&first, STACK_BYTES);
	arguments = Z_qjsZ_wasm_malloc(&first, ARGUMENTS);
	u32 exports = evaluate(argv[1]);
	u32 echo = Z_qjsZ_qjs_get_prop_string(&first, exports, put("echo", 4));
	u32 sum = Z_qjsZ_qjs_get_prop_string(&first, exports, put("sum", 3));
	u32 json = Z_qjsZ_qjs_get_prop_string(&first, exports, put("json", 4));
	keep_image();
	while (scanf("%31s %lf %u", symbol, &input, &calls) == 3)
		serve(strcmp(symbol, "echo") == 0	      ? echo
				: strcmp(symbol, "json") == 0 ? json
							      : sum,
			input, calls);
	return 0;
}
