/* rametd: the daemon of a node. Reads its configuration, starts ramet-spawn while it has no
 * threads, makes the node, and runs its control loop until a signal or a client ends it. */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "cluster/node.h"
#include "cluster/node_config.h"
#include "cmd/rametd/programs.h"
#include "runtime/spawn/spawn_client.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define MAPPED_BYTES 131072 /* glibc's own bound, to begin with */
#define PREDECESSOR_S 2 /* seconds that one which is ending has for it */

static const char usage[] = "usage: rametd --config FILE\n"
			    "\n"
			    "The daemon of one node of a Ramet cluster.\n"
			    "\n"
			    "  -c, --config FILE   configuration (rametd(8) describes it)\n"
			    "      --check         only say whether the configuration is valid\n"
			    "  -h, --help          this text\n"
			    "  -V, --version       print the version\n";

struct daemon {
	struct node_config config;
	struct loop *loop;
	struct node *node;
	struct loop_watch signals;
	int signal_fd, lock_fd;
};

static void on_stopped(void *user)
{
	struct daemon *daemon = user;
	loop_stop(daemon->loop);
}

static void on_signal(struct loop_watch *watch, uint32_t events)
{
	struct daemon *daemon = container_of(watch, struct daemon, signals);
	struct signalfd_siginfo info;
	if (read(daemon->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	log_info("signal", "signal=%s", sigabbrev_np((int)info.ssi_signo));
	node_stop(daemon->node);
}

/* From here on signals come through the loop. After ramet-spawn was started: it must not inherit
 * the mask. */
static int take_signals(struct daemon *daemon, struct ramet_err *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	daemon->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (daemon->signal_fd < 0)
		return err_errno(err, RAMET_EIO, "make a signalfd");
	return loop_watch_add(
		daemon->loop, &daemon->signals, daemon->signal_fd, EPOLLIN, on_signal, err);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* flock() knows no timeout: a signal interrupts it, and another one, should the first come before
 * it waits */
static int lock_within(int fd, unsigned seconds)
{
	const struct sigaction interrupt = {.sa_handler = on_alarm};
	const struct itimerval timer = {.it_value.tv_sec = seconds, .it_interval.tv_usec = 100000};
	const struct itimerval none = {0};
	struct sigaction before;
	sigaction(SIGALRM, &interrupt, &before);
	setitimer(ITIMER_REAL, &timer, NULL);
	int rc = flock(fd, LOCK_EX);
	setitimer(ITIMER_REAL, &none, NULL);
	sigaction(SIGALRM, &before, NULL);
	return rc;
}

/* Two daemons in one directory would delete each other's files. One that was killed may still be
 * ending: its first thread is gone while others have the lock. */
static int lock_dir(struct daemon *daemon, struct ramet_err *err)
{
	char path[NODE_PATH_MAX + 16];
	int rc = file_mkdirs(daemon->config.dir, 0755, err);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "%s/lock", daemon->config.dir);
	daemon->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (daemon->lock_fd < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	if (lock_within(daemon->lock_fd, PREDECESSOR_S) < 0)
		return err_set(
			err, RAMET_EEXIST, "another rametd uses dir: %s", daemon->config.dir);
	return 0;
}

/* instances have pipes, sockets and memfds of which this process holds one end */
static void raise_limits(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int start_spawn(
	const struct daemon *daemon, struct spawn_client **ret_spawn, struct ramet_err *err)
{
	char spawn[PROGRAM_PATH_MAX], stub[PROGRAM_PATH_MAX], store[NODE_PATH_MAX + 16], name[32];
	int rc = program_find("RAMET_SPAWN", "ramet-spawn", spawn, err);
	if (rc == 0)
		rc = program_find("RAMET_STUB", "ramet-stub", stub, err);
	snprintf(store, sizeof(store), "%s/store", daemon->config.dir);
	if (rc == 0)
		rc = file_mkdirs(store, 0711, err);
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "node%u.%d", daemon->config.node, (int)getpid());
	const struct spawn_options options = {
		.spawn_path = spawn,
		.stub_path = stub,
		.store_dir = store,
		.hide_dir = daemon->config.hide,
		.node_name = name,
		.sandboxes = daemon->config.pool_sandboxes,
		.stubs = daemon->config.pool_stubs,
	};
	return spawn_client_start(daemon->loop, &options, NULL, NULL, ret_spawn, err);
}

static int start(struct daemon *daemon, struct ramet_err *err)
{
	struct spawn_client *spawn = NULL;
	raise_limits();
	int rc = lock_dir(daemon, err);
	if (rc == 0)
		rc = loop_create(&daemon->loop, err);
	if (rc == 0)
		rc = start_spawn(daemon, &spawn, err);
	if (rc < 0)
		return rc;
	rc = take_signals(daemon, err);
	if (rc < 0) {
		spawn_client_stop(spawn);
		return rc;
	}
	rc = node_create(daemon->loop, &daemon->config, spawn, &daemon->node, err);
	if (rc < 0)
		return rc;
	daemon->node->on_stopped = on_stopped;
	daemon->node->on_stopped_user = daemon;
	return 0;
}

static int run(const char *config)
{
	struct daemon daemon = {.signal_fd = -1, .lock_fd = -1};
	struct ramet_err err = {0};
	int rc = node_config_load(config, &daemon.config, &err);
	if (rc < 0) {
		fprintf(stderr, "rametd: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	log_init("rametd", daemon.config.log_level, STDERR_FILENO);
	fault_init();
	rc = start(&daemon, &err);
	if (rc == 0) {
		const struct node *node = daemon.node;
		log_info("node.up",
			"node=%u name=%s listen=%s data=%s transport=%s pager=%s peers=%u "
			"socket=%s",
			node->config.node, node->self.name, node->self.listen, node->self.data,
			node->self.transport, node->self.eager ? "eager" : "uffd",
			node->config.npeers, node->config.client_socket);
		rc = loop_run(daemon.loop, &err);
		if (daemon.node->failed)
			rc = RAMET_EIO;
		else if (rc < 0)
			log_err(LOG_ERROR, "node.failed", &err);
	} else {
		log_err(LOG_ERROR, "node.start", &err);
	}
	node_destroy(daemon.node);
	loop_watch_remove(&daemon.signals);
	loop_destroy(daemon.loop);
	close_reset(&daemon.signal_fd);
	log_info("node.down", "node=%u", daemon.config.node);
	close_reset(&daemon.lock_fd);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int check(const char *config)
{
	struct node_config parsed;
	struct ramet_err err = {0};
	if (node_config_load(config, &parsed, &err) < 0) {
		fprintf(stderr, "rametd: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	const char *config = NULL;
	bool only_check = false;
	int option;
	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			config = optarg;
			break;
		case 'k':
			only_check = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("rametd " RAMET_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (!config || optind < argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	/* Large memory stays mapped on its own: else glibc takes it from the heap from the first
	 * that is freed on, where a few small pieces behind it keep it from the kernel for good. */
	(void)mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
	/* One heap: what one thread has freed is the next one's, and malloc_trim()
	 * gives back the end of the first heap only. Threads have their caches of what is small. */
	(void)mallopt(M_ARENA_MAX, 1);
	return only_check ? check(config) : run(config);
}
