/* ramet-wasm: what is compiled, what is found again, what is refused, and that the bytes of modules
 * are read within their bounds. */
#include "base/cleanup.h"
#include "base/file.h"
#include "cmd/ramet-wasm/binary.h"
#include "tests/lib/suite.h"
#include "tests/runtime_host/wasm_world.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

DEFINE_CLEANUP(struct binary, binary_destroy)

#define TINY "wasm_tiny.wasm"

/* how many names in a directory begin so */
static unsigned count_names(const char *dir, const char *prefix)
{
	auto_closedir DIR *d = opendir(dir);
	const struct dirent *entry;
	unsigned count = 0;
	while (d && (entry = readdir(d)))
		count += entry->d_name[0] != '.' &&
			strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	return count;
}

static unsigned count_objects(const char *root)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/objects", root);
	return count_names(path, "");
}

/* --- what is compiled --- */

static void test_the_same_is_found_again(void)
{
	const char *root = wasm_root();
	struct wasm_said first;
	struct wasm_said second;
	CHECK_INT(wasm_compile(HOST_FUNCTIONS_DIR, root, TINY, &first), 0);
	CHECK(strstr(first.text, TINY ": compiled") != NULL);
	CHECK_INT(wasm_compile(HOST_FUNCTIONS_DIR, root, TINY, &second), 0);
	CHECK(strstr(second.text, TINY ": was compiled before") != NULL);
	CHECK_STR(first.last, second.last);
	CHECK_INT(wasm_compile(HOST_FUNCTIONS_DIR, root, TINY " wasm_large.wasm", &second), 0);
	CHECK(strstr(second.text, TINY ": was compiled before") != NULL);
	CHECK(strstr(second.text, "wasm_large.wasm: compiled") != NULL);
	CHECK(strcmp(first.last, second.last) != 0);
	CHECK_INT(count_objects(root), 2);
	CHECK_INT(count_names(root, "work."), 0);
}

static void test_several_at_once(void)
{
	char command[1024];
	const char *root = wasm_root();
	struct wasm_said said;
	snprintf(command, sizeof(command),
		"cd '%s' && for i in 1 2 3 4; do '%s/ramet-wasm' '%s' " TINY
		" & pids=\"$pids $!\"; done; for pid in $pids; do wait $pid || exit 1; done",
		HOST_FUNCTIONS_DIR, getenv("RAMET_BIN"), root);
	CHECK_INT(wasm_shell(command, &said), 0);
	unsigned lines = 0;
	for (const char *at = said.text; (at = strstr(at, said.last)); at++)
		lines++;
	CHECK_INT(lines, 4); /* all told the same directory */
	CHECK_INT(count_objects(root), 1);
	CHECK_INT(count_names(root, "work."), 0);
}

static void test_what_a_killed_one_has_left_is_removed(void)
{
	char path[128];
	const char *root = wasm_root();
	struct wasm_said said;
	struct ramet_err err = {0};
	snprintf(path, sizeof(path), "%s/work.killed/part", root);
	REQUIRE_OK(file_mkdirs(path, 0755, &err), &err);
	CHECK_INT(wasm_compile(HOST_FUNCTIONS_DIR, root, TINY, &said), 0);
	CHECK_INT(count_names(root, "work."), 0);
}

/* --- what is refused --- */

static void write_module(const char *dir, const void *data, size_t len)
{
	char path[128];
	struct ramet_err err = {0};
	snprintf(path, sizeof(path), "%s/m.wasm", dir);
	CHECK_INT(file_replace(path, data, len, 0644, &err), 0);
}

static void check_refused(const void *data, size_t len, const char *message)
{
	const char *dir = wasm_root();
	struct wasm_said said;
	write_module(dir, data, len);
	CHECK_INT(wasm_compile(dir, dir, "m.wasm", &said), 1);
	if (!CHECK(strstr(said.text, message) != NULL))
		fprintf(stderr, "%s\n", said.text);
	CHECK_INT(count_objects(dir), 0);
	CHECK_INT(count_names(dir, "work."), 0);
}

#define HEAD "\0asm\1\0\0\0"
#define TYPES "\1\4\1\x60\0\0" /* one type, of nothing to nothing */
#define REFUSED(bytes, message) check_refused(HEAD bytes, sizeof(HEAD bytes) - 1, message)

static void test_modules_that_are_refused(void)
{
	check_refused("", 0, "m.wasm: it is no WebAssembly module");
	check_refused("\0asm\2\0\0\0", 8, "it is no WebAssembly module of version 1");
	REFUSED("\1\x40", "its bytes are damaged");
	REFUSED(TYPES "\2\x0c\1\3env\4puts\0\0", "it imports \"env\" \"puts\"");
	REFUSED(TYPES "\2\x10\1\5ramet\6output\0\0", "with type :, which has type iii:");
	REFUSED(TYPES "\2\x0e\1\5ramet\3log\2\0\1", ", no function");
	REFUSED(TYPES "\3\2\1\0\n\4\1\2\0\x41", "it is not valid: ");
	REFUSED(TYPES TYPES, "its bytes are damaged");
}

