/* The tests of ramet-spawn, by file; main.c lists them. */
#ifndef TESTS_RUNTIME_SPAWN_TESTS_H
#define TESTS_RUNTIME_SPAWN_TESTS_H

/* test_spawn.c */
void test_hello_tells_what_the_machine_can(void);
void test_start_of_a_missing_program_is_told(void);
void test_exec_failure_is_told(void);
void test_request_that_is_too_large_is_refused(void);
void test_many_requests_in_flight(void);
void test_forgotten_host_is_killed_silently(void);
void test_store_paths_go_both_ways(void);
void test_garbage_ends_ramet_spawn(void);
/* test_sandbox.c */
void test_host_sees_only_its_sandbox(void);
void test_root_tenant_has_no_capabilities(void);
void test_directory_in_store_and_in_tmp(void);
void test_filter_refuses(void);
void test_hosts_of_isolates_are_refused_more(void);
void test_tenants_have_their_own_namespaces(void);
void test_nothing_passes_between_sandboxes(void);
void test_pool_is_refilled(void);
void test_dying_sandbox_is_replaced(void);
void test_helper_is_started_again(void);
/* test_ends.c */
void test_exit_status_and_signals(void);
void test_kill_reaches_orphans(void);
void test_end_of_rametd_ends_everything(void);
void test_end_of_ramet_spawn_is_told(void);
void test_two_hundred_hosts_leak_nothing(void);
/* test_limits.c */
void test_memory_limit(void);
void test_process_limit(void);
void test_cpu_limit(void);
void test_tenant_limits(void);
void test_group_is_removed_when_empty(void);
void test_bad_group_is_refused(void);
/* test_templates.c */
void test_clones_of_a_template(void);
void test_clones_with_userfaultfd(void);
void test_clone_into_a_dying_sandbox_is_repeated(void);
void test_killed_clone_leaves_the_others(void);
void test_end_of_a_template_is_told(void);
void test_files_that_a_tenant_may_not_map(void);
/* test_populate.c */
void test_clone_with_populated_pages(void);
void test_bad_populate_ranges_are_refused(void);
void test_recorded_clone(void);
/* test_rootless.c */
void test_rootless_host(void);

#endif
