/* What a redeploy of one changed function stores and takes, against a seed without a base:
 * apps/redeploy.py. */
#include "bench/invoke.h"

#include "base/cleanup.h"

int invoke_redeploy(struct ramet_err *err)
{
	static const struct invoke_row rows[] = {
		{"redeploy_bytes", "pages", "layered_pages", "the whole seed", "whole_pages"},
		{"redeploy_time", "us", "layered_deploy", "a cold deploy of the same",
			"whole_deploy"},
		{"fork_layered", "us", "layered_fork", "a fork of a whole seed", "whole_fork"},
	};
	return invoke_script("redeploy.py", "", rows, ARRAY_LEN(rows), err);
}
