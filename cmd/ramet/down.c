/* ramet down: the cluster of this machine ends, and nothing of it is left. */
#include "base/cleanup.h"
#include "base/err.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/cluster_dir.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/json.h"
#include "cmd/ramet/stopping.h"
#include "cmd/ramet/verb.h"

static int down(struct cluster *cluster, const char *dir, struct ramet_err *err)
{
	int rc = cluster_init(cluster, dir, err);
	if (rc == 0 && !cluster_exists(cluster))
		rc = err_set(err, RAMET_ENOCLUSTER, "no cluster was started in %s", cluster->dir);
	if (rc == 0)
		rc = cluster_lock(cluster, err);
	if (rc == 0)
		rc = cluster_load(cluster, err);
	return rc < 0 ? rc : stopping_run(cluster, STOPPING_ORDERLY_MS, err);
}

int verb_down(int argc, char **argv)
{
	const char *dir = NULL;
	bool json = false;
	const struct option options[] = {
		{"dir", 0, OPTION_STRING, &dir, 0, "DIR",
			"where it was started (default RAMET_DIR, or /run/ramet)"},
		OPTION_JSON(&json),
		{0},
	};
	const struct usage usage = {"down", "[OPTION]...",
		"Stop the cluster that ramet up started: its daemons, instances, network "
		"namespaces "
		"and files go,\nalso after a crash.",
		options, 0, 0};
	CLEANUP(cluster_leave) struct cluster cluster = {.lock_fd = -1};
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, NULL, &code))
		return code;
	if (down(&cluster, dir, &err) < 0)
		return exit_tell("down", &err);
	if (json) {
		struct json object;
		json_open(&object, stdout);
		json_uint(&object, "stopped", cluster.nodes);
		json_close(&object);
		fputc('\n', stdout);
	}
	return EXIT_OK;
}
