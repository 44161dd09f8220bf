/* Probing a node's hardware, and its class in words. */
#include "base/topo.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/topo_cpu.h"

#include <dirent.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifdef RAMET_HAVE_HWLOC
#include <hwloc.h>
#endif

#define CPUINFO_MAX (16u << 20)

/* --- cores, memory --- */

static unsigned count_cores(void)
{
	/* larger than cpu_set_t's 1024: the kernel refuses a mask that is too small for the machine
	 */
	for (int cpus = CPU_SETSIZE; cpus <= CPU_SETSIZE * 64; cpus *= 4) {
		cpu_set_t *set = CPU_ALLOC(cpus);
		if (!set)
			break;
		int n = 0;
		if (sched_getaffinity(0, CPU_ALLOC_SIZE(cpus), set) == 0)
			n = CPU_COUNT_S(CPU_ALLOC_SIZE(cpus), set);
		CPU_FREE(set);
		if (n > 0)
			return (unsigned)n;
	}
	return 1;
}

#ifdef RAMET_HAVE_HWLOC
/* 0 if it cannot say */
static unsigned hwloc_domains(void)
{
	hwloc_topology_t t;
	int count = 0;
	if (hwloc_topology_init(&t) < 0)
		return 0;
	if (hwloc_topology_set_io_types_filter(t, HWLOC_TYPE_FILTER_KEEP_NONE) == 0 &&
		hwloc_topology_load(t) == 0)
		count = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_NUMANODE);
	hwloc_topology_destroy(t);
	return (unsigned)MAX(count, 0);
}
#else
static unsigned hwloc_domains(void)
{
	return 0;
}
#endif

static unsigned sys_domains(void)
{
	unsigned count = 0;
	auto_closedir DIR *dir = opendir("/sys/devices/system/node");
	for (const struct dirent *e; dir && (e = readdir(dir));)
		count += strncmp(e->d_name, "node", 4) == 0 && e->d_name[4] >= '0' &&
			e->d_name[4] <= '9';
	return MAX(count, 1u);
}

/* not hwloc's sum over domains: that leaves out memory that was plugged in later */
static uint64_t count_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void read_cpu_model(char *dst, size_t cap)
{
	auto_free char *text = NULL;
	snprintf(dst, cap, "unknown");
	if (file_read("/proc/cpuinfo", CPUINFO_MAX, &text, NULL, NULL) < 0)
		return;
	const char *line = strstr(text, "model name");
	const char *colon = line ? strpbrk(line, ":\n") : NULL;
	if (!colon || *colon != ':')
		return;
	colon += 1 + strspn(colon + 1, " \t");
	snprintf(dst, cap, "%.*s", (int)MIN(strcspn(colon, "\n"), cap - 1), colon);
}

/* --- class --- */

/* A class's text, "6.1.0-13-amd64 build 3f2a91c0 cpu avx2,avx512f 00a1b2c3d4e5f607 state e7:2696
 * vdso 1a2b3c4d", holds what its id is a hash of: the kernel's version line and the build-id by
 * their own hashes. */
struct class
{
	char release[66];
	uint32_t build, vdso;
	struct topo_cpu cpu;
};

static const char *widest(uint64_t features)
{
	bool avx2 = false, avx512f = false;
	for (unsigned i = 0; i < 64; i++) {
		const char *name = features >> i & 1 ? topo_cpu_feature(i) : NULL;
		avx2 |= name && strcmp(name, "avx2") == 0;
		avx512f |= name && strcmp(name, "avx512f") == 0;
	}
	return avx512f ? "avx2,avx512f" : avx2 ? "avx2" : "base";
}

static void class_format(const struct class *class, char *dst, size_t cap)
{
	snprintf(dst, cap, "%.64s build %08x cpu %s %016llx state %llx:%u vdso %08x",
		class->release, class->build, widest(class->cpu.features),
		(unsigned long long)class->cpu.features, (unsigned long long)class->cpu.state_mask,
		class->cpu.state_bytes, class->vdso);
}