/* a name that ends a comment, and begins some C */
static void test_names_are_no_c(void)
{
	static const char evil[] = HEAD TYPES "\3\2\1\0\7\x18\1\x14*/\n#error \"taken\" /*\0\0"
					      "\n\4\1\2\0\x0b";
	const char *dir = wasm_root();
	struct wasm_said said;
	write_module(dir, evil, sizeof(evil) - 1);
	if (!CHECK_INT(wasm_compile(dir, dir, "m.wasm", &said), 0))
		fprintf(stderr, "%s\n", said.text);
	CHECK_INT(count_objects(dir), 1);
}

static void check_without(const char *path, const char *message)
{
	char command[1024];
	struct wasm_said said;
	snprintf(command, sizeof(command),
		"cd '%s' && PATH='%s' '%s/ramet-wasm' '%s' " TINY " 2>&1", HOST_FUNCTIONS_DIR, path,
		getenv("RAMET_BIN"), wasm_root());
	CHECK_INT(wasm_shell(command, &said), 1);
	if (!CHECK(strstr(said.text, message) != NULL))
		fprintf(stderr, "%s\n", said.text);
}

static void test_a_node_that_cannot(void)
{
	static const char older[] = "#!/bin/sh\necho 1.0.27\n";
	char path[128];
	struct ramet_err err = {0};
	const char *dir = wasm_root();
	check_without("/nowhere", "this node has no wasm2c");
	check_without("/nowhere", "apt install wabt");
	snprintf(path, sizeof(path), "%s/wasm2c", dir);
	REQUIRE_OK(file_replace(path, older, sizeof(older) - 1, 0755, &err), &err);
	check_without(dir, "is of wabt 1.0.27, and Ramet needs 1.0.32");
}

static void test_files_elsewhere(void)
{
	static const char *const files[] = {
		"../m.wasm", "/etc/passwd", "a//b", ".", "a/../b", "a/", "\"\""};
	struct wasm_said said;
	for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
		CHECK_INT(wasm_compile(HOST_FUNCTIONS_DIR, wasm_compiled(), files[i], &said), 1);
		CHECK(strstr(said.text, "its name is none of a file of the app") != NULL);
	}
	CHECK_INT(wasm_compile(HOST_FUNCTIONS_DIR, wasm_compiled(), "nowhere.wasm", &said), 1);
	CHECK(strstr(said.text, "nowhere.wasm: no such file is deployed") != NULL);
}

/* --- bounds --- */

/* reads a copy of exactly this size, and what becomes of it */
static int read_module(const unsigned char *data, size_t len)
{
	AUTO(binary_destroy) struct binary *binary = NULL;
	CLEANUP(buf_fini) struct buf renamed = {0};
	struct ramet_err err = {0};
	auto_free unsigned char *copy = malloc(len ? len : 1);
	if (!CHECK(copy != NULL))
		return -1;
	memcpy(copy, data, len);
	int rc = binary_read(copy, len, &binary, &err);
	if (rc == 0)
		CHECK_INT(binary_rename(binary, copy, len, &renamed, &err), 0);
	else
		CHECK(rc == RAMET_EUSER && err.msg[0]);
	return rc;
}

static void check_bounds(const char *file)
{
	char path[512];
	struct ramet_err err = {0};
	auto_free unsigned char *data = NULL;
	size_t len = 0;
	snprintf(path, sizeof(path), "%s/%s", HOST_FUNCTIONS_DIR, file);
	REQUIRE_OK(file_read(path, BINARY_MAX, (char **)&data, &len, &err), &err);
	CHECK_INT(read_module(data, len), 0);
	for (size_t cut = 0; cut < len; cut++)
		(void)read_module(data, cut);
	for (size_t at = 0; at < len; at++) {
		unsigned char was = data[at];
		static const unsigned char other[] = {0, 1, 0x7f, 0x80, 0xff};
		for (unsigned i = 0; i < ARRAY_LEN(other); i++) {
			data[at] = other[i];
			(void)read_module(data, len);
		}
		data[at] = was;
	}
}

static void test_cut_and_changed_modules_are_read_within_bounds(void)
{
	check_bounds(TINY);
	check_bounds("wasm_program.wasm");
	check_bounds("wasm_functions.wasm");
}

SUITE_MAIN("wasm_compile", TEST(test_the_same_is_found_again), TEST(test_several_at_once),
	TEST(test_what_a_killed_one_has_left_is_removed), TEST(test_modules_that_are_refused),
	TEST(test_names_are_no_c), TEST(test_a_node_that_cannot), TEST(test_files_elsewhere),
	TEST(test_cut_and_changed_modules_are_read_within_bounds))
