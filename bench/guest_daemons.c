/* Configurations, starting and ending: see guest_daemons.h. */
#include "bench/guest_daemons.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN "/run/ramet"
#define SOCKET RUN "/client.sock"
#define PORT 7870
#define UP_NS (90 * NSEC_PER_SEC)

enum { FILE_CONFIG, FILE_LOG };

const char *guest_daemons_socket(void)
{
	return SOCKET;
}

static void path_of(const struct guest_daemons *d, unsigned node, int file, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%u.%s", d->dir, node, file == FILE_CONFIG ? "yaml" : "log");
}

static int make_dir(struct guest_daemons *d, struct ramet_err *err)
{
	ssize_t n = readlink("/proc/self/exe", d->bin, sizeof(d->bin) - 1);
	if (n < 0)
		return err_errno(err, RAMET_EIO, "read /proc/self/exe");
	d->bin[n] = '\0';
	*strrchr(d->bin, '/') = '\0';
	snprintf(d->dir, sizeof(d->dir), "%s/../guests-XXXXXX", d->bin);
	if (!mkdtemp(d->dir)) {
		d->dir[0] = '\0';
		return err_errno(err, RAMET_EIO, "make a directory beside %s", d->bin);
	}
	return 0;
}

static int write_config(const struct guest_daemons *d, unsigned node, struct ramet_err *err)
{
	char path[PATH_MAX];
	char address[GUEST_ADDRESS_MAX];
	path_of(d, node, FILE_CONFIG, path);
	int rc = guest_address(node, address, err);
	if (rc < 0)
		return rc;
	FILE *file = fopen(path, "we");
	if (!file)
		return err_errno(err, RAMET_EIO, "write %s", path);
	fprintf(file, "node: %u\ndir: " RUN "/node\nclient_socket: " SOCKET "\n", node);
	fprintf(file, "listen: %s:%d\ntransport: verbs\npeers:\n", address, PORT);
	for (unsigned peer = 1; rc == 0 && peer <= d->count; peer++) {
		if (peer == node)
			continue;
		rc = guest_address(peer, address, err);
		fprintf(file, "  - node: %u\n    listen: %s:%d\n", peer, address, PORT);
	}
	if (fclose(file) != 0 && rc == 0)
		rc = err_errno(err, RAMET_EIO, "write %s", path);
	return rc;
}

static int start(struct guest_daemons *d, unsigned node, struct ramet_err *err)
{
	char rametd[PATH_MAX];
	char config[PATH_MAX];
	char log[PATH_MAX];
	const char *argv[] = {
		"sh", "-c", "exec \"$0\" --config \"$1\" >\"$2\" 2>&1", rametd, config, log, NULL};
	snprintf(rametd, sizeof(rametd), "%s/rametd", d->bin);
	path_of(d, node, FILE_CONFIG, config);
	path_of(d, node, FILE_LOG, log);
	return guest_start(&d->programs[node - 1], node, argv, err);
}

static unsigned count_of(const char *text, const char *word)
{
	unsigned count = 0;
	for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
		count++;
	return count;
}

/* whether the daemon of this guest sees them all */
static int look(const struct guest_daemons *d, bool *ret_up, struct ramet_err *err)
{
	static const char with_socket[] = "RAMET_SOCKET=" SOCKET;
	char ramet[PATH_MAX];
	const char *argv[] = {"env", with_socket, ramet, "nodes", "--json", NULL};
	struct guest_program program = {0};
	auto_free char *text = NULL;
	snprintf(ramet, sizeof(ramet), "%s/ramet", d->bin);
	int rc = guest_start(&program, guest_self(), argv, err);
	if (rc == 0)
		rc = guest_output(&program, &text, err);
	if (rc == 0)
		*ret_up = count_of(text, "\"state\":\"up\"") == d->count;
	return rc;
}

int guest_daemons_start(struct guest_daemons *d, struct ramet_err *err)
{
	int rc = 0;
	bool up = false;
	*d = (struct guest_daemons){.count = guest_count()};
	if (d->count < 1 || d->count > GUEST_DAEMONS_MAX)
		return err_set(err, RAMET_ENOTSUP, "%u guests: it takes 1 to %d (bench/run --vm)",
			d->count, GUEST_DAEMONS_MAX);
	rc = make_dir(d, err);
	for (unsigned node = 1; rc == 0 && node <= d->count; node++)
		rc = write_config(d, node, err);
	for (unsigned node = 1; rc == 0 && node <= d->count; node++)
		rc = start(d, node, err);
	uint64_t deadline = now_ns() + UP_NS;
	while (rc == 0 && !up) {
		rc = look(d, &up, err);
		if (rc == 0 && !up && now_ns() > deadline)
			rc = err_set(
				err, RAMET_ETIMEOUT, "the guests' daemons do not find each other");
	}
	return rc;
}

static void show_log(const struct guest_daemons *d, unsigned node)
{
	char path[PATH_MAX];
	char line[1024];
	path_of(d, node, FILE_LOG, path);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		fprintf(stderr, "node %u: %s", node, line);
	if (file)
		fclose(file);
}

void guest_daemons_end(struct guest_daemons *d, bool failed)
{
	char path[PATH_MAX];
	for (unsigned node = 1; node <= d->count; node++) {
		guest_end(&d->programs[node - 1]);
		if (failed)
			show_log(d, node);
		path_of(d, node, FILE_CONFIG, path);
		(void)unlink(path);
		path_of(d, node, FILE_LOG, path);
		(void)unlink(path);
	}
	if (d->dir[0])
		(void)rmdir(d->dir);
}
