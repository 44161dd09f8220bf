/* Capabilities and identity of processes between fork and exec. All async-signal-safe; -1 with
 * errno set. */
#ifndef RUNTIME_SPAWN_PRIVILEGES_H
#define RUNTIME_SPAWN_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

/* privileges_have - a capability of <linux/capability.h>, in effect */
bool privileges_have(unsigned cap);
/* privileges_keep - make every capability that is held survive every exec from now on: in a user
 * namespace our helpers have another uid than 0 */
int privileges_keep(void);
/* privileges_drop - become uid and gid without supplementary groups and capabilities, for good: no
 * exec gives any back, not even to uid 0. groups: clear them (a user namespace may forbid it). Call
 * with no capability needed any more. */
int privileges_drop(uid_t uid, gid_t gid, bool groups);
/* privileges_open_as - open a file for reading with the file system rights of uid and gid; our own
 * supplementary groups still count. It never waits for the writer of a FIFO. Single-threaded
 * callers only. */
int privileges_open_as(uid_t uid, gid_t gid, const char *path);
/* privileges_enter_userns - a user namespace with our own uid and gid, all capabilities within it
 */
int privileges_enter_userns(void);

#endif
