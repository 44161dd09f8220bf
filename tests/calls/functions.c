/* Native functions of tests/calls. */
#include "ramet/function.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int echo(struct ramet_invocation *call);
EXPORT int count(struct ramet_invocation *call);
EXPORT int nap(struct ramet_invocation *call);
EXPORT int stubborn(struct ramet_invocation *call);
EXPORT int patient(struct ramet_invocation *call);
EXPORT int misbehave(struct ramet_invocation *call);
EXPORT int noisy(struct ramet_invocation *call);
EXPORT int blob(struct ramet_invocation *call);
EXPORT int tell(struct ramet_invocation *call);
EXPORT int flood(struct ramet_invocation *call);
EXPORT int soil(struct ramet_invocation *call);

static long number(const struct ramet_invocation *call)
{
	char text[32];
	size_t len = 0;
	const void *data = ramet_input(call, &len);
	len = len < sizeof(text) - 1 ? len : sizeof(text) - 1;
	memcpy(text, data, len);
	text[len] = '\0';
	return strtol(text, NULL, 10);
}

int echo(struct ramet_invocation *call)
{
	size_t len = 0;
	const void *data = ramet_input(call, &len);
	return ramet_answer(call, data, len, ramet_input_is_binary(call));
}

/* how often it was called in this process */
int count(struct ramet_invocation *call)
{
	static long calls;
	return ramet_answerf(call, "%ld", ++calls);
}

/* sleeps for as many milliseconds, or until it is interrupted */
int nap(struct ramet_invocation *call)
{
	long ms = number(call);
	const struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&ts, NULL);
	if (ramet_cancelled(call))
		return ramet_fail(call, "Interrupted", "woken up");
	return ramet_answerf(call, "%ld", ms);
}

/* does not end when it is asked to */
int stubborn(struct ramet_invocation *call)
{
	volatile long always = number(call);
	while (always)
		;
	return ramet_answerf(call, "0");
}

/* ends when it is asked to */
int patient(struct ramet_invocation *call)
{
	long wait = number(call);
	while (wait && !ramet_cancelled(call))
		pause();
	if (wait)
		return ramet_fail(call, "Interrupted", "asked to end");
	return ramet_answerf(call, "0");
}

/* prints what it is given, and goes on for a moment */
int noisy(struct ramet_invocation *call)
{
	const struct timespec ts = {.tv_nsec = 50000000};
	printf("this is %ld\n", number(call));
	fflush(stdout);
	nanosleep(&ts, NULL);
	return ramet_answerf(call, "0");
}

/* number bytes of 'b' */
int blob(struct ramet_invocation *call)
{
	size_t len = (size_t)number(call);
	void *data = ramet_output(call, len, 1);
	if (!data)
		return -1;
	memset(data, 'b', len);
	return 0;
}

/* writes over every shared mapping that it finds: the slots of its lease are one */
static void scribble(void)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long start;
		unsigned long end;
		char perms[8];
		if (sscanf(line, "%lx-%lx %7s", &start, &end, perms) != 3 ||
			strcmp(perms, "rw-s") != 0)
			continue;
		if (strstr(line, "ramet-slots") && end - start < 1u << 20)
			memset((void *)start, 0x5a, end - start);
	}
	if (maps)
		fclose(maps);
}

static volatile uintptr_t nowhere = 16;

int misbehave(struct ramet_invocation *call)
{
	size_t len = 0;
	const char *how = ramet_input(call, &len);
	if (len > 6 && memcmp(how, "\"crash\"", 7) == 0) {
		fprintf(stderr, "about to crash\n");
		*(volatile int *)nowhere = 1;
	}
	if (len > 5 && memcmp(how, "\"exit\"", 6) == 0)
		_exit(3);
	if (len > 5 && memcmp(how, "\"kill\"", 6) == 0)
		raise(SIGKILL);
	if (len > 9 && memcmp(how, "\"scribble\"", 10) == 0)
		scribble();
	if (len > 6 && memcmp(how, "\"close\"", 7) == 0)
		for (int fd = 0; fd < 64; fd++)
			close(fd);
	return ramet_answer(call, "true", 4, 0);
}

/* emits that many numbers, each with how far it is; answers whether anybody listens */
int tell(struct ramet_invocation *call)
{
	long count = number(call);
	for (long i = 0; i < count; i++) {
		char text[32];
		int len = snprintf(text, sizeof(text), "%ld", i);
		if (ramet_progress(call, (double)i / (double)count, text) < 0 ||
			ramet_emit(call, text, (size_t)len, 0) < 0)
			return -1;
	}
	return ramet_answerf(call, "%d", ramet_listened(call));
}

/* emits until it cannot any more */
int flood(struct ramet_invocation *call)
{
	static char chunk[1 << 18];
	while (ramet_emit(call, chunk, sizeof(chunk), 1) == 0)
		if (!ramet_listened(call))
			return ramet_fail(call, "Silence", "nobody listens");
	return -1;
}

/* Says whether the output pipe and the control socket are as a new instance has them, and which
 * socket it is; then leaves something in them. */
int soil(struct ramet_invocation *call)
{
	static const unsigned char crash[] = "\x11\0\0\0\x82\xa1t\xa5"
					     "crash\xa6"
					     "signal\x0b";
	char byte;
	struct stat st = {0};
	bool clean = fcntl(1, F_GETFL) == O_WRONLY && fcntl(2, F_GETFL) == O_WRONLY &&
		fcntl(3, F_GETFL) == O_RDWR && fstat(3, &st) == 0 &&
		recv(3, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
	switch (number(call)) {
	case 1:
		fcntl(1, F_SETFL, O_WRONLY | O_NONBLOCK);
		break;
	case 2:
		fcntl(3, F_SETFL, O_RDWR | O_NONBLOCK);
		break;
	case 3:
		shutdown(3, SHUT_RD);
		break;
	case 4:
		printf("%llu\n", (unsigned long long)st.st_ino);
		break;
	case 5:
		shutdown(3, SHUT_WR);
		break;
	case 6: /* more than is read at once, of what may be said at any time */
		for (int i = 0; i < 2000; i++)
			(void)!send(3, crash, sizeof(crash) - 1, MSG_DONTWAIT);
		break;
	case 7: /* half a frame */
		(void)!send(3, crash, 2, MSG_DONTWAIT);
		break;
	case 8: /* who stays behind, and goes on saying so */
		if (fork() == 0)
			for (;;)
				(void)!send(3, crash, sizeof(crash) - 1, MSG_DONTWAIT);
		break;
	case 9: /* and who listens */
		if (fork() == 0)
			for (;;)
				(void)!recv(3, &byte, 1, 0);
		break;
	case 10: /* the same by one whose parent is ours */
		if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL) == 0)
			for (;;)
				(void)!recv(3, &byte, 1, 0);
		break;
	case 11:
		close(3); /* once it has answered nobody looks */
		break;
	default:
		break;
	}
	return ramet_answerf(
		call, "%s %llu", clean ? "clean" : "dirty", (unsigned long long)st.st_ino);
}
