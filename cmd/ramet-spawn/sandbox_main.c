/* ramet-sandbox: the process that sandboxes are forked from. ramet-spawn starts it
 * (runtime/spawn/sandbox_proto.h); nobody else does. It links nothing but libc, because every
 * sandbox costs a copy of its page tables. */
#include "runtime/spawn/sandbox_init.h"
#include "runtime/spawn/sandbox_proto.h"
#include "runtime/spawn/sandbox_root.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int answer(const struct sandbox_reply *reply)
{
	ssize_t n = send(SANDBOX_SOCKET_FD, reply, sizeof(*reply), MSG_NOSIGNAL);
	return n == sizeof(*reply) ? 0 : -1;
}

static int serve(const int ready[2])
{
	for (;;) {
		struct sandbox_request request;
		ssize_t n = recv(SANDBOX_SOCKET_FD, &request, sizeof(request), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(request))
			return n == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
		for (uint32_t i = 0; i < request.count; i++) {
			struct sandbox_reply reply = {0};
			sandbox_init_start(ready, &reply);
			if (answer(&reply) < 0)
				return EXIT_FAILURE;
		}
	}
}

int main(int argc, char **argv)
{
	bool view = argc > 3 && strcmp(argv[3], SANDBOX_VIEW_OPTION) == 0;
	int next = view ? 4 : 3;
	bool data = argc > next && strcmp(argv[next], SANDBOX_DATA_OPTION) == 0;
	if (argc < next || (argc > next && !data)) {
		fprintf(stderr,
			"usage: ramet-sandbox STORE HIDE [" SANDBOX_VIEW_OPTION
			"] [" SANDBOX_DATA_OPTION
			" PATH...]   (started by ramet-spawn; \"\": none)\n");
		return 2;
	}
	char **paths = argv + next + data;
	const char *store = argv[1][0] ? argv[1] : NULL;
	const char *hidden = argv[2][0] ? argv[2] : NULL;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);

	struct sandbox_reply reply = {0};
	int ready[2] = {-1, -1};
	int rc = sandbox_root_enter(store, hidden, view ? SANDBOX_VIEW_FD : -1,
		(const char *const *)paths, SANDBOX_VIEW_FD + view, &reply);
	if (rc == 0 && pipe2(ready, O_CLOEXEC) < 0)
		rc = sandbox_fail(&reply, "create", "a pipe");
	if (answer(&reply) < 0 || rc < 0)
		return EXIT_FAILURE;
	return serve(ready);
}
