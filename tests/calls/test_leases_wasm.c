/* WebAssembly functions through leases: payloads that lie where the answer is to lie, errors, traps
 * and deadlines, each in the same process, reused or reset. */
#include "base/cleanup.h"
#include "tests/calls/call_cluster.h"
#include "tests/lib/suite.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct call_cluster cluster;
static char work[] =
	"/var/tmp/ramet-wasm-XXXXXX"; /* of what is compiled; not what is there in /tmp */

/* --- a daemon that keeps what it compiles there --- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static bool write_daemon(void)
{
	char path[64];
	if (!CHECK(mkdtemp(work) != NULL) || !CHECK_INT(chmod(work, 0755), 0))
		return false;
	snprintf(path, sizeof(path), "%s/rametd", work);
	FILE *script = fopen(path, "w");
	if (!CHECK(script != NULL))
		return false;
	fprintf(script,
		"#!/bin/sh\necho 'environments: %s/made' >>\"$2\"\nexec '%s/rametd' \"$@\"\n", work,
		getenv("RAMET_BIN"));
	return CHECK_INT(fclose(script), 0) && CHECK_INT(chmod(path, 0755), 0) &&
		CHECK_INT(setenv("RAMET_RAMETD", path, 1), 0);
}

static bool deploy(const char *name, const char *symbol, const char *fresh)
{
	struct ramet_deploy_options options = ramet_deploy_options_default();
	struct ramet_err err = {0};
	options.name = name;
	options.handler = symbol;
	options.fresh = fresh;
	return suite_check_ok(ramet_deploy(cluster.ramet, WASM_FUNCTIONS, &options, NULL, &err),
		&err, name, __FILE__, __LINE__);
}

static void test_begin(void)
{
	REQUIRE(write_daemon());
	REQUIRE(call_cluster_open(&cluster, CALL_NODES));
	CHECK(deploy("same", "same", NULL));
	CHECK(deploy("pull", "pull", NULL));
	CHECK(deploy("trap", "unreachable", NULL));
	CHECK(deploy("spin", "spin", NULL));
	CHECK(deploy("again", "spoil_or_look", "reset"));
}

/* --- calls --- */

static void check_bytes(const char *function, size_t len)
{
	struct ramet_call_options options = call_there();
	struct ramet_call *call = NULL;
	struct ramet_err err = {0};
	auto_free unsigned char *data = malloc(len + 1);
	REQUIRE(data != NULL);
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)(i * 13 + i / 4096);
	options.flags = RAMET_CALL_BINARY;
	REQUIRE_OK(
		ramet_call_async(cluster.ramet, function, data, len, &options, &call, &err), &err);
	struct ramet_result *r = call_end(call, 0);
	CHECK(r && call_was_leased(r) && r->binary && r->output_len == len &&
		memcmp(r->output, data, len) == 0);
	ramet_result_free(r);
}

static void test_payloads(void)
{
	static const size_t sizes[] = {0, 1, 100, 3000, 4096, 5000, 70000, 1000000, 2000000};
	static const char *const functions[] = {"same", "pull"};
	REQUIRE(cluster.ramet != NULL);
	for (unsigned f = 0; f < ARRAY_LEN(functions); f++) {
		CHECK(call_lease(cluster.ramet, functions[f]) > 0);
		for (unsigned i = 0; i < (f == 0 ? ARRAY_LEN(sizes) : 7); i++)
			check_bytes(functions[f], sizes[i]);
	}
}

static void test_one_process(void)
{
	REQUIRE(cluster.ramet != NULL);
	pid_t pid = call_lease(cluster.ramet, "same");
	for (unsigned i = 0; i < 200; i++) {
		struct ramet_result *r = call_expect(cluster.ramet, "same", "[1,{\"a\":2}]", 0);
		REQUIRE(r != NULL);
		CHECK(call_was_leased(r) && r->pid == pid);
		CHECK_STR((const char *)r->output, "[1,{\"a\":2}]");
		ramet_result_free(r);
	}
}

/* the function's instance is made anew, and its process stays */
static void test_after_a_trap(void)
{
	pid_t pid = 0;
	REQUIRE(cluster.ramet != NULL);
	for (unsigned i = 0; i < 20; i++) {
		struct ramet_result *r = call_expect(cluster.ramet, "trap", "0", RAMET_EUSER);
		REQUIRE(r && r->failure);
		CHECK_STR(r->failure->type, "WasmTrap");
		CHECK_STR(r->failure->message, "unreachable");
		CHECK(i < 10 || r->pid == pid);
		pid = r->pid;
		ramet_result_free(r);
	}
}

static void test_after_a_deadline(void)
{
	struct ramet_call_options options = call_there();
	REQUIRE(cluster.ramet != NULL);
	options.deadline_ms = 500; /* a process that has no CPU for as long again is ended by force */
	pid_t pid = 0;
	for (unsigned i = 0; i < 6; i++) {
		struct ramet_result *r =
			call_end(call_begin(cluster.ramet, "spin", "0", &options), RAMET_EDEADLINE);
		REQUIRE(r != NULL);
		CHECK(i < 4 || r->pid == pid);
		pid = r->pid;
		ramet_result_free(r);
	}
}

static void test_reset_between_calls(void)
{
	REQUIRE(cluster.ramet != NULL);
	pid_t pid = call_lease(cluster.ramet, "again");
	for (unsigned i = 0; i < 100; i++) {
		struct ramet_result *r = call_expect(cluster.ramet, "again", "0", 0);
		REQUIRE(r != NULL);
		CHECK(call_was_leased(r) && r->pid == pid);
		CHECK_STR((const char *)r->output, "\"as it was\"");
		ramet_result_free(r);
	}
}

static void test_end(void)
{
	if (cluster.ramet)
		call_cluster_close(&cluster);
	CHECK_INT(nftw(work, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

SUITE_MAIN("leases_wasm", TEST(test_begin), TEST(test_payloads), TEST(test_one_process),
	TEST(test_after_a_trap), TEST(test_after_a_deadline), TEST(test_reset_between_calls),
	TEST(test_end))
