/* Guests by the environment that tests/vm/run gives, and other guests' programs by its `on`. */
#include "bench/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ON "/run/guest/on"
#define ARGS_MAX 32

extern char **environ;

static unsigned number(const char *name)
{
	const char *text = getenv(name);
	return text ? (unsigned)strtoul(text, NULL, 10) : 0;
}

unsigned guest_count(void)
{
	return number("RAMET_VM_NODES");
}

unsigned guest_self(void)
{
	return number("RAMET_VM_NODE");
}

int guest_address(unsigned guest, char address[GUEST_ADDRESS_MAX], struct ramet_err *err)
{
	const char *rest = getenv("RAMET_VM_ADDRESSES");
	for (unsigned i = 1; rest; i++) {
		size_t len = strcspn(rest, " ");
		if (i == guest && len < GUEST_ADDRESS_MAX) {
			memcpy(address, rest, len);
			address[len] = '\0';
			return 0;
		}
		rest = rest[len] ? rest + len + 1 : NULL;
	}
	return err_set(
		err, RAMET_ENOTSUP, "there is no guest %u: run by bench/run page --vm", guest);
}

static int spawn_with(const char *const *argv, int out, pid_t *ret_pid, struct ramet_err *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	char *const *args = (char *const *)(const void *)argv; /* not written to */
	int failed =
		argv[0] ? posix_spawnp(ret_pid, argv[0], &actions, NULL, args, environ) : EINVAL;
	posix_spawn_file_actions_destroy(&actions);
	errno = failed;
	return failed ? err_errno(err, RAMET_EIO, "start a program") : 0;
}

int guest_start(struct guest_program *program, unsigned guest, const char *const *argv,
	struct ramet_err *err)
{
	const char *args[ARGS_MAX + 3];
	char where[12];
	size_t n = 0;
	int ends[2];
	snprintf(where, sizeof(where), "%u", guest);
	if (guest != guest_self()) {
		args[n++] = ON;
		args[n++] = where;
	}
	for (size_t i = 0; i < ARGS_MAX && argv[i]; i++)
		args[n++] = argv[i];
	args[n] = NULL;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	auto_close int theirs = ends[1];
	auto_close int ours = ends[0];
	FILE *out = fdopen(ours, "r");
	if (!out)
		return err_nomem(err);
	(void)steal_fd(&ours);
	pid_t pid;
	int rc = spawn_with(args, theirs, &pid, err);
	if (rc < 0) {
		fclose(out);
		return rc;
	}
	*program = (struct guest_program){pid, out};
	return 0;
}

static void reap(struct guest_program *program)
{
	while (waitpid(program->pid, NULL, 0) < 0 && errno == EINTR)
		;
	fclose(program->out);
	*program = (struct guest_program){0};
}

void guest_end(struct guest_program *program)
{
	if (!program->pid)
		return;
	kill(program->pid, SIGTERM);
	reap(program);
}

int guest_output(struct guest_program *program, char **ret_text, struct ramet_err *err)
{
	char *text = NULL;
	size_t size = 0;
	ssize_t n = getdelim(&text, &size, '\0', program->out); /* it says no NUL: all there is */
	bool failed = n < 0 && !feof(program->out);
	reap(program);
	if (n < 0 && !failed && text)
		text[0] = '\0';
	if (failed || !text) {
		free(text);
		return err_set(err, RAMET_EIO, "read what a program says");
	}
	*ret_text = text;
	return 0;
}
