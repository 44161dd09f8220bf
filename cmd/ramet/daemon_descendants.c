/* Everything that still runs of a cluster, found in /proc: by network namespace, or by what
 * rametd's environment has handed down. Needed when a daemon was killed and could not clean up. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cmd/ramet/daemon.h"
#include "cmd/ramet/netns.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#define MARK "RAMET_CLUSTER="
#define MAX_ENVIRON 65536

struct spaces {
	ino_t ino[CLUSTER_MAX_NODES + 1];
	size_t count;
};

static void find_spaces(const struct cluster *cluster, struct spaces *spaces)
{
	char name[32], path[64];
	struct stat st;
	for (unsigned i = 0; cluster->netns && i <= cluster->nodes; i++) {
		netns_name(cluster, i, name);
		snprintf(path, sizeof(path), "/run/netns/%s", name);
		if (stat(path, &st) == 0)
			spaces->ino[spaces->count++] = st.st_ino;
	}
}

static bool in_spaces(const char *pid, const struct spaces *spaces)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%.20s/ns/net", pid);
	if (spaces->count == 0 || stat(path, &st) < 0)
		return false;
	for (size_t i = 0; i < spaces->count; i++)
		if (spaces->ino[i] == st.st_ino)
			return true;
	return false;
}

static bool is_marked(const char *pid, const char *dir)
{
	char path[64], env[MAX_ENVIRON + 1];
	snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, env, MAX_ENVIRON);
	if (n <= 0)
		return false;
	env[n] = '\0';
	for (const char *p = env; p < env + n; p += strlen(p) + 1)
		if (strncmp(p, MARK, strlen(MARK)) == 0 && strcmp(p + strlen(MARK), dir) == 0)
			return true;
	return false;
}

size_t daemon_descendants(const struct cluster *cluster, int *ret_pidfds, size_t cap)
{
	struct spaces spaces = {0};
	size_t count = 0;
	auto_closedir DIR *proc = opendir("/proc");
	if (!proc)
		return 0;
	find_spaces(cluster, &spaces);
	for (const struct dirent *e = readdir(proc); e && count < cap; e = readdir(proc)) {
		int pid = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? atoi(e->d_name) : 0;
		if (!pid || pid == getpid())
			continue;
		/* the descriptor first: what is found out afterwards is about that process */
		auto_close int fd = pidfd_open(pid, 0);
		if (fd >= 0 &&
			(in_spaces(e->d_name, &spaces) || is_marked(e->d_name, cluster->dir)))
			ret_pidfds[count++] = steal_fd(&fd);
	}
	return count;
}

bool daemon_wait_all(const int *pidfds, size_t count, uint64_t deadline_ns)
{
	for (size_t i = 0; i < count; i++) {
		struct pollfd p = {.fd = pidfds[i], .events = POLLIN};
		for (int n = 0; n == 0;) {
			uint64_t now = now_ns();
			uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
			n = poll(&p, 1, (int)(left / NSEC_PER_MSEC + (left > 0)));
			if (n < 0 && errno == EINTR)
				n = 0;
			else if (n == 0 && left == 0)
				return false;
		}
	}
	return true;
}
