/* The cases of the pipe suite (pipe_suite.c). */
#ifndef TESTS_CONFORMANCE_PIPE_CASES_H
#define TESTS_CONFORMANCE_PIPE_CASES_H

#define PIPE_CASES(X) \
	/* pipe_data.c */ \
	X(test_sizes) \
	X(test_random_sizes_both_ways) \
	X(test_random_sizes_with_few_operations) \
	X(test_random_sizes_over_faults) \
	X(test_reader_who_does_not_read) \
	X(test_listening) \
	X(test_room_is_told_without_listening) \
	X(test_sent_before_it_is_open) \
	X(test_half_shut) \
	X(test_both_shut) \
	X(test_shut_before_it_is_open) \
	X(test_closed_without_shut) \
	X(test_many_small_pieces_before_close) \
	X(test_full_ring_before_close) \
	/* pipe_life.c */ \
	X(test_close_after_any_number_of_turns) \
	X(test_close_from_on_ready) \
	X(test_close_within_accept) \
	X(test_close_with_pieces_left) \
	X(test_transport_close) \
	X(test_transport_close_before_the_stream) \
	X(test_nobody_listens) \
	X(test_token_is_refused) \
	X(test_address_is_none) \
	X(test_accept_fails) \
	X(test_accept_astray) \
	X(test_death) \
	/* pipe_hostile.c */ \
	X(test_hostile_peers) \
	X(test_malformed_messages) \
	X(test_wrong_rings) \
	X(test_ring_is_revoked) \
	X(test_writes_beyond_the_ring) \
	X(test_random_peers)

#define PIPE_CASE_DECLARE(fn) void fn(void);
PIPE_CASES(PIPE_CASE_DECLARE)

#endif
