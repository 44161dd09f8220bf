/* PID namespaces for tests, as sandboxes have them: each with an init and a /proc of its own. Root
 * only. */
#ifndef TESTS_RFORK_PID_SPACE_H
#define TESTS_RFORK_PID_SPACE_H

#include <stdbool.h>
#include <sys/types.h>

struct pid_space {
	pid_t init;
	int pidfd; /* of its init */
};

bool pid_space_open(struct pid_space *space);
void pid_space_close(struct pid_space *space);
/* pid_space_enter - children of this process are born into it, and this process sees its files,
 * until pid_space_leave() */
bool pid_space_enter(const struct pid_space *space);
bool pid_space_leave(void);
/* pid_space_inner - what a process of ours calls itself */
pid_t pid_space_inner(pid_t pid);

#endif
