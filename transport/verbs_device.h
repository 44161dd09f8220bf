/* RDMA devices: which there are, what they can do, and which one a transport uses. Also for
 * `ramet doctor`; needs no libibverbs to be included, and finds nothing in a build without it. */
#ifndef TRANSPORT_VERBS_DEVICE_H
#define TRANSPORT_VERBS_DEVICE_H

#include "transport/transport.h"

#include <stdbool.h>
#include <stdint.h>

struct ibv_context;

struct verbs_limits {
	unsigned max_send_wr;
	unsigned max_reads; /* of ours in flight on a queue pair */
	unsigned max_peer_reads; /* of the peer's */
};

/* the device and port that a transport uses; the context is librdmacm's, which keeps one open for
 * all users in the process */
struct verbs_device {
	struct ibv_context *context;
	unsigned port;
	struct verbs_limits limits;
};
/* options name it, or the first with an active port is taken; RAMET_ENOTSUP says what is missing */
int verbs_device_choose(const struct transport_options *options, struct verbs_device *ret_device,
	struct ramet_err *err);

/* A port, for people. */
struct verbs_port_info {
	uint64_t max_mr_size;
	unsigned port;
	unsigned active_mtu; /* bytes */
	unsigned max_mr, max_qp, max_cq, max_reads;
	unsigned gids; /* that are set */
	char device[TRANSPORT_DEVICE_MAX];
	char gid[48]; /* one of them, that addresses on this port would use */
	bool active, ethernet;
};
/* verbs_ports - fills in up to max; how many there are, 0 without devices */
unsigned verbs_ports(struct verbs_port_info *ports, unsigned max);
bool verbs_built(void); /* into this program */

#endif
