/* Shared memory that nobody else has: memfds, and shared mappings that are anonymous or whose file
 * is deleted. A clone gets memory of its own with the same bytes, shared with what it forks. Part
 * of a host. */
#ifndef RFORK_SAFEPOINT_SHARED_H
#define RFORK_SAFEPOINT_SHARED_H

#include "ramet/error.h"
#include "rfork/safepoint_account.h"
#include "rfork/safepoint_fds.h"

/* shared_begin - forgets what an earlier capture wrote down; before fds_save(), which finds memfds
 */
void shared_begin(void);
/* shared_save - after fds_save(). RAMET_ENOMEM, or RAMET_EREFUSED: more than can be copied while
 * the host stands still. */
int shared_save(struct fds *fds, struct account_range **ret_ranges, uint32_t *ret_count,
	struct ramet_err *err);
/* shared_restore - in a clone, before fds_restore(); shared_finish() after it */
int shared_restore(const struct fds *fds, struct ramet_err *err);
int shared_finish(struct ramet_err *err);

#endif
