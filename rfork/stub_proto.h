/* What ramet-spawn and a template stub say to each other: fixed structs with descriptors over a
 * seqpacket socketpair. Both are built together and trust each other; sizes are checked all the
 * same. Freestanding: the stub has no libc.
 *
 * BUILD carries the descriptor, the image, that of the base and the namespace process (or none);
 * FILES messages carry the mapped files in order; the seccomp program is a memfd. Answer to the
 * last: BUILT, with the template's userfaultfd if asked for. CLONE carries exactly: log, log,
 * control, the pidfd of the sandbox (if any), that of the next (if any), in the order that makes
 * the first three descriptors 1, 2 and 3 of the child without a dup: the stub keeps these free.
 * Answer: CLONED. After it the stub gets ready for the next sandbox, which a later CLONE may then
 * use without naming it. */
#ifndef RFORK_STUB_PROTO_H
#define RFORK_STUB_PROTO_H

#include <stdint.h>

#define STUB_SOCKET_FD \
	63 /* the highest that keeps the stub's descriptor table small: every clone copies the \
	      table */
#define STUB_CONTROL_FD 3
#define STUB_RULES_FD 60 /* what clones give up by Landlock: they, for who has may not join a sandbox */
#define STUB_HOME_FD 61 /* the mount namespace it started in, to return to from a used sandbox */
#define STUB_FILES_PER_MSG 64
#define STUB_MAX_POPULATE 64
#define STUB_OVERWRITE_PAGES 16 /* own pages in a row that are written over those of the base */

enum stub_op { STUB_BUILD = 1, STUB_FILES, STUB_CLONE, STUB_READY, STUB_BUILT, STUB_CLONED };

enum stub_build_flag {
	STUB_UFFD = 1,
	STUB_RECORD = 2,
	STUB_SECCOMP = 4,
	STUB_JOIN = 8, /* a pidfd whose network, IPC and UTS namespaces to join */
	STUB_GROUP = 16, /* gid is the only group from now on */
	STUB_BASE = 32, /* the third descriptor is the image of its base */
	STUB_LANDLOCK = 64, /* clones give up what rfork/landlock.h says, where the kernel has it */
};

struct stub_build {
	uint32_t op;
	uint32_t flags;
	uint32_t nfiles;
	uint32_t seccomp_len;
	uint32_t gid;
	uint32_t reserved;
	uint64_t desc_len;
	int64_t mono_offset_ns, boot_offset_ns;
};

struct stub_files {
	uint32_t op;
	uint32_t count;
};

enum stub_clone_flag {
	STUB_SANDBOX = 1, /* into this sandbox */
	STUB_DROP = 2,
	STUB_PREPARED = 4, /* into the sandbox that was `next` in the last CLONE */
	STUB_NEXT = 8, /* one to get ready for, whatever becomes of this clone */
};

struct stub_clone {
	uint32_t op;
	uint32_t flags;
	uint32_t uid;
	uint32_t npopulate;
	uint64_t populate[STUB_MAX_POPULATE][2]; /* only npopulate of them are sent */
};

/* Every answer. step names what failed (enum stub_step), arg its subject: a piece's index, an
 * address, a descriptor. */
struct stub_reply {
	uint32_t op;
	int32_t error; /* negative errno, or 0 */
	uint32_t step;
	int32_t pid;
	uint64_t arg;
};

#define STUB_STEPS(X) \
	X(NONE, "nothing") \
	X(PROTOCOL, "understand the request") \
	X(MAP_DESCRIPTOR, "map the descriptor") \
	X(FILES, "take the mapped files") \
	X(UNMAP, "clear the address space") \
	X(MAP_PIECE, "map piece") \
	X(VDSO, "place the vdso at") \
	X(MM, "set the memory layout (PR_SET_MM_MAP)") \
	X(TIMENS, "set up the time namespace") \
	X(NAMESPACES, "join the tenant's namespaces") \
	X(GROUP, "become of the tenant's group") \
	X(SIGNALS, "install signal action") \
	X(THREAD, "set the thread's segment bases") \
	X(UFFD, "open userfaultfd") \
	X(UFFD_REGISTER, "register userfaultfd at") \
	X(LANDLOCK, "make the rules of Landlock") \
	X(SECCOMP, "load the system-call filter") \
	X(SANDBOX, "join the sandbox") \
	X(DIRECTORY, "enter the working directory of the captured process") \
	X(CLONE, "clone")
enum stub_step {
#define STUB_STEP_ENUM(name, text) STUB_STEP_##name,
	STUB_STEPS(STUB_STEP_ENUM)
#undef STUB_STEP_ENUM
};

#endif
