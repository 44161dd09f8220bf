/* How many words a text has. Input is JSON: a string, in which blanks and, as \n and its like, other
 * space stand between words. */
#include "ramet/function.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

RAMET_FUNCTION_EXPORT int count(struct ramet_invocation *call);

static bool is_space(const char *at)
{
	return *at == ' ' || (*at == '\\' && strchr("nrtf", at[1]));
}

int count(struct ramet_invocation *call)
{
	size_t len;
	const char *text = ramet_input(call, &len);
	unsigned words = 0;
	bool inside = false;
	if (len < 2 || text[0] != '"')
		return ramet_fail(call, "TypeError", "a text is expected");
	for (const char *at = text + 1; at < text + len - 1; at++) {
		bool space = is_space(at);
		words += !space && !inside;
		inside = !space;
		at += *at == '\\'; /* and what it stands before */
	}
	return ramet_answerf(call, "%u", words);
}
