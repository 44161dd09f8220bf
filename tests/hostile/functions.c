/* A function that does what its input says: well, or harm. Input: a JSON string, "kind id". Each
 * call counts itself in memory that all instances of its tenant on a node share, so that a test
 * sees how often each id was run, also where the process died of it. Native, and loaded by
 * functions.py. Built without sanitizers, as a user's function is. */
#include "ramet/function.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* not there in a Python host, whose symbols are bound at once; nor called */
#pragma weak ramet_input
#pragma weak ramet_output
#pragma weak ramet_answer
#pragma weak ramet_answerf
#pragma weak ramet_fail

#define EXPORT __attribute__((visibility("default")))
#define IDS 65536u
#define KEY 0x52414d45
#define TOO_MUCH ((size_t)1 << 30) /* memory that no limit of a test allows */
#define LARGE ((size_t)2 << 20) /* an output that none does */

EXPORT int behave(struct ramet_invocation *call);
EXPORT int tally(struct ramet_invocation *call);
EXPORT int hostile_count(unsigned id);
EXPORT int hostile_tally(unsigned char *dst, size_t cap);
EXPORT void hostile_scribble(void);

static _Atomic unsigned char *counters(void)
{
	int id = shmget(KEY, IDS, IPC_CREAT | 0600);
	void *at = id < 0 ? NULL : shmat(id, NULL, 0);
	return at == (void *)-1 ? NULL : at;
}

/* one more run of this id; -1: it cannot be counted */
int hostile_count(unsigned id)
{
	_Atomic unsigned char *count = counters();
	if (!count || id >= IDS)
		return -1;
	atomic_fetch_add(&count[id], 1);
	shmdt((const void *)count);
	return 0;
}

/* how often each id was run on this node */
int hostile_tally(unsigned char *dst, size_t cap)
{
	_Atomic unsigned char *count = counters();
	if (!count || cap < IDS)
		return -1;
	for (unsigned i = 0; i < IDS; i++)
		dst[i] = atomic_load(&count[i]);
	shmdt((const void *)count);
	return 0;
}

int tally(struct ramet_invocation *call)
{
	unsigned char *output = ramet_output(call, IDS, 1);
	if (!output || hostile_tally(output, IDS) < 0)
		return ramet_fail(call, "NoMemory", "the counters cannot be had");
	return 0;
}

/* --- harm --- */

static volatile int always = 1;

static void endless(void)
{
	while (always)
		;
}

static void eat(void)
{
	for (size_t got = 0; got < TOO_MUCH; got += 1 << 20) {
		char *memory = malloc(1 << 20);
		if (memory)
			memset(memory, 1, 1 << 20);
	}
}

static __attribute__((noinline)) int deeper(volatile char *above)
{
	volatile char frame[1024];
	frame[0] = (char)(*above + 1);
	return always ? deeper(frame) + frame[0] : 0;
}

static void flood(void)
{
	char line[1024];
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; i < 4096; i++)
		puts(line);
	fflush(stdout);
}

static void bomb(void)
{
	while (always)
		if (fork() < 0)
			usleep(1000);
}

static void close_all(void)
{
	syscall(SYS_close_range, 0u, ~0u, 0u);
	while (always)
		pause();
}

static int scribble_over_slots(void)
{
	char line[512];
	int found = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long start;
		unsigned long end;
		char perms[8];
		if (sscanf(line, "%lx-%lx %7s", &start, &end, perms) != 3 ||
			strcmp(perms, "rw-s") != 0 || !strstr(line, "ramet-slots") ||
			end - start >= 1u << 20)
			continue;
		memset((void *)start, 0x5a, end - start);
		found = 1;
	}
	if (maps)
		fclose(maps);
	return found;
}

static void scribble_into_sockets(void)
{
	char garbage[64];
	memset(garbage, 0x5a, sizeof(garbage));
	for (int fd = 0; fd < 64; fd++) {
		struct stat st;
		if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
			write(fd, garbage, sizeof(garbage)) < 0)
			break;
	}
	while (always)
		pause();
}

/* over the memory by which it is called; where it is called by a socket, into that */
void hostile_scribble(void)
{
	if (!scribble_over_slots())
		scribble_into_sockets();
}

static void ignore_signals(void)
{
	sigset_t all;
	for (int sig = 1; sig < SIGRTMAX; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	endless();
}

static void leave(void)
{
	_exit(3);
}

static void crash(void)
{
	static volatile uintptr_t nowhere = 0xdead000;
	*(volatile int *)nowhere = 1;
}

static void recurse(void)
{
	volatile char top = 0;
	deeper(&top);
}

static void fork_and_return(void)
{
	(void)!fork();
}

static void kill_itself(void)
{
	raise(SIGKILL);
}

static const struct {
	const char *name;
	void (*fn)(void);
} kinds[] = {
	{"loop", endless},
	{"memory", eat},
	{"recursion", recurse},
	{"print", flood},
	{"bomb", bomb},
	{"child", fork_and_return},
	{"exit", leave},
	{"segfault", crash},
	{"abort", abort},
	{"kill", kill_itself},
	{"close", close_all},
	{"scribble", hostile_scribble},
	{"signals", ignore_signals},
};

int behave(struct ramet_invocation *call)
{
	char text[64] = "";
	char kind[32] = "";
	unsigned id = 0;
	size_t len = 0;
	const void *input = ramet_input(call, &len);
	memcpy(text, input, len < sizeof(text) ? len : sizeof(text) - 1);
	if (sscanf(text, "\"%31s %u\"", kind, &id) != 2 || hostile_count(id) < 0)
		return ramet_fail(call, "BadInput", "%s", text);
	if (strcmp(kind, "output") == 0)
		return ramet_output(call, LARGE, 1) ? 0 : -1;
	if (strcmp(kind, "raise") == 0)
		return ramet_fail(call, "LookupError", "no %u", id);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, kind) == 0)
			kinds[i].fn();
	return ramet_answerf(call, "%u", id);
}
