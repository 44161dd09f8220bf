/* Trying the calls that the filter refuses. Arguments are such that a call that got through would
 * fail otherwise or do no harm. */
#include "tests/runtime_spawn/probe.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *name;
	long number;
} calls[] = {
	{"unshare", SYS_unshare},
	{"mount", SYS_mount},
	{"umount2", SYS_umount2},
	{"pivot_root", SYS_pivot_root},
	{"chroot", SYS_chroot},
	{"move_mount", SYS_move_mount},
	{"open_tree", SYS_open_tree},
	{"fsopen", SYS_fsopen},
	{"fsconfig", SYS_fsconfig},
	{"fsmount", SYS_fsmount},
	{"fspick", SYS_fspick},
	{"mount_setattr", SYS_mount_setattr},
	{"open_by_handle_at", SYS_open_by_handle_at},
	{"ptrace", SYS_ptrace},
	{"process_vm_readv", SYS_process_vm_readv},
	{"process_vm_writev", SYS_process_vm_writev},
	{"pidfd_getfd", SYS_pidfd_getfd},
	{"bpf", SYS_bpf},
	{"perf_event_open", SYS_perf_event_open},
	{"userfaultfd", SYS_userfaultfd},
	{"io_uring_setup", SYS_io_uring_setup},
	{"io_uring_enter", SYS_io_uring_enter},
	{"io_uring_register", SYS_io_uring_register},
	{"add_key", SYS_add_key},
	{"keyctl", SYS_keyctl},
	{"request_key", SYS_request_key},
	{"kexec_load", SYS_kexec_load},
	{"kexec_file_load", SYS_kexec_file_load},
	{"init_module", SYS_init_module},
	{"finit_module", SYS_finit_module},
	{"delete_module", SYS_delete_module},
	{"reboot", SYS_reboot},
	{"swapon", SYS_swapon},
	{"swapoff", SYS_swapoff},
	{"acct", SYS_acct},
	{"quotactl", SYS_quotactl},
	{"settimeofday", SYS_settimeofday},
	{"clock_settime", SYS_clock_settime},
	{"adjtimex", SYS_adjtimex},
	{"vhangup", SYS_vhangup},
	{"syslog", SYS_syslog},
#ifdef SYS_iopl
	{"iopl", SYS_iopl},
	{"ioperm", SYS_ioperm},
#endif
};

static int try_clone(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return errno;
	waitpid((pid_t)pid, NULL, 0);
	return 0;
}

int probe_syscalls(void)
{
	static const struct {
		const char *name;
		unsigned long flag;
	} flags[] = {{"clone", 0}, {"clone-newns", CLONE_NEWNS}, {"clone-newuser", CLONE_NEWUSER},
		{"clone-newpid", CLONE_NEWPID}, {"clone-newnet", CLONE_NEWNET},
		{"clone-newuts", CLONE_NEWUTS}, {"clone-newipc", CLONE_NEWIPC},
		{"clone-newcgroup", CLONE_NEWCGROUP}, {"clone-both", CLONE_NEWUSER | CLONE_NEWNS}};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		printf("%s %d\n", calls[i].name,
			syscall(calls[i].number, -1L, -1L, -1L, -1L, -1L, -1L) < 0 ? errno : 0);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		printf("%s %d\n", flags[i].name, try_clone(flags[i].flag));
	printf("clone3 %d\n", syscall(SYS_clone3, NULL, 0) < 0 ? errno : 0);
	printf("personality-ask %d\n", syscall(SYS_personality, 0xffffffffL) < 0 ? errno : 0);
	printf("personality-set %d\n", syscall(SYS_personality, 0x0040000L) < 0 ? errno : 0);
	printf("socket %d\n", syscall(SYS_socket, -1, -1, -1) < 0 ? errno : 0);
	printf("setns %d\n", syscall(SYS_setns, -1, 0) < 0 ? errno : 0);
	return 0;
}
