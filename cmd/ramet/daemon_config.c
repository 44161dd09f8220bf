/* A node's configuration file, as `ramet up` writes it. */
#include "base/cleanup.h"
#include "cmd/ramet/daemon.h"

#include <sys/stat.h>

/* double-quoted YAML: the only special characters are these */
static void quoted(FILE *f, const char *key, const char *value)
{
	fprintf(f, "%s: \"", key);
	for (; *value; value++)
		fprintf(f, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
	fputs("\"\n", f);
}

static void write_config(FILE *f, const struct cluster *c, unsigned node)
{
	char path[CLUSTER_PATH_MAX], host[16];
	fprintf(f, "node: %u\nname: n%u-%s\n", node, node, c->tag);
	cluster_path(c, node, "", path);
	quoted(f, "dir", path);
	quoted(f, "hide", c->dir);
	cluster_path(c, node, "client.sock", path);
	quoted(f, "client_socket", path);
	cluster_host(c, node, host);
	fprintf(f, "listen: \"%s:%u\"\n", host, cluster_port(c, node, 0));
	fprintf(f, "data: \"%s:%u\"\n", host, cluster_port(c, node, 1));
	fprintf(f, "transport: %s\npager: auto\nlog_level: info\n", c->transport);
	if (c->nodes > 1)
		fprintf(f, "peers:\n");
	for (unsigned i = 1; i <= c->nodes; i++) {
		if (i == node)
			continue;
		cluster_host(c, i, host);
		fprintf(f, "  - node: %u\n    listen: \"%s:%u\"\n", i, host, cluster_port(c, i, 0));
	}
}

int daemon_configure(const struct cluster *cluster, unsigned node, struct ramet_err *err)
{
	char path[CLUSTER_PATH_MAX];
	cluster_path(cluster, node, "", path);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_errno(err, RAMET_EIO, "create %s", path);
	cluster_path(cluster, node, "config.yaml", path);
	auto_fclose FILE *f = fopen(path, "we");
	if (!f)
		return err_errno(err, RAMET_EIO, "create %s", path);
	write_config(f, cluster, node);
	if (fflush(f) != 0)
		return err_errno(err, RAMET_EIO, "write %s", path);
	return 0;
}
