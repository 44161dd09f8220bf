/* Native functions for the tests in this directory: some compute what can be checked, some behave
 * badly. Built without sanitizers, as a user's function is. */
#include "ramet/function.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define PAGE 4096
#define FAULT_ADDRESS 0xdead000u
#define BIG_PAGES ((size_t)8192)

EXPORT int ramet_init(void);
EXPORT int square(struct ramet_invocation *call);
EXPORT int spin(struct ramet_invocation *call);
EXPORT int crash(struct ramet_invocation *call);
EXPORT int sweep(struct ramet_invocation *call);
EXPORT int scatter(struct ramet_invocation *call);
EXPORT int secret(struct ramet_invocation *call);

static unsigned char *big; /* page n begins with a number made of n */

static uint64_t mix(uint64_t n)
{
	n = (n ^ (n >> 31)) * 0x9e3779b97f4a7c15u;
	return n ^ (n >> 29);
}

int ramet_init(void)
{
	big = aligned_alloc(PAGE, BIG_PAGES * PAGE);
	if (!big)
		return -1;
	for (size_t n = 0; n < BIG_PAGES * PAGE / sizeof(uint64_t); n++)
		((uint64_t *)big)[n] = mix(n);
	return 0;
}

static unsigned long input_number(const struct ramet_invocation *call)
{
	char text[32] = "";
	size_t len;
	const void *input = ramet_input(call, &len);
	if (len < sizeof(text))
		memcpy(text, input, len);
	return strtoul(text, NULL, 10);
}

/* the square of the input and the rank, and a page of the seed that depends on the rank */
int square(struct ramet_invocation *call)
{
	uint64_t rank = ramet_rank(call);
	uint64_t page = rank * 37 % BIG_PAGES;
	uint64_t number = input_number(call) + rank;
	uint64_t squared = number * number;
	uint64_t found = ((uint64_t *)big)[page * PAGE / sizeof(uint64_t)];
	return ramet_answerf(call,
		"{\"rank\": %llu, \"size\": %llu, \"square\": %llu, \"page\": %d}",
		(unsigned long long)rank, (unsigned long long)ramet_group_size(call),
		(unsigned long long)squared, found == mix(page * PAGE / sizeof(uint64_t)));
}

static __attribute__((noinline)) uint64_t spin_inside(volatile uint64_t *n)
{
	while (*n)
		*n = mix(*n); /* of a number that is not 0, never 0 */
	return *n;
}

/* never returns, and cannot be interrupted */
int spin(struct ramet_invocation *call)
{
	volatile uint64_t n = 1;
	puts("spinning");
	fflush(stdout);
	return ramet_answerf(call, "%llu", (unsigned long long)spin_inside(&n));
}

int crash(struct ramet_invocation *call)
{
	puts("about to crash");
	fflush(stdout);
	*(volatile int *)(uintptr_t)FAULT_ADDRESS = 1;
	return ramet_answerf(call, "null");
}

/* reads as many pages of the big block as the input says, far from each other */
int scatter(struct ramet_invocation *call)
{
	unsigned long pages = input_number(call);
	uint64_t wrong = 0;
	for (unsigned long i = 0; i < pages; i++) {
		size_t at = mix(i + 1) % BIG_PAGES * PAGE / sizeof(uint64_t);
		wrong += ((uint64_t *)big)[at] != mix(at);
	}
	return ramet_answerf(
		call, "{\"pages\": %lu, \"wrong\": %llu}", pages, (unsigned long long)wrong);
}

/* reads every page of the seed's big block; a second one after so many microseconds each */
int sweep(struct ramet_invocation *call)
{
	unsigned long pause = input_number(call);
	uint64_t wrong = 0;
	puts("sweeping");
	fflush(stdout);
	for (size_t page = 0; page < BIG_PAGES; page++) {
		size_t at = page * PAGE / sizeof(uint64_t);
		wrong += ((uint64_t *)big)[at] != mix(at);
		if (pause)
			usleep((useconds_t)pause);
	}
	return ramet_answerf(
		call, "{\"pages\": %zu, \"wrong\": %llu}", BIG_PAGES, (unsigned long long)wrong);
}

/* what it is told by name, and that it is told nothing else */
int secret(struct ramet_invocation *call)
{
	size_t first = 0;
	size_t second = 0;
	const char *n1 = ramet_secret(call, "N1", &first);
	const char *n2 = ramet_secret(call, "N2", &second);
	return ramet_answerf(call, "[\"%s\", %zu, \"%s\", %zu, %s]", n1, first, n2, second,
		ramet_secret(call, "N3", NULL) ? "true" : "null");
}
