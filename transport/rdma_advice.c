/* RDMA devices, for people: see rdma_advice.h. */
#include "transport/rdma_advice.h"

#include "base/cleanup.h"
#include "transport/verbs_device.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define PORTS_MAX 8u
#define MTU_WANTED 4096

static bool may_lock_memory(char *text, size_t cap)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
		geteuid() == 0) {
		snprintf(text, cap, "unlimited");
		return true;
	}
	snprintf(text, cap, "%llu KiB", (unsigned long long)limit.rlim_cur >> 10);
	return false;
}

/* "rxe0/1: active, RoCE, MTU 1024, …" */
static size_t describe_port(const struct verbs_port_info *port, char *dst, size_t cap)
{
	int n = snprintf(dst, cap,
		"%s/%u: %s, %s, MTU %u, %u GIDs (%s), max_mr %u of %llu GiB, max_qp %u, "
		"max_rd_atomic %u; ",
		port->device, port->port, port->active ? "active" : "down",
		port->ethernet ? "RoCE" : "InfiniBand", port->active_mtu, port->gids, port->gid,
		port->max_mr, (unsigned long long)(port->max_mr_size >> 30), port->max_qp,
		port->max_reads);
	return MIN((size_t)MAX(n, 0), cap - 1);
}

void rdma_advise(struct rdma_advice *ret_advice)
{
	struct verbs_port_info ports[PORTS_MAX];
	struct rdma_advice advice = {.detail = "no RDMA device", .remedy = "", .cost = ""};
	char memlock[32];
	bool active = false, small = false;
	size_t at = 0;
	unsigned count = verbs_ports(ports, PORTS_MAX);
	for (unsigned i = 0; i < count; i++) {
		at += describe_port(&ports[i], advice.detail + at, sizeof(advice.detail) - at);
		active |= ports[i].active;
		small |= ports[i].active && ports[i].active_mtu < MTU_WANTED;
	}
	bool lockable = may_lock_memory(memlock, sizeof(memlock));
	advice.devices = count > 0;
	if (count > 0)
		snprintf(advice.detail + at, sizeof(advice.detail) - at, "memlock %s", memlock);
	if (count > 0 && !active) {
		advice.remedy = "bring a port up: rdma link show, ibv_devinfo";
		advice.cost = "pages travel over TCP";
	} else if (count > 0 && !lockable) {
		advice.remedy =
			"ulimit -l unlimited (systemd: LimitMEMLOCK=infinity), or CAP_IPC_LOCK";
		advice.cost = "seeds beyond the limit are read over TCP";
	} else if (small) {
		advice.remedy = "on RoCE, an interface MTU of 4200 or more gives 4096 "
				"(ip link set dev ETH mtu 9000)";
		advice.cost = "more packets, and more interrupts, for each page";
	}
	*ret_advice = advice;
}
