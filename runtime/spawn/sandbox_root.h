/* The root file system that every sandbox of a node shares, made once in the mount namespace of
 * ramet-sandbox. Linked into that helper only: no other part of Ramet, so that the process each
 * sandbox is forked from stays tiny. */
#ifndef RUNTIME_SPAWN_SANDBOX_ROOT_H
#define RUNTIME_SPAWN_SANDBOX_ROOT_H

#include <stdio.h>

struct sandbox_reply;

/* sandbox_root_enter - leave the machine's mount namespace for one that shows: the top-level
 * directories read-only, few devices, empty /proc, /tmp and /run, nothing of what is below
 * hide_dir, and store_dir as /ramet; either may be NULL. view_fd: a mount whose files are laid over
 * the machine's, and win (-1: none); it is closed. data: paths, ended by NULL, that are
 * shown as they are now; what is there must be what the descriptors data_fd and on are of (O_PATH),
 * which are closed. -1 with *reply filled in. */
int sandbox_root_enter(const char *store_dir, const char *hide_dir, int view_fd,
	const char *const *data, int data_fd, struct sandbox_reply *reply);
/* sandbox_data_take - in the place of a descriptor of what is at that path, one of a clone of its
 * mount, to be attached later. EXDEV: something else is there. Linked as sandbox_data.c. */
int sandbox_data_take(const char *path, int fd, struct sandbox_reply *reply);
/* sandbox_data_show - attach such a mount at base + path, read-only */
int sandbox_data_show(const char *base, const char *path, int tree_fd, struct sandbox_reply *reply);
/* sandbox_view_show - lay the directory `name` of the view over the machine's directory `source`,
 * with what is mounted below it, at `target`, a directory that exists. view: where the view is
 * attached, without a slash at its end. Linked as sandbox_view.c. */
int sandbox_view_show(
	const char *view, const char *source, const char *target, struct sandbox_reply *reply);
/* sandbox_next_mount - the point of the next mount at `dir` or below it, from a mountinfo that is
 * read from its start; in *io_line, as of getline(). NULL: there is none. Linked as
 * sandbox_mounts.c. */
const char *sandbox_next_mount(FILE *mountinfo, const char *dir, char **io_line, size_t *io_cap);
/* sandbox_fail - say in *reply what failed, from errno; returns -1 */
int sandbox_fail(struct sandbox_reply *reply, const char *what, const char *on);
/* sandbox_readonly - make target and every mount below it read-only and private, without set-uid
 * programs, and without devices unless asked. -1 with errno set. */
int sandbox_readonly(const char *target, int devices);

#endif
