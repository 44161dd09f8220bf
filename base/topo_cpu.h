/* What of a CPU and kernel a running process depends on, in a form that can be compared, hashed and
 * told. */
#ifndef BASE_TOPO_CPU_H
#define BASE_TOPO_CPU_H

#include <stddef.h>
#include <stdint.h>

struct topo_cpu {
	uint64_t features; /* bit i: topo_cpu_feature(i); what libraries choose code paths by */
	uint64_t state_mask; /* parts of the register state that the kernel saves (x86: XCR0) */
	uint32_t state_bytes; /* size of that state in a signal frame */
};

void topo_cpu_probe(struct topo_cpu *ret_cpu);
const char *topo_cpu_feature(unsigned bit); /* its name in /proc/cpuinfo, or NULL */

#define TOPO_BUILD_ID_MAX 32

/* the build-id of the vdso this process has; 0 bytes if it has none */
size_t topo_vdso_build_id(unsigned char dst[TOPO_BUILD_ID_MAX]);
/* the same of an ELF image in memory, whose program headers and notes must lie within len bytes */
size_t topo_elf_build_id(const void *image, size_t len, unsigned char dst[TOPO_BUILD_ID_MAX]);

#endif
