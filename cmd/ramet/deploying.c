/* What `deploy` and `run` share. */
#include "cmd/ramet/deploying.h"

#include "base/err.h"
#include "base/parse.h"
#include "cmd/ramet/client.h"

#include <stdio.h>
#include <string.h>

static int check_fresh(const char *fresh, struct ramet_err *err)
{
	if (!fresh || strcmp(fresh, "reuse") == 0 || strcmp(fresh, "reset") == 0 ||
		strcmp(fresh, "fresh") == 0)
		return 0;
	return err_set(err, RAMET_EINVAL, "--fresh is reuse, reset or fresh, not \"%s\"", fresh);
}

int deploying_options(struct deploying *d, struct ramet_err *err)
{
	d->options.env = d->env.v;
	d->options.node = (uint32_t)d->node;
	d->options.deadline_ms = (uint32_t)d->deadline_ms;
	d->options.idempotent = d->idempotent;
	int rc = check_fresh(d->options.fresh, err);
	if (rc == 0 && d->mem && parse_bytes(d->mem, &d->options.mem) < 0)
		rc = err_set(
			err, RAMET_EINVAL, "--mem takes a size as in 512M, not \"%s\"", d->mem);
	return rc;
}

static void on_progress(void *user, const char *stage, const char *text, double fraction)
{
	char line[160];
	if (strcmp(stage, "first-call") == 0) {
		client_progress_end();
		fprintf(stderr, "%s\n", text);
		return;
	}
	snprintf(line, sizeof(line), "%s: %s %3.0f%%", stage, text, fraction * 100);
	client_progress(line);
}

int deploying_run(struct ramet *ramet, const char *path, struct deploying *d,
	struct ramet_result **ret_result, struct ramet_err *err)
{
	d->options.progress = on_progress;
	client_progress("reading files");
	int rc = ramet_deploy(ramet, path, &d->options, ret_result, err);
	client_progress_end();
	return rc;
}
