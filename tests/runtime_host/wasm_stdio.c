/* A program in C with a C library for WASI, for test_wasm.c: the sum of what it reads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LARGE (5u << 20)

/* what the library makes of WASI: 0, or which of it is wrong */
static int look(char **argv)
{
	struct timespec ts;
	const char *colour = getenv("COLOUR");
	unsigned char *large = malloc(LARGE);
	if (!large || !memset(large, 7, LARGE) || large[LARGE - 1] != 7)
		return 1;
	if (!colour || strcmp(colour, "green") != 0)
		return 2;
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0 || ts.tv_sec < 1700000000)
		return 3;
	if (fopen("/etc/passwd", "r"))
		return 4;
	return strcmp(argv[0], "wasm_stdio.wasm") == 0 ? 0 : 5;
}

int main(int argc, char **argv)
{
	static unsigned runs;
	double sum = 0;
	double number;
	while (scanf("%*[^0-9]%lf", &number) == 1)
		sum += number;
	fprintf(stderr, "summed up\n");
	printf("[%g, %d, %u, %d]\n", sum, argc, ++runs, look(argv));
	return sum > 100 ? 4 : 0;
}
