/* ramet-host: a host for native functions. rametd starts it; it serves its control socket until it
 * is told to end. */
#include "base/err.h"
#include "runtime/host/host.h"
#include "runtime/native/native_engine.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct ramet_err err;
	(void)argv;
	if (argc > 1) {
		fprintf(stderr, "usage: ramet-host   (started by rametd)\n");
		return 2;
	}
	if (ramet_host_register(&ramet_engine, &err) < 0) {
		fprintf(stderr, "ramet-host: %s\n", err.msg);
		return RAMET_HOST_LOAD;
	}
	int status = ramet_host_run();
	fflush(NULL);
	_exit(status);
}
