/* bench/run fork: what forks cost here. */
#include "bench/cases.h"
#include "bench/fork.h"

#include "base/cleanup.h"

const char *fork_apps(void)
{
	return BENCH_APPS;
}

const char *fork_libs(void)
{
	return BENCH_LIBS;
}

static int on_a_node(int (*fn)(struct node *node, struct ramet_err *err), struct ramet_err *err)
{
	struct node node;
	int rc = node_open(&node, 0, err);
	if (rc == 0)
		rc = fn(&node, err);
	node_close(&node);
	return rc;
}

static int local(struct ramet_err *err)
{
	return on_a_node(fork_local, err);
}

static int capture(struct ramet_err *err)
{
	return on_a_node(fork_capture, err);
}

static int remote(struct ramet_err *err)
{
	return on_a_node(fork_remote, err);
}

static int sizes(struct ramet_err *err)
{
	return on_a_node(fork_sizes, err);
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {{.name = "rate", .fn = fork_rate, .pinned = true},
		{.name = "local", .fn = local}, {.name = "capture", .fn = capture},
		{.name = "remote", .fn = remote}, {.name = "sizes", .fn = sizes}};
	return cases_main("fork", cases, ARRAY_LEN(cases), argc, argv);
}
