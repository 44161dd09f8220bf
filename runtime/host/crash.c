/* The crash handler: async-signal-safe, no heap, one send. */
#include "runtime/host/crash.h"

#include "rfork/arch/thread.h"
#include "runtime/host/clone_state.h"
#include "runtime/host/message.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEAR_STACK (1u << 20)
#define STACK_BYTES 65536 /* room for the widest vector registers */

/* the first of its page: this file is linked before the others that have some */
static struct {
	pid_t pid; /* whose crashes are told */
	struct channel *channel;
} crash HOST_CLONE_STATE __attribute__((aligned(HOST_CLONE_STATE_BYTES)));
/* whole pages: those that are not used stay where no clone has to copy them */
static unsigned char crash_stack[STACK_BYTES] __attribute__((aligned(4096)));

/* The stack has no page where it would go on, and that is near what was touched. Also the frame of
 * a function with much on its stack begins there. */
static bool stack_is_full(const siginfo_t *info, const void *context)
{
	unsigned char present;
	uintptr_t at = (uintptr_t)info->si_addr;
	uintptr_t stack = arch_signal_stack(context);
	if (info->si_code != SEGV_MAPERR || at + NEAR_STACK < stack || at > stack + NEAR_STACK)
		return false;
	return mincore((void *)((stack - 1) & ~(uintptr_t)4095), 1, &present) < 0 &&
		errno == ENOMEM;
}

static void say_crash(int signal, const siginfo_t *info, const void *context)
{
	unsigned char bytes[4 + 96];
	struct message_writer w = {bytes + 4, bytes + sizeof(bytes), false};
	message_map(&w, 5);
	message_kstr(&w, "t", "crash");
	message_str(&w, "stack");
	message_bool(&w, signal == SIGSEGV && stack_is_full(info, context));
	message_kuint(&w, "signal", (uint64_t)signal);
	message_kuint(&w, "code", (uint64_t)(uint32_t)info->si_code);
	message_kuint(&w, "address", info->si_code > 0 ? (uint64_t)(uintptr_t)info->si_addr : 0);
	size_t len = (size_t)(w.at - bytes) - 4;
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (unsigned char)(len >> (8 * i));
	(void)!send(crash.channel->fd, bytes, len + 4, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* SA_RESETHAND has put the default action back: the signal comes once more when this returns */
static void on_crash(int signal, siginfo_t *info, void *context)
{
	if (getpid() == crash.pid && !crash.channel->sending)
		say_crash(signal, info, context);
	(void)syscall(SYS_tgkill, getpid(), (int)syscall(SYS_gettid), signal);
}

void crash_watch(struct channel *channel)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
	const stack_t stack = {.ss_sp = crash_stack, .ss_size = sizeof(crash_stack)};
	struct sigaction action = {
		.sa_sigaction = on_crash,
		.sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND),
	};
	crash.channel = channel;
	crash.pid = getpid();
	(void)sigaltstack(&stack, NULL);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &action, NULL);
}

void crash_in_clone(pid_t pid)
{
	crash.pid = pid;
}
