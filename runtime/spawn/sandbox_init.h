/* One sandbox: an init process in its own PID and mount namespace. Linked into ramet-sandbox only.
 */
#ifndef RUNTIME_SPAWN_SANDBOX_INIT_H
#define RUNTIME_SPAWN_SANDBOX_INIT_H

struct sandbox_reply;

/* sandbox_init_start - fork an init that has mounted its /proc and /tmp when this returns. It is a
 * child of the caller's parent, dies with it, and takes all processes of its namespace along.
 * ready: a pipe of the caller's, both ends. The caller ignores SIGCHLD and keeps SANDBOX_SOCKET_FD
 * connected to its parent. reply->pid, or reply->error. */
void sandbox_init_start(const int ready[2], struct sandbox_reply *reply);

#endif
