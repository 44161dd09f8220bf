/* The providers that the transport suite runs on, and what this machine has for them; see
 * transport_pair.h. */
#include "tests/conformance/transport_pair.h"

#include <arpa/inet.h>
#include <glob.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

const struct provider provider_mem = {
	.name = "mem",
	.addr = "mem:suite",
	.nobody = "mem:nobody",
};
const struct provider provider_tcp = {
	.name = "tcp",
	.addr = "127.0.0.1:0",
	.nobody = "127.0.0.1:1",
	.processes = true,
	.stream = true,
	.patience_ms = 10000,
};

/* of the first RDMA device's network interface */
static char verbs_addr[TRANSPORT_ADDR_MAX], verbs_nobody[TRANSPORT_ADDR_MAX];
const struct provider provider_verbs = {
	.name = "verbs",
	.addr = verbs_addr,
	.nobody = verbs_nobody,
	.processes = true,
	.device_serves = true,
	.patience_ms = 10000,
};

/* the interface behind an RDMA device; false: none */
static bool rdma_interface(char *name, size_t size)
{
	glob_t found = {0};
	bool ok = false;
	if (glob("/sys/class/infiniband/*/ports/1/gid_attrs/ndevs/0", 0, NULL, &found) == 0) {
		FILE *file = fopen(found.gl_pathv[0], "re");
		ok = file && fgets(name, (int)size, file) != NULL;
		if (file)
			fclose(file);
		name[strcspn(name, "\n")] = '\0';
	}
	globfree(&found);
	return ok;
}

static bool verbs_find(void)
{
	char name[64], host[INET_ADDRSTRLEN] = "";
	struct ifaddrs *all = NULL;
	if (!rdma_interface(name, sizeof(name)) || getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
		if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET ||
			strcmp(at->ifa_name, name) != 0)
			continue;
		const struct sockaddr_in *in = (const struct sockaddr_in *)(void *)at->ifa_addr;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
	}
	freeifaddrs(all);
	snprintf(verbs_addr, sizeof(verbs_addr), "%s:0", host);
	snprintf(verbs_nobody, sizeof(verbs_nobody), "%s:1", host);
	return host[0] != '\0';
}

/* librdmacm keeps the device open for the rest of the process: before descriptors are counted */
static void verbs_warm_up(void)
{
	struct loop *loop = NULL;
	struct transport *transport = NULL;
	struct ramet_err err = {0};
	if (loop_create(&loop, &err) == 0 &&
		transport_open("verbs", loop, NULL, &transport, &err) == 0)
		transport_close(transport);
	else
		printf("%s\n", err.msg);
	loop_destroy(loop);
}

bool provider_find(const struct provider *provider)
{
	if (provider != &provider_verbs)
		return true;
	if (verbs_find()) {
		verbs_warm_up();
		return true;
	}
	suite_skip("no RDMA device with an IPv4 address here");
	return false;
}

struct transport_options provider_options(const struct transport_options *options)
{
	struct transport_options o = options ? *options : (struct transport_options){0};
	if (o.peer_timeout_ms == 0)
		o.peer_timeout_ms = PROVIDER.patience_ms;
	if (o.handshake_ms == 0)
		o.handshake_ms = PROVIDER.patience_ms;
	return o;
}
