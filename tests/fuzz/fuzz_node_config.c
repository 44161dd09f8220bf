/* rametd's configuration. */
#include "tests/fuzz/fuzz.h"

#include "cluster/node_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct node_config config;
	char path[32];
	struct ramet_err err = {0};
	int fd = memfd_create("config", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int rc = node_config_load(path, &config, &err);
	if (rc == 0 && (config.node == 0 || config.npeers > NODE_MAX_PEERS))
		abort();
	if (rc < 0 && err.msg[0] == '\0')
		abort();
	close(fd);
	return 0;
}
