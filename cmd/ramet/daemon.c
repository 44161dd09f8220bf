/* The rametd processes of `ramet up`: starting and finding them. */
#include "cmd/ramet/daemon.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "cmd/ramet/netns.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#define MARK \
	"RAMET_CLUSTER" /* in the environment of a daemon and what it starts: the directory \
			 */

/* rametd: RAMET_RAMETD of the environment, else beside this program, else in ../sbin */
static int find_rametd(char dst[PATH_MAX], struct ramet_err *err)
{
	const char *given = secure_getenv("RAMET_RAMETD");
	if (given && *given) {
		snprintf(dst, PATH_MAX, "%s", given);
		return 0;
	}
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return err_errno(err, RAMET_EIO, "read /proc/self/exe");
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	*slash = '\0';
	static const char *const places[] = {"%s/rametd", "%s/../sbin/rametd"};
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		char where[16];
		snprintf(where, sizeof(where), "%s", places[i] + 2);
		if (snprintf(dst, PATH_MAX, "%s%s", self, where) < PATH_MAX &&
			access(dst, X_OK) == 0)
			return 0;
	}
	return err_set(err, RAMET_ENOTFOUND, "rametd is not in %s", self);
}

/* field 22 of /proc/PID/stat: with the pid it names a process for good; 0: there is none */
static uint64_t start_time(pid_t pid)
{
	char path[64];
	auto_free char *text = NULL;
	uint64_t ticks = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (file_read(path, 65536, &text, NULL, NULL) < 0)
		return 0;
	const char *p = strrchr(text, ')'); /* the name may hold anything */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p && sscanf(p, "%" SCNu64, &ticks) == 1 ? ticks : 0;
}

static int save_pid(const struct cluster *cluster, unsigned node, pid_t pid, struct ramet_err *err)
{
	char path[CLUSTER_PATH_MAX];
	cluster_path(cluster, node, "pid", path);
	char text[64];
	int len = snprintf(text, sizeof(text), "%d %" PRIu64 "\n", pid, start_time(pid));
	return file_replace(path, text, (size_t)len, 0644, err);
}

/* in the child, after fork: becomes rametd, or ends with a line in the log */
static _Noreturn void become(
	const struct cluster *cluster, unsigned node, const char *rametd, int log_fd)
{
	struct ramet_err err = {0};
	char config[CLUSTER_PATH_MAX];
	setsid();
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	dup2(null, STDIN_FILENO);
	dup2(log_fd, STDOUT_FILENO);
	dup2(log_fd, STDERR_FILENO);
	signal(SIGPIPE, SIG_DFL);
	if (cluster->netns && netns_enter(cluster, node, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		_exit(127);
	}
	setenv(MARK, cluster->dir, 1);
	cluster_path(cluster, node, "config.yaml", config);
	execl(rametd, "rametd", "--config", config, (char *)NULL);
	fprintf(stderr, "start %s: %s\n", rametd, strerror(errno));
	_exit(127);
}

int daemon_start(const struct cluster *cluster, unsigned node, struct daemon *ret_daemon,
	struct ramet_err *err)
{
	char rametd[PATH_MAX], log[CLUSTER_PATH_MAX];
	int rc = find_rametd(rametd, err);
	if (rc < 0)
		return rc;
	cluster_path(cluster, node, "log", log);
	auto_close int log_fd =
		open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log_fd < 0)
		return err_errno(err, RAMET_EIO, "open %s", log);
	struct daemon daemon = {.pid = fork()};
	if (daemon.pid < 0)
		return err_errno(err, RAMET_EIO, "fork");
	if (daemon.pid == 0)
		become(cluster, node, rametd, log_fd);
	daemon.pidfd = pidfd_open(daemon.pid, 0);
	if (daemon.pidfd < 0) {
		rc = err_errno(err, RAMET_EIO, "pidfd_open");
		kill(daemon.pid, SIGKILL);
		return rc;
	}
	*ret_daemon = daemon; /* also when its pid cannot be saved: the caller stops it */
	return save_pid(cluster, node, daemon.pid, err);
}

static bool load_pid(
	const struct cluster *cluster, unsigned node, pid_t *ret_pid, uint64_t *ret_ticks)
{
	char path[CLUSTER_PATH_MAX];
	auto_free char *text = NULL;
	cluster_path(cluster, node, "pid", path);
	return file_read(path, 256, &text, NULL, NULL) == 0 &&
		sscanf(text, "%d %" SCNu64, ret_pid, ret_ticks) == 2 && *ret_pid > 0;
}

pid_t daemon_last_pid(const struct cluster *cluster, unsigned node)
{
	pid_t pid;
	uint64_t ticks;
	return load_pid(cluster, node, &pid, &ticks) ? pid : 0;
}

bool daemon_find(const struct cluster *cluster, unsigned node, struct daemon *ret_daemon)
{
	struct daemon daemon;
	uint64_t ticks;
	if (!load_pid(cluster, node, &daemon.pid, &ticks))
		return false;
	daemon.pidfd = pidfd_open(daemon.pid, 0);
	if (daemon.pidfd < 0)
		return false;
	if (start_time(daemon.pid) != ticks) { /* another process has its number now */
		daemon_fini(&daemon);
		return false;
	}
	*ret_daemon = daemon;
	return true;
}

void daemon_fini(struct daemon *daemon)
{
	close_reset(&daemon->pidfd);
	daemon->pid = 0;
}
