/* Landlock (Linux 5.13; security/landlock): what processes of isolates give up besides system
 * calls. They may read files, and nothing else: neither write, make nor remove one, whatever its
 * mode says, nor reach TCP ports, abstract Unix sockets or processes outside. Descriptors that are
 * open stay what they are. Header only: the stub has no library. */
#ifndef RFORK_LANDLOCK_H
#define RFORK_LANDLOCK_H

#include <stddef.h>
#include <stdint.h>

#define LANDLOCK_NR_CREATE 444
#define LANDLOCK_NR_RESTRICT 446
#define LANDLOCK_ASK_VERSION 1

/* as the kernel has it; of each version a longer beginning */
struct landlock_attr {
	uint64_t fs, net, scoped;
};

/* landlock_attr - all that a kernel of that version (≥ 1) can refuse but for reading, and, where
 * programs are to be run yet, execution; no path is excepted. Returns the bytes to give it. */
static inline size_t landlock_attr(long version, int runs, struct landlock_attr *ret)
{
	const uint64_t execute = 1u << 0, read_file = 1u << 2, read_dir = 1u << 3;
	unsigned rights = version >= 5 ? 16 /* ioctl */
		: version >= 3	       ? 15 /* truncate */
		: version == 2	       ? 14 /* refer */
				       : 13;
	ret->fs = ((UINT64_C(1) << rights) - 1) & ~(read_file | read_dir | (runs ? execute : 0));
	ret->net = version >= 4 ? 3 : 0; /* bind, connect */
	ret->scoped = version >= 6 ? 3 : 0; /* abstract sockets, signals */
	return version >= 6 ? sizeof(*ret) : version >= 4 ? 16 : 8;
}

#endif
