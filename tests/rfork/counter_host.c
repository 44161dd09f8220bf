/* A small host for tests: sets up memory, reaches its safepoint, and as a clone answers with what
 * it finds. Descriptor 3 is its control socket. Says "S" with the shadow's pidfd and pipe as host;
 * as a clone it reads a number n and writes the sum of its table plus n, and its pid. */
#include "rfork/safepoint.h"
#include "tests/rfork/send_shadow.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TABLE 100000

static __thread int tls_value = 7;
static int initialised = 41;

int main(void)
{
	struct safepoint_shadow shadow;
	struct ramet_err err = {0};
	uint64_t first = 0;
	uint64_t *table = malloc(TABLE * sizeof(*table));
	for (int i = 0; table && i < TABLE; i++)
		table[i] = (uint64_t)i;
	tls_value = 8;
	initialised = 42;

	int side = safepoint_capture(3, &shadow, &first, &err);
	if (side < 0 || !table)
		return 1;
	if (side == SAFEPOINT_HOST && send_shadow(&shadow) < 0)
		return 2;
	uint64_t n;
	while (read(3, &n, sizeof(n)) == (ssize_t)sizeof(n)) {
		uint64_t answer[4] = {n + (uint64_t)tls_value + (uint64_t)initialised,
			(uint64_t)getpid(), first, (uint64_t)side};
		for (int i = 0; i < TABLE; i++)
			answer[0] += table[i];
		table[0] += n; /* what one instance writes, no other sees */
		char *grown = malloc(1 << 20);
		if (!grown)
			return 3;
		memset(grown, 1, 1 << 20);
		free(grown);
		if (write(3, answer, sizeof(answer)) != (ssize_t)sizeof(answer))
			return 4;
	}
	return 0;
}
