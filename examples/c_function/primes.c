/* A native function: how many primes lie in a range.
 *
 *	cc -O2 -shared -fPIC -o libprimes.so primes.c -I<include directory of Ramet>
 *	ramet deploy .
 *	ramet invoke primes --data '{"from": 0, "to": 1000}'
 *
 * The sieve is filled by ramet_init(), once in the cluster: instances are forks of the process that
 * has it. */
#include "ramet/function.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT 4000000u

static unsigned char *composite;

RAMET_FUNCTION_EXPORT int primes(struct ramet_invocation *call);

int ramet_init(void)
{
	composite = calloc(LIMIT, 1);
	if (!composite)
		return -1;
	composite[0] = composite[1] = 1;
	for (unsigned n = 2; n * n < LIMIT; n++)
		for (unsigned m = n * n; !composite[n] && m < LIMIT; m += n)
			composite[m] = 1;
	return 0;
}

/* the number after "key": in a flat JSON object */
static unsigned long number(const char *json, const char *key, unsigned long fallback)
{
	char quoted[32];
	snprintf(quoted, sizeof(quoted), "\"%s\"", key);
	const char *at = strstr(json, quoted);
	at = at ? strchr(at, ':') : NULL;
	return at ? strtoul(at + 1, NULL, 10) : fallback;
}

int primes(struct ramet_invocation *call)
{
	char json[256];
	size_t len;
	const void *input = ramet_input(call, &len);
	if (len >= sizeof(json))
		return ramet_fail(call, "ValueError", "the input has %zu bytes", len);
	memcpy(json, input, len);
	json[len] = '\0';
	unsigned long from = number(json, "from", 0);
	unsigned long to = number(json, "to", LIMIT);
	if (from > to || to > LIMIT)
		return ramet_fail(call, "ValueError", "not a range within 0 to %u: %lu to %lu",
			LIMIT, from, to);
	unsigned long count = 0;
	for (unsigned long n = from; n < to; n++)
		count += !composite[n];
	return ramet_answerf(
		call, "{\"primes\": %lu, \"from\": %lu, \"to\": %lu}", count, from, to);
}
