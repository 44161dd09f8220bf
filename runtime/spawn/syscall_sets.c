/* See syscall_sets.h. clone, clone3, openat and personality have rules of their own
 * (syscall_filter.c). */
#include "runtime/spawn/syscall_sets.h"

#include "base/cleanup.h"

/* Of no use without capabilities, or a large surface. setns is not here: a template serves under
 * this filter and needs it; a child has no capability to use it with. */
const char *const syscalls_refused[] = {
	/* namespaces and mounts */
	"unshare", "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree",
	"open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
	"open_by_handle_at",
	/* other processes */
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
	/* large kernel surfaces */
	"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
	"io_uring_register", "fanotify_init", "add_key", "keyctl", "request_key", "lookup_dcookie",
	"nfsservctl",
	/* the machine */
	"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot",
	"swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "settimeofday", "clock_settime",
	"adjtimex", "clock_adjtime", "iopl", "ioperm", "vhangup", "syslog", "sethostname",
	"setdomainname"};
const size_t syscalls_refused_count = ARRAY_LEN(syscalls_refused);

const char *const syscalls_isolates[] = {
	/* descriptors that are there */
	"read", "readv", "pread64", "preadv", "write", "writev", "pwrite64", "lseek", "_llseek",
	"close", "close_range", "dup", "dup2", "dup3", "fcntl", "fcntl64", "fstat", "fstat64",
	"sendmsg", "recvmsg", "sendto", "recvfrom", "shutdown", "poll", "ppoll", "select",
	"pselect6", "eventfd2", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait",
	"epoll_pwait2", "ioctl",
	/* files, to be read: an app's, and libraries */
	"stat", "lstat", "newfstatat", "fstatat64", "statx", "access", "faccessat", "faccessat2",
	"readlink", "readlinkat", "getdents64", "getcwd", "chdir", "fchdir", "umask", "statfs",
	"fstatfs",
	/* memory */
	"brk", "mmap", "mmap2", "munmap", "mprotect", "mremap", "madvise", "mincore", "membarrier",
	/* time */
	"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
	"times", "timer_create", "timer_settime", "timer_gettime", "timer_getoverrun",
	"timer_delete", "setitimer", "getitimer", "alarm",
	/* signals, to itself */
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend",
	"rt_sigtimedwait", "sigaltstack", "tgkill", "pause", "restart_syscall",
	/* itself */
	"exit", "exit_group", "futex", "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid",
	"getegid", "getresuid", "getresgid", "getgroups", "getpgrp", "getpgid", "getsid",
	"getrandom", "getrlimit", "prlimit64", "getrusage", "uname", "sysinfo", "getcpu",
	"sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler",
	"set_tid_address", "set_robust_list", "get_robust_list", "rseq", "arch_prctl", "prctl",
	"getpriority",
	/* a capture and its shadow, and a template's children */
	"pipe", "pipe2", "wait4", "waitid", "setns", "setresuid", "setresgid", "setgroups",
	"capset", "capget", "setsid", "pidfd_open", "landlock_restrict_self"};
const size_t syscalls_isolates_count = ARRAY_LEN(syscalls_isolates);
