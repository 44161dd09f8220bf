/* Finding cgroups: machines with version 1, 2, both, and containers, from files as the kernel
 * writes them. */
#include "runtime/spawn/cgroup_find.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[64];
static struct cgroup_place place;

static void put(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", base, name);
	FILE *f = fopen(path, "we");
	REQUIRE(f != NULL);
	fputs(text, f);
	fclose(f);
}

static void make(const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", base, name);
	REQUIRE(mkdir(path, 0755) == 0);
}

static void begin(void)
{
	snprintf(base, sizeof(base), "/tmp/ramet-test-cgroup-XXXXXX");
	REQUIRE(mkdtemp(base) != NULL);
}

/* mounts: each "root point type super"; points are below base */
static void find(const char *cgroup, const char *const (*mounts)[4], unsigned count)
{
	char text[4096] = "22 1 0:21 / /proc rw - proc proc rw\n", cgroups[256], info[256];
	for (unsigned i = 0; i < count; i++) {
		size_t len = strlen(text);
		snprintf(text + len, sizeof(text) - len,
			"%u 22 0:%u %s %s%s rw,nosuid shared:%u - %s cgroup rw,%s\n", i + 30,
			i + 30, mounts[i][0], base, mounts[i][1], i, mounts[i][2], mounts[i][3]);
	}
	put("mountinfo", text);
	put("cgroup", cgroup);
	snprintf(cgroups, sizeof(cgroups), "%s/cgroup", base);
	snprintf(info, sizeof(info), "%s/mountinfo", base);
	cgroup_find(cgroups, info, &place);
}

static void end(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -r %s", base);
	CHECK_INT(system(command), 0);
}

static void check_dir(enum cgroup_controller controller, const char *expected)
{
	const char *dir = place.dirs[controller];
	size_t len = strlen(base);
	CHECK_STR(strncmp(dir, base, len) == 0 ? dir + len : dir, expected);
}

static void test_v1_mounted_apart_and_together(void)
{
	static const char *const mounts[][4] = {{"/", "/cpu,cpuacct", "cgroup", "cpu,cpuacct"},
		{"/", "/memory", "cgroup", "memory"}, {"/", "/pids", "cgroup", "pids"}};
	begin();
	make("memory"), make("memory/us"), make("pids"), make("cpu,cpuacct");
	find("9:pids:/\n4:memory:/us\n1:cpu,cpuacct:/\n0::/\n", mounts, 3);
	CHECK_INT(place.version, 1);
	check_dir(CGROUP_MEMORY, "/memory/us");
	check_dir(CGROUP_PIDS, "/pids");
	check_dir(CGROUP_CPU, "/cpu,cpuacct");
	CHECK_STR(place.missing, "");
	end();
}

static void test_v2(void)
{
	static const char *const mounts[][4] = {{"/", "/fs", "cgroup2", "nsdelegate"}};
	begin();
	make("fs"), make("fs/user"), make("fs/user/us");
	put("fs/user/us/cgroup.controllers", "memory pids\n");
	find("0::/user/us\n", mounts, 1);
	CHECK_INT(place.version, 2);
	check_dir(CGROUP_MEMORY, "/fs/user/us");
	check_dir(CGROUP_PIDS, "/fs/user/us");
	check_dir(CGROUP_CPU, "");
	CHECK(strstr(place.missing, "cpu") != NULL);
	end();
}

static void test_v2_beside_v1_without_controllers(void)
{
	static const char *const mounts[][4] = {{"/", "/memory", "cgroup", "memory"},
		{"/", "/pids", "cgroup", "pids"}, {"/", "/unified", "cgroup2", "x"}};
	begin();
	make("memory"), make("pids"), make("unified");
	put("unified/cgroup.controllers", "\n");
	find("9:pids:/\n4:memory:/\n0::/\n", mounts, 3);
	CHECK_INT(place.version, 1);
	check_dir(CGROUP_MEMORY, "/memory");
	end();
}

static void test_container_that_sees_a_part(void)
{
	static const char *const mounts[][4] = {{"/docker/c1", "/fs", "cgroup2", "x"}};
	begin();
	make("fs"), make("fs/us");
	put("fs/us/cgroup.controllers", "cpu memory pids");
	find("0::/docker/c1/us\n", mounts, 1);
	CHECK_INT(place.version, 2);
	check_dir(CGROUP_CPU, "/fs/us");
	find("0::/docker/c10/us\n", mounts, 1); /* another container */
	CHECK_INT(place.version, 0);
	end();
}

static void test_nothing_usable(void)
{
	static const char *const mounts[][4] = {{"/", "/memory", "cgroup", "memory"}};
	begin();
	find("4:memory:/gone\n", mounts, 1);
	CHECK_INT(place.version, 0);
	CHECK(place.missing[0] != '\0');
	find("", mounts, 0);
	CHECK_INT(place.version, 0);
	find("nonsense\n:::\n4:memory\n", mounts, 1);
	CHECK_INT(place.version, 0);
	end();
}

SUITE_MAIN("cgroup_find", TEST(test_v1_mounted_apart_and_together), TEST(test_v2),
	TEST(test_v2_beside_v1_without_controllers), TEST(test_container_that_sees_a_part),
	TEST(test_nothing_usable))
