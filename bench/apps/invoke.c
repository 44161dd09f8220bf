/* Functions of bench/run invoke. */
#include "ramet/function.h"

#include <unistd.h>

__attribute__((visibility("default"))) int echo(struct ramet_invocation *call);
__attribute__((visibility("default"))) int wait_long(struct ramet_invocation *call);

int echo(struct ramet_invocation *call)
{
	size_t len = 0;
	const void *data = ramet_input(call, &len);
	return ramet_answer(call, data, len, ramet_input_is_binary(call));
}

/* without end, if it is asked to */
int wait_long(struct ramet_invocation *call)
{
	size_t len = 0;
	const char *data = ramet_input(call, &len);
	while (len > 0 && data[0] == '1' && !ramet_cancelled(call))
		pause();
	return ramet_answer(call, "null", 4, 0);
}
