/* clang-format off */
/* A host for tests, as small as it gets: speaks runtime/host_proto.h on descriptor 3, is captured, and as host or clone
 * runs these functions:
 *
 *	echo    its input
 *	pid     its pid
 *	sum     of a table made before the capture, plus the input
 *	crash   writes to address 8
 *	leave   exits with 3
 *	hang    sleeps for ever
 *	print   a line on stdout
 *	touch   writes to each page of the table
 *	late    the same as touch, when all of the table is on this node
 *	fail    an error
 *	pretend says that it crashed, hangs up, and goes on
 *
 * An app with IMPOSTOR in its environment gives the daemon for its shadow, or where the kernel has no pidfd of it,
 * the sandbox's init.
 *
 * Plain C and msgpack-c; never under a sanitizer, as all that enters a seed. */
/* clang-format on */
#include "rfork/safepoint.h"

#include <msgpack.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CONTROL 3
#define PEER_PIDFD 77 /* SO_PEERPIDFD, of Linux 6.5 */
#define TABLE (1u << 19) /* 4 MiB */

static uint64_t *table;

static uint64_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void send_frame(const msgpack_sbuffer *body, const int *fds, unsigned nfds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * 2)];
	} control;
	uint32_t len = (uint32_t)body->size;
	struct iovec iov[2] = {{&len, 4}, {body->data, body->size}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * nfds);
	}
	if (sendmsg(CONTROL, &msg, MSG_NOSIGNAL) != (ssize_t)(4 + body->size))
		_exit(9);
}

static void put_str(msgpack_packer *pk, const char *text)
{
	msgpack_pack_str_with_body(pk, text, strlen(text));
}

static void put_uint(msgpack_packer *pk, const char *key, uint64_t value)
{
	put_str(pk, key);
	msgpack_pack_uint64(pk, value);
}

static void say(const char *type, const char *key, uint64_t value, const char *key2,
	uint64_t value2, const int *fds, unsigned nfds)
{
	msgpack_sbuffer body;
	msgpack_packer pk;
	msgpack_sbuffer_init(&body);
	msgpack_packer_init(&pk, &body, msgpack_sbuffer_write);
	msgpack_pack_map(&pk, 3);
	put_str(&pk, "t");
	put_str(&pk, type);
	put_uint(&pk, key, value);
	put_uint(&pk, key2, value2);
	send_frame(&body, fds, nfds);
	msgpack_sbuffer_destroy(&body);
}

static void say_result(uint64_t id, const void *data, size_t len, uint64_t begin)
{
	msgpack_sbuffer body;
	msgpack_packer pk;
	msgpack_sbuffer_init(&body);
	msgpack_packer_init(&pk, &body, msgpack_sbuffer_write);
	msgpack_pack_map(&pk, 6);
	put_str(&pk, "t");
	put_str(&pk, "result");
	put_uint(&pk, "id", id);
	put_str(&pk, "ok");
	msgpack_pack_true(&pk);
	put_str(&pk, "data");
	msgpack_pack_bin_with_body(&pk, data, len);
	put_uint(&pk, "begin", begin);
	put_uint(&pk, "end", now());
	send_frame(&body, NULL, 0);
	msgpack_sbuffer_destroy(&body);
}

static void say_failure(uint64_t id)
{
	msgpack_sbuffer body;
	msgpack_packer pk;
	msgpack_sbuffer_init(&body);
	msgpack_packer_init(&pk, &body, msgpack_sbuffer_write);
	msgpack_pack_map(&pk, 4);
	put_str(&pk, "t");
	put_str(&pk, "result");
	put_uint(&pk, "id", id);
	put_str(&pk, "ok");
	msgpack_pack_false(&pk);
	put_str(&pk, "error");
	msgpack_pack_map(&pk, 3);
	put_str(&pk, "code");
	put_str(&pk, "EUSER");
	put_str(&pk, "kind");
	put_str(&pk, "user");
	put_str(&pk, "message");
	put_str(&pk, "it fails");
	send_frame(&body, NULL, 0);
	msgpack_sbuffer_destroy(&body);
}

/* asks the kernel, who looks at the image: nothing is touched, and nobody tells when it comes */
static void await_table(void)
{
	static unsigned char here[TABLE / 512];
	for (uint32_t have = 0; have < TABLE / 512; usleep(1000)) {
		uintptr_t begin = (uintptr_t)table & ~(uintptr_t)4095;
		if (mincore((void *)begin, TABLE * sizeof(*table), here) < 0)
			_exit(3);
		for (have = 0; have < TABLE / 512 && here[have] & 1;)
			have++;
	}
}

static const msgpack_object *get(const msgpack_object *map, const char *key)
{
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object_kv *kv = &map->via.map.ptr[i];
		if (kv->key.via.str.size == strlen(key) &&
			memcmp(kv->key.via.str.ptr, key, strlen(key)) == 0)
			return &kv->val;
	}
	_exit(8);
}

