/* Native functions for tests of hosts: each shows one thing that a host must get right. Never under
 * a sanitizer, as all that enters a seed. */
#include "ramet/function.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define AREA_PAGES 16
#define TABLE 1000
#define HANDLER(name) \
	RAMET_FUNCTION_EXPORT int name(struct ramet_invocation *call); \
	int name(struct ramet_invocation *call)

static unsigned table[TABLE];
static unsigned char *area; /* filled before the capture */
static unsigned char clone_seed[RAMET_FUNCTION_SEED_BYTES];
static int refuse_snapshot, refuse_clone;

static unsigned char *map_pages(void)
{
	void *p = mmap(NULL, AREA_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	return p == MAP_FAILED ? NULL : p;
}

int ramet_init(void)
{
	for (unsigned i = 0; i < TABLE; i++)
		table[i] = i;
	area = map_pages();
	unsigned char *hidden = map_pages();
	if (!area || !hidden)
		return 1;
	memset(area, 0xaa, AREA_PAGES * PAGE);
	hidden[0] = 1;
	srandom(1);
	return madvise(
		hidden, AREA_PAGES * PAGE, MADV_DONTFORK); /* would make the capture impossible */
}

static int preparations;

RAMET_FUNCTION_EXPORT int prepare(void);
int prepare(void)
{
	preparations++;
	return table[1] == 1 ? 0 : 1; /* ramet_init() was before */
}

RAMET_FUNCTION_EXPORT int prepare_badly(void);
int prepare_badly(void)
{
	return 7;
}

HANDLER(prepared)
{
	return ramet_answerf(call, "%d", preparations);
}

int ramet_before_snapshot(void)
{
	return refuse_snapshot;
}

int ramet_after_clone(const unsigned char seed[RAMET_FUNCTION_SEED_BYTES])
{
	memcpy(clone_seed, seed, sizeof(clone_seed));
	return refuse_clone;
}

/* the input as text */
static const char *text_of(const struct ramet_invocation *call)
{
	static char text[256];
	size_t len;
	const void *input = ramet_input(call, &len);
	len = len < sizeof(text) ? len : sizeof(text) - 1;
	if (len > 0)
		memcpy(text, input, len);
	text[len] = 0;
	return text;
}

static void hex(char *dst, const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		snprintf(dst + 2 * i, 3, "%02x", bytes[i]);
}

HANDLER(echo)
{
	size_t len;
	const void *input = ramet_input(call, &len);
	return ramet_answer(call, input, len, ramet_input_is_binary(call));
}

HANDLER(nothing)
{
	(void)call;
	return 0;
}

HANDLER(context)
{
	char id[2 * RAMET_FUNCTION_ID_BYTES + 1];
	hex(id, ramet_call_id(call), RAMET_FUNCTION_ID_BYTES);
	return ramet_answerf(call, "%s %s %llu %llu/%llu %llu %s %s", ramet_function_name(call),
		ramet_function_version(call), (unsigned long long)ramet_node(call),
		(unsigned long long)ramet_rank(call), (unsigned long long)ramet_group_size(call),
		(unsigned long long)ramet_deadline_ns(call), id, getenv("COLOUR"));
}

HANDLER(fail)
{
	return ramet_fail(call, "ValueError", "no %s today", "luck");
}

HANDLER(seven)
{
	(void)call;
	return 7;
}

/* as many bytes as the input says; the first answer is replaced */
HANDLER(big)
{
	size_t len = strtoul(text_of(call), NULL, 10);
	if (ramet_answer(call, "first", 5, 0) < 0)
		return -1;
	char *output = ramet_output(call, len, 1);
	if (!output)
		return -1;
	memset(output, 'b', len);
	return 0;
}

HANDLER(spin)
{
	while (!ramet_cancelled(call))
		;
	return -1;
}

static int overflow(volatile char *outer)
{
	volatile char frame[4096];
	frame[0] = *outer; /* 0, so it does not end */
	return frame[0] ? 1 : overflow(frame) + frame[0];
}

/* what a child that crashes leaves behind */
static int crash_child(struct ramet_invocation *call)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0)
		abort();
	waitpid(pid, &status, 0);
	return ramet_answerf(call, "%d", WTERMSIG(status));
}

HANDLER(crash)
{
	const char *how = text_of(call);
	char start = 0;
	printf("about to crash\n"); /* stdout is a pipe: it must have been written all the same */
	if (strcmp(how, "child") == 0)
		return crash_child(call);
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "overflow") == 0)
		return overflow(&start);
	*(volatile int *)0x1238 = 1; /* NOLINT: that is what it is for */
	return 0;
}

HANDLER(sum)
{
	unsigned total = 0;
	for (unsigned i = 0; i < TABLE; i++)
		total += table[i];
	table[0]++; /* what one instance writes, no other sees */
	return ramet_answerf(call, "%u", total);
}

HANDLER(seed)
{
	char text[2 * RAMET_FUNCTION_SEED_BYTES + 1];
	hex(text, clone_seed, sizeof(clone_seed));
	return ramet_answerf(call, "%s %ld", text, random());
}

/* pages 3 to 5 are given back and must be zeros; the others are as they were */
HANDLER(dontneed)
{
	unsigned zeros = 0;
	unsigned kept = 0;
	area[4 * PAGE] = 1; /* one was written since, the others not */
	if (madvise(area + 3 * PAGE, 3 * PAGE, MADV_DONTNEED) < 0)
		return ramet_fail(call, "OSError", "madvise");
	for (size_t i = 0; i < AREA_PAGES * PAGE; i++) {
		zeros += area[i] == 0;
		kept += area[i] == 0xaa;
	}
	return ramet_answerf(call, "%u %u", zeros, kept);
}

HANDLER(refuse)
{
	const char *what = text_of(call);
	refuse_snapshot = strcmp(what, "snapshot") == 0;
	refuse_clone = strcmp(what, "clone") == 0;
	return 0;
}

HANDLER(inherited)
{
	return ramet_answerf(call, "%d", fcntl(3, F_GETFD) & FD_CLOEXEC ? 0 : 1);
}

/* a chunk, progress, and a chunk of bytes */
HANDLER(tell)
{
	const char *text = text_of(call);
	if (ramet_emit(call, text, strlen(text), 0) < 0 ||
		ramet_progress(call, 0.25, "quarter") < 0 || ramet_emit(call, "\0\xff", 2, 1) < 0)
		return -1;
	return ramet_answerf(call, "%d", ramet_listened(call));
}

/* chunks of a MiB, as many as it is told */
HANDLER(flood)
{
	static char chunk[1 << 20];
	long count = strtol(text_of(call), NULL, 10);
	for (long i = 0; i < count; i++)
		if (ramet_emit(call, chunk, sizeof(chunk), 1) < 0)
			return -1;
	return ramet_answerf(call, "%ld", count);
}

/* a thousand steps, all at once, and what is no number */
HANDLER(advance)
{
	(void)ramet_progress(call, -1, NULL);
	for (int i = 0; i <= 1000; i++)
		if (ramet_progress(call, i / 500.0, "\xff step") < 0)
			return -1;
	return 0;
}