static bool class_parse(const char *text, struct class *ret)
{
	unsigned long long features, mask;
	struct class c = {0};
	if (sscanf(text, "%65s build %8x cpu %*40s %16llx state %16llx:%9u vdso %8x", c.release,
		    &c.build, &features, &mask, &c.cpu.state_bytes, &c.vdso) != 6)
		return false;
	c.cpu.features = features;
	c.cpu.state_mask = mask;
	*ret = c;
	return true;
}

static void class_probe(const struct utsname *name, struct class *ret)
{
	unsigned char id[TOPO_BUILD_ID_MAX];
	size_t len = topo_vdso_build_id(id);
	*ret = (struct class){.build = (uint32_t)hash64(name->version, strlen(name->version)),
		.vdso = (uint32_t)hash64(id, len)};
	snprintf(ret->release, sizeof(ret->release), "%s", name->release);
	for (char *c = ret->release; *c; c++)
		if (*c == ' ')
			*c = '_';
	topo_cpu_probe(&ret->cpu);
}

int topo_probe(struct topo *ret_topo, struct ramet_err *err)
{
	struct topo topo = {0};
	struct utsname name;
	struct class class;
	if (uname(&name) < 0)
		return err_errno(err, RAMET_EIO, "uname");
	topo.cores = count_cores();
	topo.numa = hwloc_domains();
	if (!topo.numa)
		topo.numa = sys_domains();
	topo.mem_bytes = count_memory();
	read_cpu_model(topo.cpu_model, sizeof(topo.cpu_model));
	snprintf(topo.kernel, sizeof(topo.kernel), "%.40s %.54s", name.release, name.version);
	class_probe(&name, &class);
	class_format(&class, topo.class_text, sizeof(topo.class_text));
	topo.class_id = MAX(hash64(topo.class_text, strlen(topo.class_text)), 1u);
	*ret_topo = topo;
	return 0;
}

/* --- difference --- */

struct words {
	char *dst;
	size_t cap, len;
};

static void say(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct words *w, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(w->dst + w->len, w->cap - w->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		w->len = MIN(w->len + (size_t)n, w->cap - 1);
}

static void say_features(struct words *w, const char *whose, uint64_t features)
{
	if (!features)
		return;
	say(w, "%sCPU features only %s:", w->len ? "; " : "", whose);
	for (unsigned i = 0; i < 64; i++) {
		const char *name = topo_cpu_feature(i);
		if (features >> i & 1 && name)
			say(w, " %s", name);
		else if (features >> i & 1)
			say(w, " #%u", i);
	}
}

void topo_class_diff(const struct topo *ours, const char *their_class_text, char *dst, size_t cap)
{
	struct class a, b;
	struct words w = {dst, cap, 0};
	if (cap == 0)
		return;
	dst[0] = '\0';
	if (!class_parse(ours->class_text, &a) || !class_parse(their_class_text, &b)) {
		say(&w, "class \"%s\" against \"%s\"", ours->class_text, their_class_text);
		return;
	}
	if (strcmp(a.release, b.release) != 0)
		say(&w, "kernel %s against %s", a.release, b.release);
	else if (a.build != b.build)
		say(&w, "kernel %s of another build", a.release);
	else if (a.vdso != b.vdso)
		say(&w, "vdso %08x against %08x", a.vdso, b.vdso);
	say_features(&w, "here", a.cpu.features & ~b.cpu.features);
	say_features(&w, "there", b.cpu.features & ~a.cpu.features);
	if (a.cpu.state_mask != b.cpu.state_mask || a.cpu.state_bytes != b.cpu.state_bytes)
		say(&w, "%sCPU state of %u bytes (%llx) against %u (%llx)", w.len ? "; " : "",
			a.cpu.state_bytes, (unsigned long long)a.cpu.state_mask, b.cpu.state_bytes,
			(unsigned long long)b.cpu.state_mask);
	if (!w.len)
		say(&w, "no difference");
}
