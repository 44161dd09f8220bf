/* Scripts of apps/, in Python, that take samples in a cluster of ours: here these become rows. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_SERIES 16

extern char **environ;

/* the numbers that a script has told, by name */
struct series {
	char name[32];
	struct samples samples;
};

struct table {
	struct series series[MAX_SERIES];
	size_t count;
};

static void table_fini(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		samples_fini(&table->series[i].samples);
}

static struct samples *samples_of(struct table *table, const char *name)
{
	size_t i = 0;
	while (i < table->count && strcmp(table->series[i].name, name) != 0)
		i++;
	if (i == MAX_SERIES)
		return NULL;
	if (i == table->count) {
		snprintf(table->series[i].name, sizeof(table->series[i].name), "%s", name);
		table->count++;
	}
	return &table->series[i].samples;
}

static int read_series(FILE *file, struct table *table, struct ramet_err *err)
{
	char name[32];
	double value = 0;
	while (fscanf(file, "%31s %lf", name, &value) == 2) {
		struct samples *samples = samples_of(table, name);
		if (!samples)
			return err_set(err, RAMET_EPROTO, "a script tells too many series");
		samples_add(samples, value);
	}
	return feof(file) ? 0 : err_set(err, RAMET_EPROTO, "a script told what is no number");
}

static int start(char *const argv[], pid_t *ret_pid, FILE **ret_file, struct ramet_err *err)
{
	posix_spawn_file_actions_t actions;
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	errno = posix_spawn(ret_pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	int failed = errno;
	close(fds[1]);
	*ret_file = failed ? NULL : fdopen(fds[0], "r");
	errno = failed;
	return failed ? err_errno(err, RAMET_EIO, "start %s", argv[0]) : 0;
}

static int run_script(const struct invoke_cluster *cluster, const char *name, const char *what,
	struct table *ret_table, struct ramet_err *err)
{
	char script[512], argument[64];
	char *const argv[] = {BENCH_PYTHON, "-B", script, argument, NULL};
	snprintf(script, sizeof(script), BENCH_APPS "/%s", name);
	snprintf(argument, sizeof(argument), "%s", what);
	FILE *file = NULL;
	pid_t pid = 0;
	int status = 0;
	setenv("RAMET_DIR", cluster->dir, 1);
	setenv("PYTHONPATH", BENCH_PACKAGE, 1);
	setenv("RAMET_BIN", cluster->bin, 1);
	int rc = start(argv, &pid, &file, err);
	if (rc < 0)
		return rc;
	rc = read_series(file, ret_table, err);
	fclose(file);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		rc = err_set(err, RAMET_EIO, "%s %s failed, with status %d", name, what, status);
	return rc;
}

static int report_run(const struct invoke_run *run, struct table *table, struct ramet_err *err)
{
	for (size_t i = 0; i < run->count; i++) {
		const struct invoke_row *row = &run->rows[i];
		struct samples *ours = samples_of(table, row->ours);
		struct samples *theirs = samples_of(table, row->theirs);
		bool lacks = !ours || !theirs || ours->count == 0 || theirs->count == 0;
		if (lacks && !run->may_lack)
			return err_set(err, RAMET_EPROTO, "no samples of %s", row->name);
		if (lacks)
			report_note("%s: skipped", row->name);
		else
			report_samples(row->name, row->unit, ours, row->baseline, theirs);
	}
	return 0;
}

int invoke_script_run(const struct invoke_run *run, struct ramet_err *err)
{
	CLEANUP(table_fini) struct table table = {0};
	struct invoke_cluster cluster;
	int rc = invoke_cluster_open(&cluster, run->nodes, err);
	if (rc == 0)
		rc = run_script(&cluster, run->name, run->what, &table, err);
	invoke_cluster_close(&cluster);
	return rc < 0 ? rc : report_run(run, &table, err);
}

int invoke_script(const char *name, const char *what, const struct invoke_row *rows, size_t count,
	struct ramet_err *err)
{
	const struct invoke_run run = {name, what, 1, rows, count, false};
	return invoke_script_run(&run, err);
}
