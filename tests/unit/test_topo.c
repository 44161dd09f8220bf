/* base/topo: the node this runs on, and classes told apart. */
#include "base/cleanup.h"
#include "base/topo.h"
#include "base/topo_cpu.h"
#include "tests/lib/suite.h"

#include <elf.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void test_probe(void)
{
	struct topo topo = {0}, again = {0};
	struct ramet_err err = {0};
	struct utsname name;
	REQUIRE_OK(topo_probe(&topo, &err), &err);
	REQUIRE(uname(&name) == 0);
	CHECK(topo.cores >= 1 && topo.cores <= (unsigned)sysconf(_SC_NPROCESSORS_CONF));
	CHECK(topo.numa >= 1);
	CHECK(topo.mem_bytes > 16u << 20);
	CHECK(topo.cpu_model[0]);
	CHECK(strncmp(topo.kernel, name.release, strlen(name.release)) == 0);
	CHECK(strncmp(topo.class_text, name.release, strlen(name.release)) == 0);
	REQUIRE_OK(topo_probe(&again, &err), &err);
	CHECK(topo.class_id == again.class_id && topo.class_id != 0);
	CHECK_STR(again.class_text, topo.class_text);
}

static void test_cores_are_those_of_the_affinity_mask(void)
{
	cpu_set_t old, one;
	struct topo topo;
	REQUIRE(sched_getaffinity(0, sizeof(old), &old) == 0);
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
		if (CPU_ISSET(cpu, &old))
			CPU_SET(cpu, &one);
	REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK_INT(topo_probe(&topo, NULL), 0);
	CHECK_INT(topo.cores, 1);
	sched_setaffinity(0, sizeof(old), &old);
}

#define OURS "6.1.0-13 build 00000001 cpu avx2 0000000000000fff state e7:2696 vdso 0000000a"

static const char *diff(const char *theirs)
{
	static char text[512];
	struct topo ours = {.class_text = OURS};
	topo_class_diff(&ours, theirs, text, sizeof(text));
	return text;
}

static void test_differences_in_words(void)
{
	CHECK_STR(diff(OURS), "no difference");
	CHECK_STR(diff("6.1.0-18 build 00000002 cpu avx2 0000000000000fff state e7:2696 vdso "
		       "0000000b"),
		"kernel 6.1.0-13 against 6.1.0-18");
	CHECK_STR(diff("6.1.0-13 build 00000002 cpu avx2 0000000000000fff state e7:2696 vdso "
		       "0000000a"),
		"kernel 6.1.0-13 of another build");
	CHECK_STR(diff("6.1.0-13 build 00000001 cpu avx2 0000000000000fff state e7:2696 vdso "
		       "0000000b"),
		"vdso 0000000a against 0000000b");
#ifdef __x86_64__
	CHECK_STR(
		diff("6.1.0-13 build 00000001 cpu base 00000000000017fe state 7:832 vdso 0000000a"),
		"CPU features only here: sse3 osxsave; CPU features only there: avx; "
		"CPU state of 2696 bytes (e7) against 832 (7)");
#endif
}

static void test_a_peers_text_may_be_anything(void)
{
	static const char longer[] = OURS " more";
	static const char *const texts[] = {"", "x", "%s%n", "6.1 build zz", longer, "\xff\xfe"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		CHECK(diff(texts[i])[0] != '\0');
	char tiny[8];
	struct topo ours = {.class_text = OURS};
	topo_class_diff(&ours, "x", tiny, sizeof(tiny));
	CHECK_STR(tiny, "class \"");
	topo_class_diff(&ours, "x", tiny, 0);
}

struct image {
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	Elf64_Nhdr other;
	char other_name[8];
	Elf64_Nhdr note;
	char name[4];
	unsigned char id[20];
};

static struct image sample_image(void)
{
	struct image image = {0};
	memcpy(image.header.e_ident, ELFMAG, SELFMAG);
	image.header.e_ident[EI_CLASS] = ELFCLASS64;
	image.header.e_phoff = offsetof(struct image, segment);
	image.header.e_phentsize = sizeof(Elf64_Phdr);
	image.header.e_phnum = 1;
	image.segment.p_type = PT_NOTE;
	image.segment.p_offset = offsetof(struct image, other);
	image.segment.p_filesz = sizeof(image) - offsetof(struct image, other);
	image.other = (Elf64_Nhdr){.n_namesz = 6, .n_descsz = 0, .n_type = 0};
	memcpy(image.other_name, "Linux", 6);
	image.note = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 20, .n_type = NT_GNU_BUILD_ID};
	memcpy(image.name, "GNU", 4);
	memset(image.id, 0xab, sizeof(image.id));
	return image;
}

static void test_build_id(void)
{
	unsigned char id[TOPO_BUILD_ID_MAX] = {0};
	struct image image = sample_image();
	CHECK_INT(topo_elf_build_id(&image, sizeof(image), id), 20);
	CHECK_INT(id[19], 0xab);
	size_t n = topo_vdso_build_id(id);
	CHECK(n == 0 || n >= 8);
}

static void test_broken_images_have_no_build_id(void)
{
	unsigned char id[TOPO_BUILD_ID_MAX];
	for (size_t len = 0; len < sizeof(struct image); len++) {
		struct image whole = sample_image();
		auto_free unsigned char *exact = malloc(len ? len : 1);
		REQUIRE(exact != NULL);
		memcpy(exact, &whole, len);
		CHECK_INT(topo_elf_build_id(exact, len, id), 0);
	}
	unsigned x = 3;
	for (unsigned round = 0; round < 5000; round++) {
		struct image image = sample_image();
		const size_t len = sizeof(image);
		auto_free unsigned char *exact = malloc(len);
		REQUIRE(exact != NULL);
		memcpy(exact, &image, len);
		x = x * 1103515245 + 12345;
		exact[(x >> 8) % len] = (unsigned char)(x >> 24);
		CHECK(topo_elf_build_id(exact, len, id) <= TOPO_BUILD_ID_MAX);
	}
}

SUITE_MAIN("topo", TEST(test_probe), TEST(test_cores_are_those_of_the_affinity_mask),
	TEST(test_differences_in_words), TEST(test_a_peers_text_may_be_anything),
	TEST(test_build_id), TEST(test_broken_images_have_no_build_id))
