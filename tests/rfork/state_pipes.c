/* Cases: pipes and socket pairs within the process, and sockets that go elsewhere. */
#include "tests/rfork/state.h"

#include "rfork/safepoint.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- pipes --- */

static int bytes_pipe[2];

static int pipe_setup(void)
{
	if (pipe2(bytes_pipe, O_CLOEXEC) < 0 || fcntl(bytes_pipe[0], F_SETFL, O_NONBLOCK) < 0 ||
		fcntl(bytes_pipe[1], F_SETPIPE_SZ, 262144) != 262144)
		return STATE_BROKEN;
	return write(bytes_pipe[1], "hello, ", 7) == 7 && write(bytes_pipe[1], "pipe", 4) == 4
		? STATE_OK
		: STATE_BROKEN;
}

static const char *pipe_check(void)
{
	char bytes[32] = "";
	int waiting = 0;
	STATE_EXPECT_INT(ioctl(bytes_pipe[0], FIONREAD, &waiting), 0);
	STATE_EXPECT_INT(waiting, 11);
	STATE_EXPECT_INT(read(bytes_pipe[0], bytes, sizeof(bytes)), 11);
	STATE_EXPECT(memcmp(bytes, "hello, pipe", 11) == 0);
	STATE_EXPECT_INT(read(bytes_pipe[0], bytes, 1), -1); /* not blocking */
	STATE_EXPECT_INT(errno, EAGAIN);
	STATE_EXPECT_INT(fcntl(bytes_pipe[1], F_GETFL) & O_NONBLOCK, 0);
	STATE_EXPECT_INT(fcntl(bytes_pipe[1], F_GETFD), FD_CLOEXEC);
	STATE_EXPECT_INT(fcntl(bytes_pipe[0], F_GETPIPE_SZ), 262144);
	STATE_EXPECT_INT(write(bytes_pipe[1], "ab", 2), 2);
	STATE_EXPECT_INT(read(bytes_pipe[0], bytes, 2), 2);
	return NULL;
}

/* a pipe that is full, and one whose writers are gone */
static int full_pipe[2], ended_pipe, readerless_pipe;

static int odd_pipes_setup(void)
{
	static const char zeros[65536];
	int ended[2], readerless[2];
	if (pipe(full_pipe) < 0 || pipe(ended) < 0 || pipe(readerless) < 0 ||
		write(full_pipe[1], zeros, sizeof(zeros)) != sizeof(zeros) ||
		write(ended[1], "end", 3) != 3)
		return STATE_BROKEN;
	close(ended[1]);
	close(readerless[0]);
	ended_pipe = ended[0];
	readerless_pipe = readerless[1];
	return STATE_OK;
}

static const char *odd_pipes_check(void)
{
	struct pollfd full = {.fd = full_pipe[1], .events = POLLOUT};
	char bytes[8];
	int waiting = 0;
	int ready;
	while ((ready = poll(&full, 1, 0)) < 0 && errno == EINTR)
		;
	STATE_EXPECT_INT(ready, 0);
	STATE_EXPECT_INT(ioctl(full_pipe[0], FIONREAD, &waiting), 0);
	STATE_EXPECT_INT(waiting, 65536);
	STATE_EXPECT_INT(read(ended_pipe, bytes, sizeof(bytes)), 3);
	STATE_EXPECT_INT(read(ended_pipe, bytes, sizeof(bytes)), 0);
	STATE_EXPECT_INT(write(readerless_pipe, "x", 1), -1); /* SIGPIPE is ignored in hosts */
	STATE_EXPECT_INT(errno, EPIPE);
	return NULL;
}

/* --- socket pairs --- */

static int pair[2], packets[2], ended_pair[2];

static int pair_setup(void)
{
	const int size = 20000;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets) < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM, 0, ended_pair) < 0 ||
		setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
		write(pair[0], "wake ", 5) != 5 || write(pair[0], "up", 2) != 2 ||
		write(ended_pair[0], "bye", 3) != 3 || shutdown(ended_pair[0], SHUT_WR) < 0)
		return STATE_BROKEN;
	return STATE_OK;
}

static const char *packets_check(void)
{
	char bytes[32];
	STATE_EXPECT_INT(write(packets[0], "one", 3), 3);
	STATE_EXPECT_INT(write(packets[0], "two", 3), 3);
	STATE_EXPECT_INT(recv(packets[1], bytes, sizeof(bytes), MSG_DONTWAIT), 3);
	STATE_EXPECT_INT(recv(packets[1], bytes, sizeof(bytes), MSG_DONTWAIT), 3);
	STATE_EXPECT_INT(recv(ended_pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), 3);
	STATE_EXPECT_INT(recv(ended_pair[1], bytes, sizeof(bytes), MSG_DONTWAIT), 0);
	STATE_EXPECT_INT(send(ended_pair[1], "still", 5, MSG_DONTWAIT), 5);
	STATE_EXPECT_INT(recv(ended_pair[0], bytes, sizeof(bytes), MSG_DONTWAIT), 5);
	return NULL;
}

