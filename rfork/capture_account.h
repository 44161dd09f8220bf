/* A host's account of itself, read from its shadow and bounded: which descriptors and which shared
 * mappings its clones get back. It is the tenant's word, and is believed only for what concerns its
 * own clones. */
#ifndef RFORK_CAPTURE_ACCOUNT_H
#define RFORK_CAPTURE_ACCOUNT_H

#include "base/cleanup.h"
#include "rfork/safepoint.h"
#include "rfork/safepoint_account.h"

#include <stdbool.h>
#include <sys/types.h>

struct capture_account { /* zero-initialise */
	struct account_fd *fds;
	struct account_range *ranges;
	uint32_t nfds, nranges;
};

/* RAMET_EPROTO: it is damaged */
int capture_account_read(pid_t pid, const struct safepoint_state *state,
	struct capture_account *ret_account, struct ramet_err *err);
void capture_account_fini(struct capture_account *account);
/* what it says of a descriptor; NULL: nothing */
const struct account_fd *capture_account_fd(const struct capture_account *account, int fd);
/* clones get the shared mapping [start, end) back, as a whole or in parts */
bool capture_account_covers(const struct capture_account *account, uint64_t start, uint64_t end);

#endif
