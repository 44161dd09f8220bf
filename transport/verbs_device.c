/* Which RDMA devices there are, and what they can do: see verbs_device.h. */
#include "transport/verbs_device.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <stdio.h>
#include <string.h>

#define GIDS_MAX 256

static bool port_fits(struct ibv_context *context, unsigned port)
{
	struct ibv_port_attr attr;
	return ibv_query_port(context, (uint8_t)port, &attr) == 0 && attr.state == IBV_PORT_ACTIVE;
}

/* iWARP connects queue pairs otherwise; what remains is InfiniBand and RoCE */
static bool device_fits(struct ibv_context *context, const char *name)
{
	const struct ibv_device *device = context->device;
	return device->transport_type == IBV_TRANSPORT_IB &&
		(name[0] == '\0' || strcmp(device->name, name) == 0);
}

static int limits_of(struct verbs_device *device, struct ramet_err *err)
{
	struct ibv_device_attr attr;
	int error = ibv_query_device(device->context, &attr);
	if (error)
		return err_set(err, RAMET_EIO, "query RDMA device %s: %s",
			device->context->device->name, strerrordesc_np(error));
	device->limits = (struct verbs_limits){
		.max_send_wr = (unsigned)MAX(attr.max_qp_wr, 1),
		.max_reads = (unsigned)MIN(MAX(attr.max_qp_init_rd_atom, 1), 255),
		.max_peer_reads = (unsigned)MIN(MAX(attr.max_qp_rd_atom, 1), 255),
	};
	return 0;
}

/* the first port that options allow; false: none */
static bool find(struct ibv_context **contexts, const struct transport_options *options,
	struct verbs_device *ret)
{
	for (int i = 0; contexts[i]; i++) {
		struct ibv_device_attr attr;
		if (!device_fits(contexts[i], options->device) ||
			ibv_query_device(contexts[i], &attr))
			continue;
		for (unsigned port = 1; port <= attr.phys_port_cnt; port++) {
			if ((options->port && options->port != port) ||
				!port_fits(contexts[i], port))
				continue;
			*ret = (struct verbs_device){.context = contexts[i], .port = port};
			return true;
		}
	}
	return false;
}

int verbs_device_choose(const struct transport_options *options, struct verbs_device *ret_device,
	struct ramet_err *err)
{
	int count = 0;
	struct ibv_device **list = ibv_get_device_list(&count);
	if (list)
		ibv_free_device_list(list);
	if (count == 0)
		return err_set(err, RAMET_ENOTSUP,
			"no RDMA device (Soft-RoCE: rdma link add rxe0 type rxe netdev eth0)");
	struct ibv_context **contexts = rdma_get_devices(NULL);
	if (!contexts)
		return err_errno(err, RAMET_ENOTSUP, "RDMA devices (modprobe rdma_ucm ib_uverbs)");
	struct verbs_device device;
	bool found = find(contexts, options, &device);
	rdma_free_devices(contexts); /* the array; the contexts stay open */
	if (!found && options->device[0])
		return err_set(err, RAMET_ENOTSUP, "RDMA device %s has no active port%s",
			options->device, options->port ? " of that number" : "");
	if (!found)
		return err_set(err, RAMET_ENOTSUP,
			"no InfiniBand or RoCE port is active (ibv_devinfo tells)");
	int rc = limits_of(&device, err);
	if (rc < 0)
		return rc;
	*ret_device = device;
	return 0;
}

/* --- for people --- */

static unsigned mtu_bytes(enum ibv_mtu mtu)
{
	return mtu >= IBV_MTU_256 && mtu <= IBV_MTU_4096 ? 128u << mtu : 0;
}

/* counts the port's GIDs; the last is, on RoCE, the one of an address rather than of the link */
static void gids_of(struct ibv_context *context, struct verbs_port_info *info)
{
	struct ibv_gid_entry entries[GIDS_MAX];
	ssize_t count = ibv_query_gid_table(context, entries, GIDS_MAX, 0);
	for (ssize_t i = 0; i < count; i++) {
		if (entries[i].port_num != info->port)
			continue;
		info->gids++;
		inet_ntop(AF_INET6, entries[i].gid.raw, info->gid, sizeof(info->gid));
	}
}

static unsigned ports_of(struct ibv_context *context, struct verbs_port_info *ports, unsigned max)
{
	struct ibv_device_attr attr;
	if (ibv_query_device(context, &attr))
		return 0;
	unsigned count = 0;
	for (unsigned port = 1; port <= attr.phys_port_cnt && count < max; port++) {
		struct ibv_port_attr p;
		struct verbs_port_info *info = &ports[count];
		if (ibv_query_port(context, (uint8_t)port, &p))
			continue;
		*info = (struct verbs_port_info){
			.port = port,
			.active = p.state == IBV_PORT_ACTIVE,
			.ethernet = p.link_layer == IBV_LINK_LAYER_ETHERNET,
			.active_mtu = mtu_bytes(p.active_mtu),
			.max_mr_size = attr.max_mr_size,
			.max_mr = (unsigned)attr.max_mr,
			.max_qp = (unsigned)attr.max_qp,
			.max_cq = (unsigned)attr.max_cq,
			.max_reads = (unsigned)MIN(attr.max_qp_init_rd_atom, attr.max_qp_rd_atom),
		};
		snprintf(info->device, sizeof(info->device), "%s", context->device->name);
		gids_of(context, info);
		count++;
	}
	return count;
}

unsigned verbs_ports(struct verbs_port_info *ports, unsigned max)
{
	unsigned count = 0;
	struct ibv_device **list = ibv_get_device_list(NULL);
	for (unsigned i = 0; list && list[i] && count < max; i++) {
		struct ibv_context *context = ibv_open_device(list[i]);
		if (!context)
			continue;
		count += ports_of(context, ports + count, max - count);
		ibv_close_device(context);
	}
	if (list)
		ibv_free_device_list(list);
	return count;
}

bool verbs_built(void)
{
	return true;
}
