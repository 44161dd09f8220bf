/* Native functions of tests/calls. */
#include "ramet/function.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
