/* ramet-spawn: makes the processes of a node, so that rametd, with its threads and pinned memory,
 * never forks. rametd starts it with one end of a socket pair as descriptor 3; it ends with that
 * connection. */
#include "base/fault.h"
#include "base/log.h"
#include "base/parse.h"
#include "runtime/spawn/exec.h"
#include "runtime/spawn/spawn_server.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define POOL_MAX 4096

static const char usage[] =
	"usage: ramet-spawn [options]   (started by rametd, connected to it by descriptor 3)\n"
	"  --store DIR      show DIR read-only as /ramet in sandboxes\n"
	"  --hide DIR       show nothing of DIR in sandboxes\n"
	"  --node NAME      name of this node's cgroups (default: node)\n"
	"  --stub PATH      the template stub (default: ramet-stub next to this program)\n"
	"  --sandboxes N    sandboxes to keep ready\n"
	"  --stubs N        stubs to keep ready\n"
	"  --log LEVEL      error, warn, info or debug\n";

enum { OPT_STORE = 1, OPT_HIDE, OPT_NODE, OPT_STUB, OPT_SANDBOXES, OPT_STUBS, OPT_LOG, OPT_HELP };

static const struct option options[] = {
	{"store", required_argument, NULL, OPT_STORE},
	{"hide", required_argument, NULL, OPT_HIDE},
	{"node", required_argument, NULL, OPT_NODE},
	{"stub", required_argument, NULL, OPT_STUB},
	{"sandboxes", required_argument, NULL, OPT_SANDBOXES},
	{"stubs", required_argument, NULL, OPT_STUBS},
	{"log", required_argument, NULL, OPT_LOG},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

static int parse_count(const char *text, unsigned *ret)
{
	uint64_t value;
	if (parse_u64(text, POOL_MAX, &value) < 0)
		return -1;
	*ret = (unsigned)value;
	return 0;
}

static int set_option(
	struct spawn_config *config, enum log_level *level, int option, const char *value)
{
	switch (option) {
	case OPT_STORE:
		config->store_dir = value;
		return value[0] == '/' && strcmp(value, "/") != 0 ? 0 : -1;
	case OPT_HIDE:
		config->hide_dir = value;
		return value[0] == '/' && strcmp(value, "/") != 0 ? 0 : -1;
	case OPT_NODE:
		config->node = value;
		return 0;
	case OPT_STUB:
		config->stub_path = value;
		return 0;
	case OPT_SANDBOXES:
		return parse_count(value, &config->sandboxes);
	case OPT_STUBS:
		return parse_count(value, &config->stubs);
	case OPT_LOG:
		return log_level_from_name(value, level);
	default:
		return -1;
	}
}

static int parse_options(int argc, char **argv, struct spawn_config *config, enum log_level *level)
{
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == OPT_HELP) {
			fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		}
		if (set_option(config, level, option, optarg) < 0) {
			if (option != '?')
				fprintf(stderr, "ramet-spawn: not usable: %s\n", optarg);
			return -1;
		}
	}
	return optind == argc ? 0 : -1;
}

/* a program in the directory of this one */
static int sibling(const char *name, char dst[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return -1;
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	if (!slash)
		return -1;
	slash[1] = '\0';
	return snprintf(dst, PATH_MAX, "%s%s", self, name) < PATH_MAX ? 0 : -1;
}

int main(int argc, char **argv)
{
	char stub[PATH_MAX], sandbox[PATH_MAX], files[PATH_MAX];
	struct spawn_config config = {
		.node = "node", .sandboxes = SPAWN_SANDBOXES, .stubs = SPAWN_STUBS};
	enum log_level level = LOG_WARN;
	if (sibling("ramet-stub", stub) < 0 || sibling("ramet-sandbox", sandbox) < 0 ||
		sibling("ramet-files", files) < 0) {
		fprintf(stderr, "ramet-spawn: /proc is not mounted\n");
		return EXIT_FAILURE;
	}
	config.stub_path = stub;
	config.sandbox_path = sandbox;
	config.files_path = files;
	if (parse_options(argc, argv, &config, &level) < 0 || fcntl(EXEC_SOCKET_FD, F_GETFD) < 0) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* so that it cleans up */
	fcntl(EXEC_SOCKET_FD, F_SETFD, FD_CLOEXEC);
	log_init("ramet-spawn", level, STDERR_FILENO);
	fault_init();

	struct ramet_err err = {0};
	if (spawn_serve(EXEC_SOCKET_FD, &config, &err) < 0) {
		log_err(LOG_ERROR, "spawn.failed", &err);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
