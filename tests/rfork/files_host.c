/* A host for test_landlock.c: answers, for each number it reads, what came of doing that: 0 or an
 * errno. Its first argument is a directory that everybody may write to. Descriptor 3 is its control
 * socket; like counter_host it says "S" with its shadow. */
#include "tests/rfork/files_host.h"
#include "rfork/safepoint.h"
#include "tests/rfork/send_shadow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int kept_fd; /* of a file that was opened for writing before the capture */

static int closed(int fd)
{
	return fd < 0 ? -1 : close(fd);
}

static int try_connect(void)
{
	const struct sockaddr_in nobody = {.sin_family = AF_INET,
		.sin_port = htons(1),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&nobody, sizeof(nobody));
	int error = errno;
	(void)closed(fd);
	errno = error;
	return rc;
}

static int attempt(uint64_t what)
{
	switch (what) {
	case FILES_READ:
		return closed(open("file", O_RDONLY | O_CLOEXEC));
	case FILES_WRITE:
		return closed(open("file", O_WRONLY | O_CLOEXEC));
	case FILES_MAKE:
		return closed(open("new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	case FILES_TRUNCATE:
		return truncate("file", 0);
	case FILES_REMOVE:
		return unlink("file");
	case FILES_MAKE_DIR:
		return mkdir("dir", 0700);
	case FILES_RUN:
		return execl("/bin/true", "true", NULL);
	case FILES_CONNECT:
		return try_connect();
	case FILES_SIGNAL:
		return kill(getppid(), 0);
	case FILES_KEPT:
		return write(kept_fd, "x", 1) == 1 ? 0 : -1;
	default:
		errno = EINVAL;
		return -1;
	}
}

int main(int argc, char **argv)
{
	struct safepoint_shadow shadow;
	struct ramet_err err = {0};
	uint64_t what;
	uint64_t first = 0;
	if (argc != 2 || chdir(argv[1]) < 0)
		return 1;
	kept_fd = memfd_create("kept", MFD_CLOEXEC);
	int side = safepoint_capture(3, &shadow, &first, &err);
	if (side < 0 || kept_fd < 0)
		return 1;
	if (side == SAFEPOINT_HOST && send_shadow(&shadow) < 0)
		return 2;
	while (read(3, &what, sizeof(what)) == (ssize_t)sizeof(what)) {
		uint64_t error = attempt(what) < 0 ? (uint64_t)errno : 0;
		if (write(3, &error, sizeof(error)) != (ssize_t)sizeof(error))
			return 3;
	}
	return 0;
}
