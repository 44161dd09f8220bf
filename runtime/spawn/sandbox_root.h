/* The root file system that every sandbox of a node shares, made once in the mount namespace of
 * ramet-sandbox. Linked into that helper only: no other part of Ramet, so that the process each
 * sandbox is forked from stays tiny. */
#ifndef RUNTIME_SPAWN_SANDBOX_ROOT_H
#define RUNTIME_SPAWN_SANDBOX_ROOT_H

struct sandbox_reply;

/* sandbox_root_enter - leave the machine's mount namespace for one that shows: the top-level
 * directories read-only, few devices, empty /proc, /tmp and /run, nothing of what is below
 * hide_dir, and store_dir as /ramet; either may be NULL. -1 with *reply filled in. */
int sandbox_root_enter(const char *store_dir, const char *hide_dir, struct sandbox_reply *reply);
/* sandbox_fail - say in *reply what failed, from errno; returns -1 */
int sandbox_fail(struct sandbox_reply *reply, const char *what, const char *on);
/* sandbox_readonly - make target and every mount below it read-only and private, without set-uid
 * programs, and without devices unless asked. -1 with errno set. */
int sandbox_readonly(const char *target, int devices);

#endif
