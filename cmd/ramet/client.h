/* What verbs that talk to a cluster share: which one, opening it, telling errors. */
#ifndef CMD_RAMET_CLIENT_H
#define CMD_RAMET_CLIENT_H

#include "base/cleanup.h"
#include "cmd/ramet/options.h"
#include "ramet/ramet.h"

#include <stdbool.h>

/* The option that says which cluster: --socket PATH. dst: const char *. */
#define OPTION_SOCKET(dst) \
	{ \
		"socket", 0, OPTION_STRING, (dst), 0, "PATH", \
			"client socket of a node (default: RAMET_SOCKET, or the cluster of " \
			"`ramet up`)" \
	}
#define OPTION_JSON(dst) \
	{ \
		"json", 0, OPTION_FLAG, (dst), 0, NULL, "JSON for programs" \
	}

DEFINE_CLEANUP(struct ramet, ramet_close)
#define auto_ramet AUTO(ramet_close)

/* progress on stderr, one line that is written over, if that is a terminal */
bool client_is_terminal(void);
void client_progress(const char *text);
void client_progress_end(void);

#endif
