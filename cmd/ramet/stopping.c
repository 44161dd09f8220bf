/* Stopping a cluster: asked first, then told, then killed; then what it made outside of processes.
 */
#include "cmd/ramet/stopping.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/daemon.h"
#include "cmd/ramet/leftovers.h"
#include "cmd/ramet/netns.h"
#include "libramet/stream.h"

#include <signal.h>
#include <sys/pidfd.h>

#define REST_MS 2000 /* for what they started, once they are gone */
#define KILLED_MS 5000
#define MAX_PROCESSES 4096

static uint64_t after_ms(uint64_t ms)
{
	return now_ns() + ms * NSEC_PER_MSEC;
}

/* over its socket; false: it does not answer */
static bool ask(const struct cluster *cluster, unsigned node)
{
	char path[CLUSTER_PATH_MAX];
	auto_ramet struct ramet *ramet = NULL;
	cluster_path(cluster, node, "client.sock", path);
	return ramet_open(path, &ramet, NULL) == 0 &&
		stream_request(ramet, "shutdown", 0, NULL, NULL, handle_deadline(2000), "closing",
			NULL, NULL) == 0;
}

static void stop_daemons(const struct cluster *cluster, unsigned orderly_ms)
{
	struct daemon daemons[CLUSTER_MAX_NODES];
	int pidfds[CLUSTER_MAX_NODES];
	size_t count = 0;
	for (unsigned i = 1; i <= cluster->nodes; i++) {
		struct daemon *d = &daemons[count];
		if (!daemon_find(cluster, i, d))
			continue;
		pidfds[count++] = d->pidfd;
		if (!ask(cluster, i))
			pidfd_send_signal(d->pidfd, SIGTERM, NULL, 0);
	}
	client_progress("waiting for the nodes to end");
	if (!daemon_wait_all(pidfds, count, after_ms(orderly_ms)))
		for (size_t i = 0; i < count; i++)
			pidfd_send_signal(pidfds[i], SIGKILL, NULL, 0);
	daemon_wait_all(pidfds, count, after_ms(KILLED_MS));
	for (size_t i = 0; i < count; i++)
		daemon_fini(&daemons[i]);
}

/* what daemons have started ends with them; what does not is killed */
static int stop_rest(const struct cluster *cluster, struct ramet_err *err)
{
	static int pidfds[MAX_PROCESSES];
	for (int round = 0; round < 3; round++) {
		size_t count = daemon_descendants(cluster, pidfds, MAX_PROCESSES);
		if (count == 0)
			return 0;
		bool ended = daemon_wait_all(pidfds, count, after_ms(round ? 0 : REST_MS));
		for (size_t i = 0; !ended && i < count; i++)
			pidfd_send_signal(pidfds[i], SIGKILL, NULL, 0);
		daemon_wait_all(pidfds, count, after_ms(KILLED_MS));
		for (size_t i = 0; i < count; i++)
			close(pidfds[i]);
	}
	return err_set(err, RAMET_EIO, "processes of the cluster in %s do not end", cluster->dir);
}

int stopping_run(struct cluster *cluster, unsigned orderly_ms, struct ramet_err *err)
{
	stop_daemons(cluster, orderly_ms);
	int rc = stop_rest(cluster, err);
	if (rc == 0 && geteuid() == 0)
		rc = netns_remove(cluster, err);
	leftovers_remove(cluster);
	if (rc == 0)
		rc = cluster_remove(cluster, err);
	client_progress_end();
	return rc;
}
