/* ramet-wasm: WebAssembly modules of an app made into shared objects, when it is deployed. Run by
 * rametd as the app's user, outside of sandboxes, or by hand; the last line that it prints is the
 * directory of the objects.
 *
 *	ramet-wasm [--host] ROOT MODULE...
 *
 * ROOT is the directory for what is made, and is itself made where it is missing; MODULEs are files
 *below the working directory. --host: what came of it is told on the control socket, as a host does
 *(runtime/host_proto.h): ready, then loaded with the directory as its one root, or failed. */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/file.h"
#include "base/frame.h"
#include "base/wire.h"
#include "cmd/ramet-wasm/compile.h"
#include "runtime/host_proto.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- what is told to rametd --- */

static int say(struct buf *message, struct ramet_err *err)
{
	int rc = wire_end(message, err);
	return rc < 0 ? rc
		      : frame_write(HOST_CONTROL_FD, message->data, message->len, NULL, 0, 0, err);
}

static int say_ready(struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	if (fcntl(HOST_CONTROL_FD, F_SETFD, FD_CLOEXEC) < 0) /* not the compiler's */
		return err_errno(err, RAMET_EIO, "no control socket");
	wire_map(&b, 3);
	wire_kstr(&b, "t", "ready");
	wire_kstr(&b, "engine", "wasm");
	wire_kstr(&b, "detail", "ramet-wasm");
	return say(&b, err);
}

static int say_loaded(const struct compile *compile, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 3);
	wire_kstr(&b, "t", "loaded");
	wire_kuint(&b, "us", 0);
	wire_key(&b, "roots");
	wire_array(&b, 1);
	wire_str(&b, compile->dir);
	return say(&b, err);
}

static int say_failed(const struct ramet_err *why, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 2);
	wire_kstr(&b, "t", "failed");
	wire_key(&b, "error");
	wire_map(&b, 5);
	wire_kstr(&b, "code", err_name(why->code));
	wire_kstr(&b, "kind", why->code == RAMET_EUSER ? "user" : "system");
	wire_kstr(&b, "type", "");
	wire_kstr(&b, "message", why->msg);
	wire_kstr(&b, "traceback", "");
	return say(&b, err);
}

/* --- */

static void print(const struct compile *compile)
{
	for (unsigned i = 0; i < compile->nmodules; i++)
		printf("%s: %s\n", compile->modules[i].file,
			compile->modules[i].was_there ? "was compiled before" : "compiled");
	printf("%s\n", compile->dir);
	fflush(stdout);
}

static int run(
	const char *root, char **files, int nfiles, struct compile *compile, struct ramet_err *err)
{
	if (nfiles > COMPILE_MODULES_MAX)
		return err_set(err, RAMET_EUSER, "more than %d modules", COMPILE_MODULES_MAX);
	int rc = file_mkdirs(root, 0755, err);
	if (rc < 0)
		return rc;
	if (!realpath(root, compile->root))
		return err_errno(err, RAMET_EIO, "%s", root);
	compile->app = ".";
	compile->modules = calloc((size_t)nfiles, sizeof(*compile->modules));
	if (!compile->modules)
		return err_nomem(err);
	compile->nmodules = (unsigned)nfiles;
	for (int i = 0; i < nfiles; i++)
		compile->modules[i].file = files[i];
	rc = compile_all(compile, err);
	if (rc == 0)
		print(compile);
	return rc;
}

/* until rametd has read the answer */
static int answer(const struct compile *compile, const struct ramet_err *result)
{
	struct ramet_err err = {0};
	char end;
	int rc = result->code < 0 ? say_failed(result, &err) : say_loaded(compile, &err);
	if (rc == 0 && read(HOST_CONTROL_FD, &end, 1) < 0)
		rc = err_errno(&err, RAMET_EIO, "the control socket");
	if (rc < 0)
		fprintf(stderr, "ramet-wasm: %s\n", err.msg);
	return rc < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct compile compile = {0};
	struct ramet_err err = {0};
	bool host = argc > 1 && strcmp(argv[1], "--host") == 0;
	int first = host ? 2 : 1;
	if (argc < first + 2) {
		fprintf(stderr, "usage: ramet-wasm [--host] ROOT MODULE...\n");
		return 2;
	}
	int rc = host ? say_ready(&err) : 0;
	if (rc < 0) {
		fprintf(stderr, "ramet-wasm: %s\n", err.msg);
		return 1;
	}
	rc = run(argv[first], argv + first + 1, argc - first - 1, &compile, &err);
	if (rc < 0)
		fprintf(stderr, "ramet-wasm: %s\n", err.msg);
	int status = host ? answer(&compile, &err) : rc < 0 ? 1 : 0;
	compile_fini(&compile);
	return status;
}
