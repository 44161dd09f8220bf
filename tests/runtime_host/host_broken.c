/* A shared object whose initialisation fails, for tests of hosts. */
#include "ramet/function.h"

RAMET_FUNCTION_EXPORT int handle(struct ramet_invocation *call);

int ramet_init(void)
{
	return 5;
}

int handle(struct ramet_invocation *call)
{
	(void)call;
	return 0;
}
