/* What ^C does to `ramet run`: undone first, then the program ends by the signal. */
#include "cmd/ramet/interrupt.h"
#include "tests/lib/suite.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
	pid_t pid;
	int told; /* a byte for each thing that happened */
};

static int tell_fd;

static void tell(char what)
{
	if (write(tell_fd, &what, 1) != 1)
		_exit(99);
}

static void undo(void *user)
{
	tell(*(const char *)user);
}

static struct child start(void (*fn)(struct interrupt *interrupt))
{
	int fds[2];
	struct child child = {0};
	if (pipe(fds) < 0)
		return child;
	child.told = fds[0];
	child.pid = fork();
	if (child.pid == 0) {
		struct interrupt interrupt = {0};
		static char what = 'u';
		tell_fd = fds[1];
		interrupt_arm(&interrupt, undo, &what);
		fn(&interrupt);
		_exit(0);
	}
	close(fds[1]);
	return child;
}

/* the next thing it told; 0: nothing more comes */
static char next(const struct child *child)
{
	char what = 0;
	return read(child->told, &what, 1) == 1 ? what : 0;
}

static int end(struct child *child)
{
	int status = 0;
	waitpid(child->pid, &status, 0);
	close(child->told);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void ready_then_wait(struct interrupt *interrupt)
{
	interrupt_ready(interrupt);
	tell('r');
	for (;;)
		pause();
}

static void test_undone_then_ended(void)
{
	struct child child = start(ready_then_wait);
	CHECK_INT(next(&child), 'r');
	kill(child.pid, SIGINT);
	CHECK_INT(next(&child), 'u');
	CHECK_INT(next(&child), 0);
	CHECK_INT(end(&child), 128 + SIGINT);
}

static void signalled_before_ready(struct interrupt *interrupt)
{
	kill(getpid(), SIGTERM);
	pthread_join(interrupt->thread, NULL); /* it has seen the signal, and left it to us */
	tell('w');
	interrupt_ready(interrupt);
	tell('x');
}

static void test_signal_before_there_is_anything_to_undo(void)
{
	struct child child = start(signalled_before_ready);
	CHECK_INT(next(&child), 'w');
	CHECK_INT(next(&child), 'u');
	CHECK_INT(next(&child), 0);
	CHECK_INT(end(&child), 128 + SIGTERM);
}

static void disarm_then_signal(struct interrupt *interrupt)
{
	interrupt_ready(interrupt);
	interrupt_disarm(interrupt);
	tell('d');
	raise(SIGHUP);
}

static void test_disarmed(void)
{
	struct child child = start(disarm_then_signal);
	CHECK_INT(next(&child), 'd');
	CHECK_INT(next(&child), 0);
	CHECK_INT(end(&child), 128 + SIGHUP);
}

SUITE_MAIN("cli_interrupt", TEST(test_undone_then_ended),
	TEST(test_signal_before_there_is_anything_to_undo), TEST(test_disarmed))
