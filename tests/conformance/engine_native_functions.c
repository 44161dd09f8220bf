/* The functions of engine_cases.h. */
#include "ramet/function.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HANDLER(name) \
	RAMET_FUNCTION_EXPORT int name(struct ramet_invocation *call); \
	int name(struct ramet_invocation *call)

static long calls;
static char *kept;

static long number(const struct ramet_invocation *call)
{
	char text[32] = "";
	size_t len;
	const void *data = ramet_input(call, &len);
	memcpy(text, data, len < sizeof(text) ? len : sizeof(text) - 1);
	return strtol(text, NULL, 10);
}

HANDLER(echo)
{
	size_t len;
	const void *data = ramet_input(call, &len);
	return ramet_answer(call, data, len, ramet_input_is_binary(call));
}

HANDLER(count)
{
	return ramet_answerf(call, "%ld", ++calls);
}

HANDLER(total)
{
	return ramet_answerf(call, "%ld", calls);
}

HANDLER(fail)
{
	return ramet_fail(call, "", "no luck today");
}

HANDLER(spin)
{
	while (!ramet_cancelled(call))
		;
	return 1;
}

HANDLER(hoard)
{
	size_t len = (size_t)number(call) << 10;
	free(kept);
	kept = malloc(len);
	if (!kept)
		return 1;
	memset(kept, 1, len);
	return ramet_answerf(call, "%zu", len >> 10);
}

HANDLER(large)
{
	size_t len = (size_t)number(call);
	char *text = ramet_output(call, len + 2, 0);
	if (!text)
		return 1;
	memset(text, 'x', len + 2);
	text[0] = text[len + 1] = '"';
	return 0;
}

HANDLER(deep)
{
	return ramet_fail(call, "", "its stack is the process's");
}

HANDLER(draw)
{
	return ramet_answerf(call, "%ld", rand() * 65536L + rand());
}

HANDLER(now)
{
	return ramet_answerf(call, "%ld", (long)time(NULL));
}

HANDLER(tell)
{
	for (long i = 1, last = number(call); i <= last; i++) {
		char text[24];
		int len = snprintf(text, sizeof(text), "%ld", i);
		if (ramet_emit(call, text, (size_t)len, 0) != 0)
			return 1;
	}
	return ramet_answerf(call, "\"told\"");
}

HANDLER(loop)
{
	unsigned long sum = 0;
	for (unsigned long i = 1, last = (unsigned long)number(call); i <= last; i++)
		sum = (sum + i * i) % 1000003;
	return ramet_answerf(call, "%lu", sum);
}
