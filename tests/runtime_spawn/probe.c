/* spawn_probe: run as a host by the tests; says on stdout, in lines "key value", what a host sees
 * and may do. */
#include "tests/runtime_spawn/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say_open_for_writing(const char *key, const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	printf("%s %d\n", key, fd < 0 ? errno : 0);
	if (fd >= 0)
		close(fd);
}

static void say_status(void)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "Cap", 3) == 0 || strncmp(line, "NoNewPrivs", 10) == 0 ||
			strncmp(line, "Seccomp:", 8) == 0 || strncmp(line, "SigBlk", 6) == 0 ||
			strncmp(line, "SigIgn", 6) == 0) {
			char *colon = strchr(line, ':');
			*colon = '\0';
			printf("%s %s", line, colon + 2);
		}
	}
	if (f)
		fclose(f);
}

static void say_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	printf("fds");
	for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
		if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(dir))
			printf(" %s", e->d_name);
	}
	printf("\n");
	if (dir)
		closedir(dir);
}

static void say_processes(void)
{
	unsigned count = 0;
	DIR *dir = opendir("/proc");
	for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
		count += e->d_name[0] >= '0' && e->d_name[0] <= '9';
	printf("processes %u\n", count);
	if (dir)
		closedir(dir);
}

static void say_namespaces(void)
{
	static const char *const names[] = {"net", "ipc", "uts", "pid", "mnt", "user"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[64], link[64] = "";
		snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		(void)!readlink(path, link, sizeof(link) - 1);
		printf("ns-%s %s\n", names[i], link);
	}
}

static void say_loopback(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	printf("loopback %d\n", connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0);
	close(fd);
}

static int look(void)
{
	char cwd[512], byte;
	struct stat st;
	printf("pid %d\n", getpid());
	printf("uid %d\ngid %d\ngroups %d\n", getuid(), getgid(), getgroups(0, NULL));
	printf("cwd %s\n", getcwd(cwd, sizeof(cwd)));
	printf("env %s\n", getenv("PROBE") ? getenv("PROBE") : "");
	printf("home %s\n", getenv("HOME") ? getenv("HOME") : "");
	printf("dumpable %d\n", prctl(PR_GET_DUMPABLE));
	printf("stdin %zd\n", read(0, &byte, 1));
	printf("control %d\n", fstat(3, &st) == 0 && S_ISSOCK(st.st_mode));
	say_fds();
	say_status();
	say_processes();
	say_namespaces();
	say_loopback();
	say_open_for_writing("write-usr", "/usr/probe-was-here");
	say_open_for_writing("write-root", "/probe-was-here");
	say_open_for_writing("write-etc", "/etc/hostname");
	say_open_for_writing("write-ramet", "/ramet/probe-was-here");
	say_open_for_writing("write-run", "/run/probe-was-here");
	say_open_for_writing("write-tmp", "/tmp/probe-was-here");
	say_open_for_writing("write-shm", "/dev/shm/probe-was-too");
	say_open_for_writing("write-null", "/dev/null");
	say_open_for_writing("write-proc-sys", "/proc/sys/kernel/core_pattern");
	say_open_for_writing("write-proc-oom", "/proc/self/oom_score_adj");
	printf("sys-cgroup %d\n", access("/sys/fs/cgroup", F_OK));
	printf("sys-cpu %d\n", access("/sys/devices/system/cpu", F_OK));
	printf("python %d\n", access("/usr/bin/env", X_OK));
	return 0;
}

/* leaves a process behind that holds our output open */
static int orphan(void)
{
	if (fork() == 0) {
		setsid();
		for (;;)
			pause();
	}
	return 0;
}

static int cat(const char *path)
{
	char text[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (n < 0)
		printf("error %d\n", errno);
	else
		printf("text %.*s\n", (int)n, text);
	return 0;
}

/* tells that it runs, then waits until the other end of control is closed */
static int serve(void)
{
	char byte = 'r';
	if (write(3, &byte, 1) != 1)
		return 1;
	return read(3, &byte, 1) == 0 ? 0 : 1;
}

static int eat(size_t bytes)
{
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	memset(memory, 1, bytes);
	printf("ate %zu\n", bytes);
	return 0;
}

/* how many children can it have at once */
static int forks(int wanted)
{
	int count = 0;
	for (; count < wanted; count++) {
		pid_t pid = fork();
		if (pid == 0)
			for (;;)
				pause();
		if (pid < 0)
			break;
	}
	printf("children %d\n", count);
	return 0;
}

static long long clock_ms(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

/* computes for so long; how much time passes meanwhile */
static int burn(int ms)
{
	long long begin = clock_ms(CLOCK_MONOTONIC);
	long long cpu = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
	while (clock_ms(CLOCK_PROCESS_CPUTIME_ID) < cpu + ms)
		;
	printf("took %lld\n", clock_ms(CLOCK_MONOTONIC) - begin);
	return 0;
}

static int gain(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "spawn_probe", "caps", NULL);
		_exit(127);
	}
	int status;
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	const char *arg = argc > 2 ? argv[2] : "0";
	int rc = 2;
	if (strcmp(what, "look") == 0)
		rc = look();
	else if (strcmp(what, "syscalls") == 0)
		rc = probe_syscalls();
	else if (strcmp(what, "orphan") == 0)
		rc = orphan();
	else if (strcmp(what, "cat") == 0)
		rc = cat(arg);
	else if (strcmp(what, "serve") == 0)
		rc = serve();
	else if (strcmp(what, "eat") == 0)
		rc = eat((size_t)atol(arg));
	else if (strcmp(what, "forks") == 0)
		rc = forks(atoi(arg));
	else if (strcmp(what, "burn") == 0)
		rc = burn(atoi(arg));
	else if (strcmp(what, "gain") == 0)
		rc = gain();
	else if (strcmp(what, "caps") == 0)
		say_status(), rc = 0;
	else if (strcmp(what, "exit") == 0)
		rc = atoi(arg);
	else if (strcmp(what, "signal") == 0)
		raise(atoi(arg));
	fflush(stdout);
	return rc;
}
