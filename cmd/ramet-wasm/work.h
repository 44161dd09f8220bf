/* A directory to work in. It is removed when it is closed, and by the next one that is opened if
 * its process has been killed. */
#ifndef CMD_RAMET_WASM_WORK_H
#define CMD_RAMET_WASM_WORK_H

#include "base/err.h"

#define WORK_PATH_MAX 4096

struct work {
	char path[WORK_PATH_MAX];
	int lock; /* as long as it is in use */
};
#define WORK_NONE ((struct work){.lock = -1})

int work_open(const char *root, struct work *ret_work, struct ramet_err *err); /* root/work.* */
void work_close(struct work *work); /* WORK_NONE is fine */

#endif
