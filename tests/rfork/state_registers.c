/* Cases: the registers of a thread that runs when it is captured, as wide as this processor has
 * them. (Of the capturing thread only what a call preserves counts: "floating-point modes".) */
#include "tests/rfork/state.h"
#include "tests/rfork/state_workers.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

/* different in each byte, and in each register */
static void fill(void *registers, size_t len)
{
	unsigned char *bytes = registers;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (unsigned char)(i * 7 + i / 64 + 1);
}

/* until told, with registers loaded; then what they hold is stored */
static int start_spinning(struct worker *worker, void *(*spin)(void *arg))
{
	return worker_start(worker, spin, NULL) < 0 ? STATE_BROKEN : worker_await(worker);
}

static const char *end_spinning(struct worker *worker)
{
	atomic_store(&worker->stop, 1);
	return worker_join(worker, NULL);
}

/* --- AVX, SSE's control word, x87 --- */

#define MXCSR 0x7f80 /* rounds towards zero */
#define MXCSR_STATUS 0x3f

static struct worker avx;
static uint64_t ymm[5][4], ymm_after[5][4];
static double x87_after[2];
static uint32_t mxcsr_after;

__attribute__((target("avx"))) static void *spin_avx(void *arg)
{
	const uint32_t mxcsr = MXCSR;
	__asm__ volatile(
		"ldmxcsr %4\n\t"
		"vmovdqu 0(%1), %%ymm0\n\tvmovdqu 32(%1), %%ymm1\n\tvmovdqu 64(%1), %%ymm7\n\t"
		"vmovdqu 96(%1), %%ymm8\n\tvmovdqu 128(%1), %%ymm15\n\t"
		"fldpi\n\tfld1\n\t"
		"movl $1, %5\n"
		"1:\tcmpl $0, %0\n\tje 1b\n\t"
		"fstpl 0(%3)\n\tfstpl 8(%3)\n\t"
		"vmovdqu %%ymm0, 0(%2)\n\tvmovdqu %%ymm1, 32(%2)\n\tvmovdqu %%ymm7, 64(%2)\n\t"
		"vmovdqu %%ymm8, 96(%2)\n\tvmovdqu %%ymm15, 128(%2)\n\t"
		"stmxcsr %6\n\tvzeroupper"
		:
		: "m"(avx.stop), "r"(ymm), "r"(ymm_after), "r"(x87_after), "m"(mxcsr),
		"m"(avx.count), "m"(mxcsr_after)
		: "memory", "xmm0", "xmm1", "xmm7", "xmm8", "xmm15", "st", "st(1)");
	return arg;
}

static int avx_setup(void)
{
	if (!__builtin_cpu_supports("avx"))
		return STATE_NOT_HERE;
	fill(ymm, sizeof(ymm));
	return start_spinning(&avx, spin_avx);
}

static const char *avx_check(void)
{
	const char *wrong = end_spinning(&avx);
	if (wrong)
		return wrong;
	for (unsigned i = 0; i < 5; i++) {
		STATE_EXPECT(memcmp(ymm[i], ymm_after[i], 16) == 0);
		STATE_EXPECT(memcmp(&ymm[i][2], &ymm_after[i][2], 16) == 0); /* upper halves */
	}
	STATE_EXPECT(x87_after[0] == 1.0 && x87_after[1] > 3.1415 && x87_after[1] < 3.1416);
	STATE_EXPECT_INT(mxcsr_after & ~MXCSR_STATUS, MXCSR);
	return NULL;
}

/* --- AVX-512: wider registers, more of them, and masks --- */

static struct worker avx512;
static uint64_t zmm[5][8], zmm_after[5][8];
static uint16_t masks[7], masks_after[7];

__attribute__((target("avx512f"))) static void *spin_avx512(void *arg)
{
	__asm__ volatile("vmovdqu64 0(%1), %%zmm0\n\tvmovdqu64 64(%1), %%zmm7\n\t"
			 "vmovdqu64 128(%1), %%zmm15\n\tvmovdqu64 192(%1), %%zmm16\n\t"
			 "vmovdqu64 256(%1), %%zmm31\n\t"
			 "kmovw 0(%3), %%k1\n\tkmovw 2(%3), %%k2\n\tkmovw 4(%3), %%k3\n\t"
			 "kmovw 6(%3), %%k4\n\tkmovw 8(%3), %%k5\n\tkmovw 10(%3), %%k6\n\t"
			 "kmovw 12(%3), %%k7\n\t"
			 "movl $1, %5\n"
			 "1:\tcmpl $0, %0\n\tje 1b\n\t"
			 "vmovdqu64 %%zmm0, 0(%2)\n\tvmovdqu64 %%zmm7, 64(%2)\n\t"
			 "vmovdqu64 %%zmm15, 128(%2)\n\tvmovdqu64 %%zmm16, 192(%2)\n\t"
			 "vmovdqu64 %%zmm31, 256(%2)\n\t"
			 "kmovw %%k1, 0(%4)\n\tkmovw %%k2, 2(%4)\n\tkmovw %%k3, 4(%4)\n\t"
			 "kmovw %%k4, 6(%4)\n\tkmovw %%k5, 8(%4)\n\tkmovw %%k6, 10(%4)\n\t"
			 "kmovw %%k7, 12(%4)\n\t"
			 "vzeroupper"
			 :
			 : "m"(avx512.stop), "r"(zmm), "r"(zmm_after), "r"(masks), "r"(masks_after),
			 "m"(avx512.count)
			 : "memory", "xmm0", "xmm7", "xmm15", "xmm16", "xmm31", "k1", "k2", "k3",
			 "k4", "k5", "k6", "k7");
	return arg;
}

static int avx512_setup(void)
{
	if (!__builtin_cpu_supports("avx512f"))
		return STATE_NOT_HERE;
	fill(zmm, sizeof(zmm));
	fill(masks, sizeof(masks));
	return start_spinning(&avx512, spin_avx512);
}

static const char *avx512_check(void)
{
	const char *wrong = end_spinning(&avx512);
	if (wrong)
		return wrong;
	for (unsigned i = 0; i < 5; i++) {
		STATE_EXPECT(memcmp(zmm[i], zmm_after[i], 32) == 0);
		STATE_EXPECT(memcmp(&zmm[i][4], &zmm_after[i][4], 32) == 0);
	}
	STATE_EXPECT(memcmp(masks, masks_after, sizeof(masks)) == 0);
	return NULL;
}

const struct state_case state_registers[] = {
	{.name = "a thread spins with AVX and x87 registers",
		.setup = avx_setup,
		.check_child = avx_check,
		.check_parent = avx_check,
		.fault = "threads.vectors",
		.flags = STATE_BUSY},
	{.name = "a thread spins with AVX-512 registers",
		.setup = avx512_setup,
		.check_child = avx512_check,
		.check_parent = avx512_check,
		.fault = "threads.vectors",
		.flags = STATE_BUSY},
	{.name = NULL},
};
