/* What an isolate holds that was called once and is idle, of many in one process. Informative: no
 * baseline. */
#include "bench/isolate.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* bytes of anonymous memory of this process */
static int anonymous(double *ret, struct ramet_err *err)
{
	auto_free char *text = NULL;
	int rc = file_read("/proc/self/smaps_rollup", 65536, &text, NULL, err);
	const char *at = rc == 0 ? strstr(text, "\nAnonymous:") : NULL;
	if (rc == 0 && !at)
		return err_set(err, RAMET_EPROTO, "smaps_rollup does not say Anonymous");
	if (rc == 0)
		*ret = (double)strtoull(at + strlen("\nAnonymous:"), NULL, 10) * 1024;
	return rc;
}

static int call_all(struct plugin *plugin, unsigned count, struct ramet_err *err)
{
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < count; i++)
		rc = plugin_call(plugin, i, "21", "21", err);
	return rc;
}

static int measure(const struct isolate_idle *idle, double *ret_each, struct ramet_err *err)
{
	static struct plugin plugin;
	const struct plugin_app app = {
		.dir = idle->dir,
		.handlers = {idle->handler, idle->handler},
		.count = idle->count,
		.compiled = idle->compiled,
	};
	double before = 0;
	double after = 0;
	int rc = anonymous(&before, err);
	if (rc == 0)
		rc = plugin_open(idle->lang, &app, &plugin, err);
	if (rc == 0)
		rc = call_all(&plugin, idle->count, err);
	if (rc == 0)
		rc = anonymous(&after, err);
	*ret_each = (after - before) / idle->count;
	return rc;
}

static _Noreturn void child(const struct isolate_idle *idle, int fd)
{
	struct ramet_err err = {0};
	double each = 0;
	int rc = measure(idle, &each, &err);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", idle->label, err.msg);
	_exit(rc == 0 && write(fd, &each, sizeof(each)) == sizeof(each) ? 0 : 1);
}

int isolate_idle(const struct isolate_idle *idle, struct ramet_err *err)
{
	char name[64];
	int fds[2];
	int status = 0;
	double each = 0;
	if (pipe(fds) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	pid_t pid = fork();
	if (pid == 0)
		child(idle, fds[1]);
	close(fds[1]);
	ssize_t n = pid < 0 ? -1 : read(fds[0], &each, sizeof(each));
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0 || n != sizeof(each))
		return err_set(err, RAMET_ELOST, "%s: %u isolates could not be measured",
			idle->label, idle->count);
	snprintf(name, sizeof(name), "%s_idle_bytes", idle->label);
	report_row(&(struct report_row){
		.name = name, .unit = "B", .value = each, .p50 = each, .n = idle->count});
	return 0;
}
