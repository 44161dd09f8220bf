/* What verbs that talk to a cluster share. */
#include "cmd/ramet/client.h"

#include <stdio.h>
#include <unistd.h>

static bool shown;

bool client_is_terminal(void)
{
	return isatty(STDERR_FILENO) == 1;
}

void client_progress(const char *text)
{
	if (!client_is_terminal())
		return;
	fprintf(stderr, "\r\033[K%s", text);
	fflush(stderr);
	shown = true;
}

void client_progress_end(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}
