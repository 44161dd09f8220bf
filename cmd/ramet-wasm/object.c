/* See object.h. */
#include "cmd/ramet-wasm/object.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/file.h"
#include "cmd/ramet-wasm/binary.h"
#include "cmd/ramet-wasm/embedded.h"
#include "cmd/ramet-wasm/tools.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(struct binary, binary_destroy)

/* The first lines are what the C of wasm2c relies on; a frame may not reach past the room below the
 * end of the stack (engine: STACK_ROOM). */
static const char *const compiler[] = {"cc", "-std=c11", "-O2", "-fPIC", "-shared", "-DNDEBUG",
	"-fno-optimize-sibling-calls", "-frounding-math", "-fsignaling-nans", "-ffp-contract=off",
	"-fno-strict-aliasing", "-fwrapv", "-U_FORTIFY_SOURCE", "-fvisibility=hidden",
	"-fno-semantic-interposition", "-fno-plt", "-Werror=frame-larger-than=262144", "-Wl,-z,now",
	"-Wl,-z,defs", "-Wl,-z,relro", "-s", "-o", "module.so", "module.c", "exports.c", "w.c",
	"-lm", NULL};

static const char *const validator[] = {"wasm-validate", "module.wasm", NULL};
static const char *const converter[] = {
	"wasm2c", "renamed.wasm", "--no-debug-names", "-n", "w", "-o", "w.c", NULL};

static int write_file(
	const char *dir, const char *name, const void *data, size_t len, struct ramet_err *err)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "create %s", path);
	return file_write_fd(fd, data, len, err);
}

static int write_renamed(const struct binary *binary, const unsigned char *data, size_t len,
	const char *dir, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf renamed = {0};
	int rc = binary_rename(binary, data, len, &renamed, err);
	return rc < 0 ? rc : write_file(dir, "renamed.wasm", renamed.data, renamed.len, err);
}

/* --- its exports, in C --- */

static void put(struct buf *out, const char *text)
{
	buf_append(out, text, strlen(text));
}

/* letters and digits as they are, so that nothing in a name is C */
static void put_name(struct buf *out, const struct binary_export *export)
{
	for (size_t i = 0; i < export->len; i++) {
		unsigned char c = export->name[i];
		char text[8];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
		snprintf(text, sizeof(text), plain ? "%c" : "\\%03o", c);
		put(out, text);
	}
}

static void put_export(struct buf *out, const struct binary_export *export, unsigned index)
{
	static const char *const shapes[] = {[WASM_OTHER] = "WASM_OTHER",
		[WASM_PLAIN] = "WASM_PLAIN",
		[WASM_STATUS] = "WASM_STATUS",
		[WASM_ALLOC] = "WASM_ALLOC",
		[WASM_HANDLER] = "WASM_HANDLER"};
	char text[96];
	put(out, "\t{\"");
	put_name(out, export);
	snprintf(text, sizeof(text), "\", %s, (void (*)(void))Z_wZ_e%u},\n", shapes[export->shape],
		index);
	put(out, text);
}

static void put_functions(struct buf *out, const struct binary *binary)
{
	put(out, "static const struct wasm_function functions[] = {\n");
	for (unsigned i = 0; i < binary->nexports; i++)
		put_export(out, &binary->exports[i], i);
	put(out, "\t{0, WASM_OTHER, 0}};\n");
}

static int write_exports(const struct binary *binary, const char *dir, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf out = {0};
	char text[64];
	put(&out,
		"#include \"module.h\"\n#include \"w.h\"\n"
		"void wasm_module_begin(const struct wasm_host *, uintptr_t) WASM_MODULE_HIDDEN;\n"
		"static void init(const struct wasm_host *host, uintptr_t end)\n"
		"{\n\twasm_module_begin(host, end);\n\tZ_w_init_module();\n}\n"
		"static void instantiate(void *instance, void *self)\n"
		"{\n\tZ_w_instantiate(instance");
	put(&out, binary->imports_ramet ? ", self" : "");
	put(&out, binary->imports_wasi ? ", self" : "");
	put(&out, ");\n}\n");
	if (binary->has_memory)
		put(&out,
			"static wasm_rt_memory_t *memory(void *instance)\n"
			"{\n\treturn Z_wZ_m(instance);\n}\n");
	put_functions(&out, binary);
	put(&out,
		"__attribute__((visibility(\"default\"))) const struct wasm_module "
		"ramet_wasm_module = {\n"
		"\t.abi = WASM_MODULE_ABI, .instance_bytes = sizeof(Z_w_instance_t),\n"
		"\t.functions = functions, .init = init, .instantiate = instantiate,\n");
	if (binary->has_memory)
		put(&out, "\t.memory = memory,\n");
	snprintf(text, sizeof(text), "\t.nfunctions = %u};\n", binary->nexports);
	put(&out, text);
	return out.oom ? err_nomem(err) : write_file(dir, "exports.c", out.data, out.len, err);
}

/* --- all of it --- */

int object_make(const unsigned char *data, size_t len, const char *dir, struct ramet_err *err)
{
	AUTO(binary_destroy) struct binary *binary = NULL;
	int rc = binary_read(data, len, &binary, err);
	if (rc == 0)
		rc = write_file(dir, "module.wasm", data, len, err);
	if (rc == 0)
		rc = tools_run("it is not valid", dir, validator, err);
	if (rc == 0)
		rc = write_renamed(binary, data, len, dir, err);
	if (rc == 0)
		rc = tools_run("wasm2c cannot convert it (it knows no SIMD)", dir, converter, err);
	for (unsigned i = 0; i < embedded_count && rc == 0; i++)
		rc = write_file(dir, embedded[i].name, embedded[i].data, embedded[i].len, err);
	if (rc == 0)
		rc = write_exports(binary, dir, err);
	return rc < 0 ? rc : tools_run("its C cannot be compiled", dir, compiler, err);
}

int object_recipe(struct sha256_stream *hash, struct ramet_err *err)
{
	int rc = 0;
	for (unsigned i = 0; i < embedded_count && rc == 0; i++)
		rc = sha256_stream_add(hash, embedded[i].data, embedded[i].len, err);
	for (size_t i = 0; compiler[i] && rc == 0; i++)
		rc = sha256_stream_add(hash, compiler[i], strlen(compiler[i]) + 1, err);
	return rc;
}
