/* The cases of the transport suite, by file: SUITE_MAIN in transport_suite.c lists them for every
 * provider. */
#ifndef TESTS_CONFORMANCE_TRANSPORT_CASES_H
#define TESTS_CONFORMANCE_TRANSPORT_CASES_H

/* TRANSPORT_CASES(X): X(function) */
#define TRANSPORT_CASES(X) \
	X(test_reads_of_every_size_and_alignment) \
	X(test_writes_of_every_size_and_alignment) \
	X(test_a_thousand_reads_in_flight) \
	X(test_poll_right_after_post) \
	X(test_handlers_may_post_again) \
	X(test_spinning_begins_and_ends) \
	X(test_staying_awake_for_who_asks_again) \
	X(test_reads_complete_while_spinning) \
	X(test_a_doorbell_rings_after_its_data) \
	X(test_small_messages) \
	X(test_both_directions_at_once) \
	X(test_streams_in_pieces) \
	X(test_segment_removed_between_pieces) \
	X(test_segment_removed_within_an_answer) \
	X(test_close_between_pieces) \
	X(test_broken_lanes_lose_and_repeat_nothing) \
	X(test_guilty_and_innocent) \
	X(test_wrong_keys_and_bounds) \
	X(test_read_only_local_and_other_domains) \
	X(test_misuse_is_refused) \
	X(test_segment_removed_while_it_is_read) \
	X(test_segment_removed_while_it_is_written) \
	X(test_drained_waits_for_own_operations) \
	X(test_queue_full_then_progress) \
	X(test_depth_is_agreed) \
	X(test_refused_tokens) \
	X(test_a_token_arrives_byte_for_byte) \
	X(test_nobody_there) \
	X(test_listener_that_does_not_answer) \
	X(test_listening) \
	X(test_connections_outlive_their_listener) \
	X(test_close_drains) \
	X(test_peer_closes_under_load) \
	X(test_both_close) \
	X(test_transport_close_ends_everything) \
	X(test_connections_take_turns) \
	X(test_silent_peer_fails_what_is_in_flight) \
	X(test_idle_connection_notices_death) \
	X(test_slow_peer_lives) \
	X(test_cut_cable_is_death) \
	X(test_short_cut_harms_nothing) \
	X(test_heartbeats_keep_idle_connections) \
	X(test_peer_timeout_is_configurable) \
	X(test_close_does_not_wait_for_the_dead) \
	X(test_killed_peer_fails_what_is_in_flight) \
	X(test_strangers_are_dropped) \
	X(test_a_crowd_of_strangers) \
	X(test_accept_fails_for_a_while) \
	X(test_addresses) \
	X(test_ipv6) \
	X(test_hostile_peers_harm_only_themselves) \
	X(test_random_peers_harm_only_themselves) \
	X(test_false_welcomes_end_the_attempt) \
	X(test_false_answers_end_the_connection)

#define TRANSPORT_CASE_DECLARE(fn) void fn(void);
TRANSPORT_CASES(TRANSPORT_CASE_DECLARE)
#undef TRANSPORT_CASE_DECLARE

/* what a suite's binary is, started by itself with this argument and a descriptor: a server that
 * tells on it how to reach it, until it is killed */
#define MORTAL "--mortal"
int mortal_main(const char *pipe_fd);

#endif
