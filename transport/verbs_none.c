/* In a build without libibverbs and librdmacm: there are no devices. */
#include "transport/verbs_device.h"

unsigned verbs_ports(struct verbs_port_info *ports, unsigned max)
{
	return 0;
}

bool verbs_built(void)
{
	return false;
}
