/* CPU features by CPUID (elsewhere by the kernel's hwcap words). The bits' order is compared
 * between nodes: new ones go at the end of the table. Bits that differ between like machines
 * without changing which code may run (APIC numbers, microcode mitigations) are left out. */
#include "base/topo_cpu.h"
#include "base/cleanup.h"

#include <sys/auxv.h>

#ifdef __x86_64__
#include <cpuid.h>

enum reg { EAX, EBX, ECX, EDX };

struct feature {
	const char *name;
	uint32_t leaf, sub;
	enum reg reg;
	unsigned bit;
};

#define EXT 0x80000001u

static const struct feature features[] = {
	{"sse3", 1, 0, ECX, 0},
	{"pclmulqdq", 1, 0, ECX, 1},
	{"ssse3", 1, 0, ECX, 9},
	{"fma", 1, 0, ECX, 12},
	{"cx16", 1, 0, ECX, 13},
	{"sse4_1", 1, 0, ECX, 19},
	{"sse4_2", 1, 0, ECX, 20},
	{"movbe", 1, 0, ECX, 22},
	{"popcnt", 1, 0, ECX, 23},
	{"aes", 1, 0, ECX, 25},
	{"xsave", 1, 0, ECX, 26},
	{"osxsave", 1, 0, ECX, 27},
	{"avx", 1, 0, ECX, 28},
	{"f16c", 1, 0, ECX, 29},
	{"rdrand", 1, 0, ECX, 30},
	{"fsgsbase", 7, 0, EBX, 0},
	{"bmi1", 7, 0, EBX, 3},
	{"hle", 7, 0, EBX, 4},
	{"avx2", 7, 0, EBX, 5},
	{"bmi2", 7, 0, EBX, 8},
	{"erms", 7, 0, EBX, 9},
	{"rtm", 7, 0, EBX, 11},
	{"avx512f", 7, 0, EBX, 16},
	{"avx512dq", 7, 0, EBX, 17},
	{"rdseed", 7, 0, EBX, 18},
	{"adx", 7, 0, EBX, 19},
	{"avx512ifma", 7, 0, EBX, 21},
	{"clflushopt", 7, 0, EBX, 23},
	{"clwb", 7, 0, EBX, 24},
	{"avx512cd", 7, 0, EBX, 28},
	{"sha_ni", 7, 0, EBX, 29},
	{"avx512bw", 7, 0, EBX, 30},
	{"avx512vl", 7, 0, EBX, 31},
	{"avx512vbmi", 7, 0, ECX, 1},
	{"ospke", 7, 0, ECX, 4},
	{"waitpkg", 7, 0, ECX, 5},
	{"avx512_vbmi2", 7, 0, ECX, 6},
	{"shstk", 7, 0, ECX, 7},
	{"gfni", 7, 0, ECX, 8},
	{"vaes", 7, 0, ECX, 9},
	{"vpclmulqdq", 7, 0, ECX, 10},
	{"avx512_vnni", 7, 0, ECX, 11},
	{"avx512_bitalg", 7, 0, ECX, 12},
	{"avx512_vpopcntdq", 7, 0, ECX, 14},
	{"rdpid", 7, 0, ECX, 22},
	{"movdiri", 7, 0, ECX, 27},
	{"movdir64b", 7, 0, ECX, 28},
	{"fsrm", 7, 0, EDX, 4},
	{"avx512_vp2intersect", 7, 0, EDX, 8},
	{"ibt", 7, 0, EDX, 20},
	{"amx_bf16", 7, 0, EDX, 22},
	{"avx512_fp16", 7, 0, EDX, 23},
	{"amx_tile", 7, 0, EDX, 24},
	{"avx_vnni", 7, 1, EAX, 4},
	{"avx512_bf16", 7, 1, EAX, 5},
	{"avx_ifma", 7, 1, EAX, 23},
	{"xsaveopt", 0xd, 1, EAX, 0},
	{"xsavec", 0xd, 1, EAX, 1},
	{"xsaves", 0xd, 1, EAX, 3},
	{"lzcnt", EXT, 0, ECX, 5},
	{"sse4a", EXT, 0, ECX, 6},
	{"xop", EXT, 0, ECX, 11},
	{"fma4", EXT, 0, ECX, 16},
	{"rdtscp", EXT, 0, EDX, 27},
};

_Static_assert(ARRAY_LEN(features) <= 64, "one bit each");

static uint64_t read_xcr0(void)
{
	uint32_t low, high;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

void topo_cpu_probe(struct topo_cpu *ret_cpu)
{
	struct topo_cpu cpu = {0};
	uint32_t r[4] = {0};
	for (unsigned i = 0; i < ARRAY_LEN(features); i++) {
		const struct feature *f = &features[i];
		if (__get_cpuid_count(f->leaf, f->sub, &r[EAX], &r[EBX], &r[ECX], &r[EDX]) &&
			r[f->reg] >> f->bit & 1)
			cpu.features |= 1ull << i;
	}
	if (__get_cpuid(1, &r[EAX], &r[EBX], &r[ECX], &r[EDX]) && r[ECX] & bit_OSXSAVE) {
		cpu.state_mask = read_xcr0();
		if (__get_cpuid_count(0xd, 0, &r[EAX], &r[EBX], &r[ECX], &r[EDX]))
			cpu.state_bytes = r[EBX];
	}
	*ret_cpu = cpu;
}

const char *topo_cpu_feature(unsigned bit)
{
	return bit < ARRAY_LEN(features) ? features[bit].name : NULL;
}

#else

void topo_cpu_probe(struct topo_cpu *ret_cpu)
{
	*ret_cpu = (struct topo_cpu){
		.features = getauxval(AT_HWCAP), .state_mask = getauxval(AT_HWCAP2)};
}

const char *topo_cpu_feature(unsigned bit)
{
	(void)bit;
	return NULL;
}

#endif
