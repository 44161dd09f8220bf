/* A peer of a pipe that is none: a connection of the pipe suite's client on which a test says what
 * it likes. */
#ifndef TESTS_CONFORMANCE_PIPE_RAW_H
#define TESTS_CONFORMANCE_PIPE_RAW_H

#include "tests/conformance/pipe_pair.h"
#include "transport/pipe_wire.h"

struct raw_pipe {
	struct pipes *pipes;
	struct pipe_side victim; /* the pipe that it speaks to */
	struct transport_domain *domain;
	struct transport_segment *ring; /* writable, as large as it should be */
	struct transport_segment *from; /* what is written lies here */
	unsigned char *memory; /* both */
	struct transport_conn *conn; /* NULL: it has ended */
	struct pipe_message hello; /* the victim's */
	unsigned messages, doorbells, posted, done;
	int status; /* of the operation that has ended last, and failed; else 0 */
	struct pipe_positions at; /* as an honest peer would keep them */
};

/* of open pipes, which go on; it has the victim's hello when it returns true */
bool raw_pipe_open(struct raw_pipe *raw, struct pipes *p);
/* ends all, and checks that the pipes go on */
void raw_pipe_close(struct raw_pipe *raw);
/* what it says may come to nothing, as the victim may have closed */
void raw_pipe_say(struct raw_pipe *raw, const void *data, size_t len);
void raw_pipe_message(struct raw_pipe *raw, const struct pipe_message *message);
void raw_pipe_hello(struct raw_pipe *raw); /* an honest one */
void raw_pipe_end(struct raw_pipe *raw, uint64_t position);
void raw_pipe_ring(struct raw_pipe *raw, uint32_t imm);
/* bytes to the victim's ring */
void raw_pipe_write(struct raw_pipe *raw, size_t at, size_t len, uint32_t imm);
/* an honest piece of len bytes of pipes_bytes() */
void raw_pipe_piece(struct raw_pipe *raw, size_t len);

#endif
