/* Network namespaces for the nodes of `ramet up`, made with iproute2. */
#include "cmd/ramet/netns.h"

#include "base/cleanup.h"
#include "base/wire.h"
#include "cmd/ramet/program.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>

#define NETNS_DIR "/run/netns"

void netns_name(const struct cluster *cluster, unsigned node, char dst[32])
{
	if (node)
		snprintf(dst, 32, "ramet-%s-n%u", cluster->tag, node);
	else
		snprintf(dst, 32, "ramet-%s-sw", cluster->tag);
}

static void PRINTF_LIKE(2, 3) line(struct buf *b, const char *fmt, ...)
{
	char text[160];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_append(b, text, (size_t)n);
}

/* runs the lines collected as one batch of ip, inside a namespace or, NULL, here */
static int batch(struct buf *b, const char *ns, struct ramet_err *err)
{
	const char *here[] = {"ip", "-batch", "-", NULL};
	const char *inside[] = {"ip", "-n", ns, "-batch", "-", NULL};
	buf_append(b, "", 1);
	if (b->oom)
		return err_nomem(err);
	int rc = program_run(ns ? inside : here, (const char *)b->data, err);
	buf_reset(b);
	if (rc == RAMET_ENOTSUP)
		return err_set(err, rc,
			"network namespaces need the program \"ip\" (package iproute2), or use "
			"--rootless");
	return rc;
}

static void bridge_lines(const struct cluster *cluster, struct buf *b)
{
	line(b, "link set lo up\n");
	line(b, "link add br0 type bridge\nlink set br0 up\n");
	for (unsigned i = 1; i <= cluster->nodes; i++) {
		char ns[32];
		netns_name(cluster, i, ns);
		line(b, "link add n%u type veth peer name eth0 netns %s\n", i, ns);
		line(b, "link set n%u master br0 up\n", i);
	}
}

static int setup(const struct cluster *cluster, struct buf *b, struct ramet_err *err)
{
	char ns[32], host[16];
	for (unsigned i = 0; i <= cluster->nodes; i++) {
		netns_name(cluster, i, ns);
		line(b, "netns add %s\n", ns);
	}
	int rc = batch(b, NULL, err);
	if (rc < 0)
		return rc;
	bridge_lines(cluster, b);
	netns_name(cluster, 0, ns);
	rc = batch(b, ns, err);
	for (unsigned i = 1; rc == 0 && i <= cluster->nodes; i++) {
		netns_name(cluster, i, ns);
		cluster_host(cluster, i, host);
		line(b, "link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\n", host);
		rc = batch(b, ns, err);
	}
	return rc;
}

int netns_create(const struct cluster *cluster, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	int rc = setup(cluster, &b, err);
	return rc < 0 ? err_prefix(err, "network of the nodes") : 0;
}

int netns_remove(const struct cluster *cluster, struct ramet_err *err)
{
	char prefix[32];
	snprintf(prefix, sizeof(prefix), "ramet-%s-", cluster->tag);
	auto_closedir DIR *dir = opendir(NETNS_DIR);
	CLEANUP(buf_fini) struct buf b = {0};
	if (!dir)
		return 0; /* no namespace was ever made */
	bool any = false;
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		line(&b, "netns del %s\n", e->d_name);
		any = true;
	}
	return any ? batch(&b, NULL, err) : 0;
}

int netns_enter(const struct cluster *cluster, unsigned node, struct ramet_err *err)
{
	char name[32], path[64];
	netns_name(cluster, node, name);
	snprintf(path, sizeof(path), NETNS_DIR "/%s", name);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	if (setns(fd, CLONE_NEWNET) < 0)
		return err_errno(err, RAMET_EIO, "enter network namespace %s", name);
	return 0;
}
