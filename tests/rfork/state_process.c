/* Cases: what the kernel keeps for a process or thread: limits, settings, signal actions, masks and
 * stacks, the control words of the floating-point units. */
#include "tests/rfork/state.h"

#include <dlfcn.h>
#include <errno.h>
#include <fenv.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- limits --- */

static int limits_setup(void)
{
	const struct rlimit files = {300, 400}, core = {0, 0}, stack = {16u << 20, RLIM_INFINITY};
	return setrlimit(RLIMIT_NOFILE, &files) == 0 && setrlimit(RLIMIT_CORE, &core) == 0 &&
			setrlimit(RLIMIT_STACK, &stack) == 0
		? STATE_OK
		: STATE_BROKEN;
}

static const char *limits_check(void)
{
	struct rlimit limit;
	STATE_EXPECT_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	STATE_EXPECT(limit.rlim_cur == 300 && limit.rlim_max == 400);
	STATE_EXPECT_INT(getrlimit(RLIMIT_CORE, &limit), 0);
	STATE_EXPECT(limit.rlim_cur == 0 && limit.rlim_max == 0);
	STATE_EXPECT_INT(getrlimit(RLIMIT_STACK, &limit), 0);
	STATE_EXPECT_INT(limit.rlim_cur, 16u << 20);
	return NULL;
}

/* --- settings --- */

static int settings_setup(void)
{
	return prctl(PR_SET_NAME, "captured", 0, 0, 0) == 0 &&
			prctl(PR_SET_TIMERSLACK, 77777, 0, 0, 0) == 0 &&
			prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 && nice(3) >= 0
		? STATE_OK
		: STATE_BROKEN;
}

static const char *settings_check(void)
{
	char name[16] = "";
	int subreaper = 0;
	STATE_EXPECT_INT(prctl(PR_GET_NAME, name, 0, 0, 0), 0);
	STATE_EXPECT(strcmp(name, "captured") == 0);
	STATE_EXPECT_INT(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 77777);
	STATE_EXPECT_INT(prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0), 0);
	STATE_EXPECT_INT(subreaper, 1);
	STATE_EXPECT_INT(getpriority(PRIO_PROCESS, 0), 3);
	return NULL;
}

/* --- signal actions and stacks --- */

static char *signal_stack;
static volatile sig_atomic_t on_stack;

static void on_signal(int signal)
{
	char here;
	(void)signal;
	on_stack = &here >= signal_stack && &here < signal_stack + SIGSTKSZ;
}

static int actions_setup(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
	signal_stack = malloc((size_t)SIGSTKSZ);
	const stack_t stack = {.ss_sp = signal_stack, .ss_size = (size_t)SIGSTKSZ};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	return signal_stack && sigaltstack(&stack, NULL) == 0 &&
			sigaction(SIGRTMIN + 13, &action, NULL) == 0 &&
			signal(SIGHUP, SIG_IGN) != SIG_ERR &&
			sigprocmask(SIG_BLOCK, &set, NULL) == 0
		? STATE_OK
		: STATE_BROKEN;
}

static const char *actions_check(void)
{
	struct sigaction action;
	sigset_t set;
	on_stack = 0;
	STATE_EXPECT_INT(raise(SIGRTMIN + 13), 0);
	STATE_EXPECT_INT(on_stack, 1);
	STATE_EXPECT_INT(raise(SIGHUP), 0);
	STATE_EXPECT_INT(sigaction(SIGHUP, NULL, &action), 0);
	STATE_EXPECT(action.sa_handler == SIG_IGN);
	STATE_EXPECT_INT(sigprocmask(SIG_BLOCK, NULL, &set), 0);
	STATE_EXPECT(sigismember(&set, SIGWINCH) == 1);
	return NULL;
}

/* --- floating point --- */

static int floats_setup(void)
{
	unsigned mxcsr;
	if (fesetround(FE_UPWARD) != 0)
		return STATE_BROKEN;
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	mxcsr |= 1u << 15; /* flush to zero */
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	return STATE_OK;
}

static const char *floats_check(void)
{
	volatile double tiny = 1e-308, tenth = 0.1, small = 1e-30;
	volatile long double wide = 1.0L;
	unsigned mxcsr;
	STATE_EXPECT_INT(fegetround(), FE_UPWARD);
	STATE_EXPECT(tenth + small > tenth);
	STATE_EXPECT(wide + 1e-30L > wide); /* by the x87, which has a mode of its own */
	STATE_EXPECT(tiny * tenth == 0.0);
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	STATE_EXPECT(mxcsr >> 15 & 1);
	return NULL;
}