static const char *pair_check(void)
{
	char bytes[32];
	int size = 0;
	socklen_t len = sizeof(size);
	STATE_EXPECT_INT(read(pair[1], bytes, sizeof(bytes)), 7);
	STATE_EXPECT(memcmp(bytes, "wake up", 7) == 0);
	STATE_EXPECT_INT(read(pair[1], bytes, 1), -1);
	STATE_EXPECT_INT(errno, EAGAIN);
	STATE_EXPECT_INT(write(pair[1], "ok", 2), 2);
	STATE_EXPECT_INT(read(pair[0], bytes, sizeof(bytes)), 2);
	STATE_EXPECT_INT(getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, &len), 0);
	STATE_EXPECT_INT(size, 40000);
	return packets_check();
}

/* --- what is refused --- */

static int refused[2] = {-1, -1};

static const char *refused_check(void)
{
	STATE_EXPECT(fcntl(refused[0], F_GETFD) >= 0);
	return NULL;
}

static int packets_setup(void)
{
	return socketpair(AF_UNIX, SOCK_DGRAM, 0, refused) == 0 && write(refused[0], "x", 1) == 1
		? STATE_OK
		: STATE_BROKEN;
}

/* a descriptor travels in it */
static int rights_setup(void)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(char[1]){0}, 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, refused) < 0)
		return STATE_BROKEN;
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &refused[1], sizeof(int));
	return sendmsg(refused[0], &msg, 0) == 1 ? STATE_OK : STATE_BROKEN;
}

static int half_setup(void)
{
	refused[0] =
		open("/proc/self/fd/1", O_RDONLY | O_NONBLOCK); /* who writes is not us alone */
	return refused[0] >= 0 ? STATE_OK : STATE_BROKEN;
}

static int listen_setup(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	refused[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(refused[0], (struct sockaddr *)&at, sizeof(at)) == 0 &&
			listen(refused[0], 1) == 0
		? STATE_OK
		: STATE_BROKEN;
}

static int connect_setup(void)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	if (listen_setup() < 0 || getsockname(refused[0], (struct sockaddr *)&at, &len) < 0)
		return STATE_BROKEN;
	refused[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(refused[1], (struct sockaddr *)&at, len) < 0)
		return STATE_BROKEN;
	int listener = refused[0];
	refused[0] = refused[1];
	refused[1] = fcntl(listener, F_DUPFD, 100); /* the first that is found is told */
	close(listener);
	return STATE_OK;
}

/* --- closed instead, where the deployment says so --- */

static const char *closed_check(void)
{
	STATE_EXPECT_INT(fcntl(refused[0], F_GETFD), -1);
	STATE_EXPECT_INT(errno, EBADF);
	return NULL;
}

const struct state_case state_pipes[] = {
	{.name = "pipe with bytes in it",
		.setup = pipe_setup,
		.check_child = pipe_check,
		.check_parent = pipe_check,
		.fault = "safepoint.pipes"},
	{.name = "pipe that is full, pipe without writers",
		.setup = odd_pipes_setup,
		.check_child = odd_pipes_check,
		.check_parent = odd_pipes_check,
		.fault = "safepoint.pipes"},
	{.name = "socket pairs",
		.setup = pair_setup,
		.check_child = pair_check,
		.check_parent = pair_check,
		.fault = "safepoint.sockets"},
	{.name = "socket pair with a packet in it",
		.setup = packets_setup,
		.check_parent = refused_check,
		.refused = "a socket pair with messages in it"},
	{.name = "socket pair with a descriptor in it",
		.setup = rights_setup,
		.check_parent = refused_check,
		.refused = "a socket pair with messages in it"},
	{.name = "pipe of another process",
		.setup = half_setup,
		.check_parent = refused_check,
		.refused = "a pipe whose other end is in another process"},
	{.name = "listening socket",
		.setup = listen_setup,
		.check_parent = refused_check,
		.refused = "a TCP socket listening at 127.0.0.1:"},
	{.name = "connected socket",
		.setup = connect_setup,
		.check_parent = refused_check,
		.refused = "a TCP socket connected to 127.0.0.1:"},
	{.name = "connected socket that is closed on fork",
		.setup = connect_setup,
		.check_child = closed_check,
		.check_parent = refused_check,
		.fault = "safepoint.close",
		.close_on_fork = SAFEPOINT_CLOSE_SOCKETS,
		.flags = STATE_ALONE},
	{.name = NULL},
};
