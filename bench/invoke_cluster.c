/* The cluster that bench/run invoke calls functions of. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARM_UP_CALLS 200

extern char **environ;

/* `ramet VERB… --dir DIR`, its output to stderr only when it fails */
static int run_ramet(struct invoke_cluster *cluster, char *const argv[], struct ramet_err *err)
{
	char program[sizeof(cluster->bin) + 16];
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status = 0;
	snprintf(program, sizeof(program), "%s/ramet", cluster->bin);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	errno = posix_spawn(&pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (errno != 0)
		return err_errno(err, RAMET_EIO, "start %s", program);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(err, RAMET_EIO, "ramet %s failed, with status %d", argv[1], status);
	return 0;
}

static int find_bin(struct invoke_cluster *cluster, struct ramet_err *err)
{
	ssize_t n = readlink("/proc/self/exe", cluster->bin, sizeof(cluster->bin) - 1);
	if (n < 0)
		return err_errno(err, RAMET_EIO, "read /proc/self/exe");
	cluster->bin[n] = '\0';
	*strrchr(cluster->bin, '/') = '\0';
	return 0;
}

int invoke_cluster_open(struct invoke_cluster *cluster, unsigned nodes, struct ramet_err *err)
{
	char count[16];
	char socket[sizeof(cluster->dir) + 32];
	memset(cluster, 0, sizeof(*cluster));
	int rc = find_bin(cluster, err);
	if (rc < 0)
		return rc;
	snprintf(cluster->dir, sizeof(cluster->dir), "/tmp/ramet-bench-XXXXXX");
	if (!mkdtemp(cluster->dir))
		return err_errno(err, RAMET_EIO, "make %s", cluster->dir);
	snprintf(count, sizeof(count), "%u", nodes);
	char *const argv[] = {"ramet", "up", "--nodes", count, "--dir", cluster->dir, NULL};
	rc = run_ramet(cluster, argv, err);
	if (rc < 0)
		return rc;
	cluster->up = true;
	snprintf(socket, sizeof(socket), "%s/node1/client.sock", cluster->dir);
	return ramet_open(socket, &cluster->ramet, err);
}

void invoke_cluster_close(struct invoke_cluster *cluster)
{
	struct ramet_err err = {0};
	char *const argv[] = {"ramet", "down", "--dir", cluster->dir, NULL};
	ramet_close(cluster->ramet);
	if (cluster->up && run_ramet(cluster, argv, &err) < 0)
		report_note("%s", err.msg);
	if (cluster->dir[0])
		(void)rmdir(cluster->dir);
}

int invoke_deploy(struct invoke_cluster *cluster, const char *file, const char *handler,
	const char *name, const char *fresh, struct ramet_err *err)
{
	struct ramet_deploy_options options = ramet_deploy_options_default();
	options.handler = handler;
	options.name = name;
	options.fresh = fresh;
	options.node = 1;
	return ramet_deploy(cluster->ramet, file, &options, NULL, err);
}

int invoke_echo_open(struct invoke_cluster *cluster, unsigned nodes, struct ramet_err *err)
{
	int rc = invoke_cluster_open(cluster, nodes, err);
	return rc < 0 ? rc
		      : invoke_deploy(cluster, BENCH_LIBS "/libbench_invoke.so", "echo", "echo",
				NULL, err);
}

int invoke_pin(pid_t pid, int cpu, struct ramet_err *err)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (cpu < 0 || i == cpu)
			CPU_SET(i, &set);
	if (sched_setaffinity(pid, sizeof(set), &set) < 0)
		return err_errno(err, RAMET_EIO, "pin process %d to CPU %d", (int)pid, cpu);
	return 0;
}

int invoke_pin_to_first(unsigned cpus, struct ramet_err *err)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	for (unsigned i = 0; i < cpus; i++)
		CPU_SET(i, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return err_errno(err, RAMET_EIO, "keep to %u CPUs", cpus);
	return 0;
}

int invoke_call(struct ramet *ramet, struct invoke_call *call, const void *data, size_t len,
	double *ret_us, struct ramet_err *err)
{
	struct ramet_result *result = NULL;
	uint64_t begin = now_ns();
	int rc = ramet_call(ramet, call->function, data, len, call->options, &result, err);
	*ret_us = (double)(now_ns() - begin) / 1e3;
	if (rc == 0 &&
		(result->output_len != len ||
			memcmp(result->output, data, len < 4096 ? len : 4096) != 0))
		rc = err_set(err, RAMET_EINTERNAL, "%s answered something else", call->function);
	if (rc == 0) {
		call->pid = result->pid;
		snprintf(call->id, sizeof(call->id), "%s", result->call);
	}
	ramet_result_free(result);
	return rc;
}

int invoke_echo(struct ramet *ramet, const char *function, const void *data, size_t len,
	double *ret_us, struct ramet_err *err)
{
	struct ramet_call_options options = ramet_call_options_default();
	struct invoke_call call = {.function = function, .options = &options};
	options.flags = RAMET_CALL_BINARY;
	return invoke_call(ramet, &call, data, len, ret_us, err);
}

int invoke_daemon(
	const struct invoke_cluster *cluster, unsigned node, pid_t *ret_pid, struct ramet_err *err)
{
	char path[sizeof(cluster->dir) + 32];
	int pid = 0;
	snprintf(path, sizeof(path), "%s/node%u/pid", cluster->dir, node);
	FILE *file = fopen(path, "re");
	bool read = file && fscanf(file, "%d", &pid) == 1;
	if (file)
		fclose(file);
	if (!read)
		return err_errno(err, RAMET_EIO, "read %s", path);
	*ret_pid = pid;
	return 0;
}

void invoke_report(const char *name, struct samples *ours, double p, const char *baseline,
	struct samples *floor)
{
	const struct report_row row = {
		.name = name,
		.unit = "us",
		.value = samples_quantile(ours, p),
		.baseline = baseline,
		.baseline_value = samples_median(floor),
		.p50 = samples_median(ours),
		.p99 = samples_quantile(ours, 0.99),
		.p999 = samples_quantile(ours, 0.999),
		.n = ours->count,
	};
	report_row(&row);
}

int invoke_warm_up(struct ramet *ramet, const char *function, pid_t *ret_pid, struct ramet_err *err)
{
	struct ramet_call_options options = ramet_call_options_default();
	options.flags = RAMET_CALL_BINARY;
	for (unsigned i = 0; i < WARM_UP_CALLS; i++) {
		struct ramet_result *result = NULL;
		int rc = ramet_call(ramet, function, "x", 1, &options, &result, err);
		if (rc == 0)
			*ret_pid = result->pid;
		ramet_result_free(result);
		if (rc < 0)
			return rc;
	}
	return 0;
}