/* --- which program the kernel says it is --- */

static char program[PATH_MAX];

static int program_setup(void)
{
	return readlink("/proc/self/exe", program, sizeof(program) - 1) > 0 ? STATE_OK
									    : STATE_BROKEN;
}

static const char *program_check(void)
{
	char now[PATH_MAX] = "";
	STATE_EXPECT(readlink("/proc/self/exe", now, sizeof(now) - 1) > 0);
	if (strcmp(now, program) != 0)
		return state_wrong("/proc/self/exe is %s", now);
	return NULL;
}

/* --- a clone forks, and its children are its own; they have pages that it never touched --- */

#define PAGE 4096ul
#define PAGES 64ul

static unsigned char *inherited;

static int fork_setup(void)
{
	inherited = mmap(
		NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; inherited != MAP_FAILED && i < PAGES; i++)
		inherited[i * PAGE] = (unsigned char)(i + 1);
	return inherited == MAP_FAILED ? STATE_BROKEN : STATE_OK;
}

static const char *fork_check(void)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		char *grown = malloc(1 << 20);
		memset(grown, 1, 1 << 20);
		for (size_t i = 0; i < PAGES; i++)
			if (inherited[i * PAGE] != i + 1)
				_exit(2);
		_exit(getppid() > 0 ? 42 : 1);
	}
	STATE_EXPECT_INT(waitpid(pid, &status, 0), pid);
	STATE_EXPECT_INT(WEXITSTATUS(status), 42);
	STATE_EXPECT_INT(waitpid(-1, &status, WNOHANG), -1);
	STATE_EXPECT_INT(errno, ECHILD);
	return NULL;
}

/* --- what is refused --- */

static pid_t child;

static int child_setup(void)
{
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return child > 0 ? STATE_OK : STATE_BROKEN;
}

static const char *child_check(void)
{
	STATE_EXPECT_INT(kill(child, 0), 0);
	return NULL;
}

/* an MPI library that is loaded is no harm, until it is initialised */
static int (*mpi_init)(int *argc, char ***argv);

static int mpi_setup(void)
{
	void *library = dlopen(MPI_LIBRARY, RTLD_NOW);
	void *symbol = library ? dlsym(library, "MPI_Init") : NULL;
	memcpy(&mpi_init, &symbol, sizeof(mpi_init));
	return mpi_init ? STATE_OK : STATE_BROKEN;
}

static int mpi_running_setup(void)
{
	return mpi_setup() == STATE_OK && mpi_init(NULL, NULL) == 0 ? STATE_OK : STATE_BROKEN;
}

static const char *mpi_check(void)
{
	STATE_EXPECT(mpi_init != NULL);
	return NULL;
}

const struct state_case state_process[] = {
	{.name = "resource limits",
		.setup = limits_setup,
		.check_child = limits_check,
		.check_parent = limits_check,
		.fault = "safepoint.limits"},
	{.name = "niceness, name and other settings",
		.setup = settings_setup,
		.check_child = settings_check,
		.check_parent = settings_check,
		.fault = "safepoint.limits"},
	{.name = "signal actions, mask and stack",
		.setup = actions_setup,
		.check_child = actions_check,
		.check_parent = actions_check,
		.fault = "capture.signals"},
	{.name = "floating-point modes",
		.setup = floats_setup,
		.check_child = floats_check,
		.check_parent = floats_check,
		.fault = "capture.context",
		.flags = STATE_ALONE},
	{.name = "its program",
		.setup = program_setup,
		.check_child = program_check,
		.check_parent = program_check,
		.fault = "capture.executable"},
	{.name = "fork in a clone",
		.setup = fork_setup,
		.check_child = fork_check,
		.check_parent = fork_check,
		.fault = "pager.fork",
		.flags = STATE_FAR},
	{.name = "MPI that is loaded",
		.setup = mpi_setup,
		.check_child = mpi_check,
		.check_parent = mpi_check},
	{.name = "MPI that is initialised",
		.setup = mpi_running_setup,
		.check_parent = mpi_check,
		.refused = "MPI is initialised"},
	{.name = "child process",
		.setup = child_setup,
		.check_parent = child_check,
		.refused = "the process has a child process"},
	{.name = NULL},
};