static int is(const msgpack_object *text, const char *what)
{
	return text->via.str.size == strlen(what) &&
		memcmp(text->via.str.ptr, what, strlen(what)) == 0;
}

static void do_call(const msgpack_object *map)
{
	uint64_t id = get(map, "id")->via.u64;
	const msgpack_object *fn = get(map, "fn");
	const msgpack_object *data = get(map, "data");
	uint64_t begin = now();
	char text[64];
	if (is(fn, "late"))
		await_table();
	if (is(fn, "sum") || is(fn, "touch") || is(fn, "late")) {
		uint64_t sum = strtoull(data->via.bin.ptr, NULL, 10);
		for (uint32_t i = 0; i < TABLE; i++)
			sum += table[i];
		if (!is(fn, "sum"))
			for (uint32_t i = 0; i < TABLE; i += 512)
				table[i]++;
		snprintf(text, sizeof(text), "%llu", (unsigned long long)sum);
		say_result(id, text, strlen(text), begin);
	} else if (is(fn, "pid")) {
		snprintf(text, sizeof(text), "%d", (int)getpid());
		say_result(id, text, strlen(text), begin);
	} else if (is(fn, "fail")) {
		say_failure(id);
	} else if (is(fn, "crash")) {
		int *volatile nowhere = (int *)8;
		*nowhere = 1;
	} else if (is(fn, "leave")) {
		_exit(3);
	} else if (is(fn, "pretend")) {
		say("crash", "signal", SIGSEGV, "address", 8, NULL, 0);
		close(CONTROL);
		for (;;)
			pause();
	} else if (is(fn, "hang")) {
		for (;;)
			pause();
	} else {
		if (is(fn, "print"))
			if (write(STDOUT_FILENO, "hello\n", 6) != 6)
				_exit(7);
		say_result(id, data->via.bin.ptr, data->via.bin.size, begin);
	}
}

/* a descriptor of the process that made the control socket: the daemon */
static int daemon_pidfd(void)
{
	int fd = -1;
	socklen_t len = sizeof(fd);
	if (getsockopt(CONTROL, SOL_SOCKET, PEER_PIDFD, &fd, &len) < 0)
		fd = (int)syscall(SYS_pidfd_open, 1, 0);
	return fd;
}

static void do_false_capture(void)
{
	int ready[2];
	if (pipe(ready) < 0 || write(ready[1], "x", 1) != 1)
		_exit(6);
	int fds[2] = {daemon_pidfd(), ready[0]};
	say("captured", "state", 4096, "stall", 1, fds, 2);
}

static void do_capture(void)
{
	struct safepoint_shadow shadow;
	struct ramet_err err = {0};
	uint64_t first = 0;
	int side = safepoint_capture(CONTROL, &shadow, &first, &err);
	if (side == SAFEPOINT_CLONE) {
		say("started", "first", first, "hooks", now(), NULL, 0);
	} else if (side == SAFEPOINT_HOST) {
		int fds[2] = {shadow.pidfd, shadow.ready_fd};
		say("captured", "state", shadow.state, "stall", shadow.stall_ns, fds, 2);
		close(shadow.pidfd);
		close(shadow.ready_fd);
	} else {
		_exit(6);
	}
}

static void read_all(void *dst, size_t len)
{
	for (char *at = dst; len > 0;) {
		ssize_t n = read(CONTROL, at, len);
		if (n <= 0)
			_exit(5);
		at += n;
		len -= (size_t)n;
	}
}

int main(void)
{
	static msgpack_unpacked msg;
	uint32_t len = 0;
	signal(SIGCHLD, SIG_IGN); /* the shadow */
	say("ready", "a", 0, "b", 0, NULL, 0);
	for (;;) {
		read_all(&len, sizeof(len));
		char *bytes = malloc(len);
		if (!bytes)
			return 4;
		read_all(bytes, len);
		msgpack_unpacked_init(&msg);
		if (msgpack_unpack_next(&msg, bytes, len, NULL) != MSGPACK_UNPACK_SUCCESS)
			return 4;
		const msgpack_object *type = get(&msg.data, "t");
		if (is(type, "load")) {
			table = malloc(TABLE * sizeof(*table));
			for (uint32_t i = 0; table && i < TABLE; i++)
				table[i] = i;
			say("loaded", "us", 1, "b", 0, NULL, 0);
		} else if (is(type, "capture") && getenv("IMPOSTOR")) {
			do_false_capture();
		} else if (is(type, "capture")) {
			do_capture();
		} else if (is(type, "call")) {
			do_call(&msg.data);
		} else if (is(type, "exit")) {
			return 0;
		}
		msgpack_unpacked_destroy(&msg);
		free(bytes);
	}
}
