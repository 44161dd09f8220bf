/* The list of tests of ramet-spawn. They need root, as ramet-spawn does for all but the rootless
 * one. */
#include "tests/lib/suite.h"
#include "tests/runtime_spawn/tests.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

static const struct suite_test tests[] = {TEST(test_hello_tells_what_the_machine_can),
	TEST(test_start_of_a_missing_program_is_told), TEST(test_exec_failure_is_told),
	TEST(test_many_requests_in_flight), TEST(test_request_that_is_too_large_is_refused),
	TEST(test_forgotten_host_is_killed_silently), TEST(test_store_paths_go_both_ways),
	TEST(test_garbage_ends_ramet_spawn), TEST(test_host_sees_only_its_sandbox),
	TEST(test_root_tenant_has_no_capabilities), TEST(test_directory_in_store_and_in_tmp),
	TEST(test_filter_refuses), TEST(test_hosts_of_isolates_are_refused_more),
	TEST(test_tenants_have_their_own_namespaces), TEST(test_nothing_passes_between_sandboxes),
	TEST(test_pool_is_refilled), TEST(test_dying_sandbox_is_replaced),
	TEST(test_helper_is_started_again), TEST(test_exit_status_and_signals),
	TEST(test_kill_reaches_orphans), TEST(test_end_of_rametd_ends_everything),
	TEST(test_end_of_ramet_spawn_is_told), TEST(test_two_hundred_hosts_leak_nothing),
	TEST(test_memory_limit), TEST(test_process_limit), TEST(test_cpu_limit),
	TEST(test_tenant_limits), TEST(test_group_is_removed_when_empty),
	TEST(test_bad_group_is_refused), TEST(test_clones_of_a_template),
	TEST(test_clones_with_userfaultfd), TEST(test_clone_into_a_dying_sandbox_is_repeated),
	TEST(test_killed_clone_leaves_the_others), TEST(test_end_of_a_template_is_told),
	TEST(test_files_that_a_tenant_may_not_map), TEST(test_clone_with_populated_pages),
	TEST(test_bad_populate_ranges_are_refused), TEST(test_recorded_clone),
	TEST(test_rootless_host)};

/* mounts are counted: those that others make on this machine meanwhile must not be seen */
static void own_mounts(void)
{
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		perror("make the mounts private");
}

int main(int argc, char **argv)
{
	const char *bin = getenv("RAMET_BIN");
	if (bin && (strncmp(bin, "/tmp/", 5) == 0 || strncmp(bin, "/run/", 5) == 0)) {
		printf("SKIP runtime_spawn: the programs are under %.5s, which sandboxes replace\n",
			bin);
		return 77;
	}
	own_mounts();
	return suite_run("runtime_spawn", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
