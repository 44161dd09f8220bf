/* The fixture of the pipe suite: two transports of PROVIDER in one process, each on a loop that the
 * test turns itself, a listener of the second one, and a pipe between them or whatever a case makes
 * of it. */
#ifndef TESTS_CONFORMANCE_PIPE_PAIR_H
#define TESTS_CONFORMANCE_PIPE_PAIR_H

#include "base/loop.h"
#include "tests/conformance/transport_pair.h"
#include "tests/lib/suite.h"
#include "transport/pipe.h"

#include <stdbool.h>
#include <stddef.h>

#define PIPES_TOKEN "let me in"
#define PIPES_CHUNK_MAX ((size_t)1 << 20)

struct pipe_side {
	struct loop *loop;
	struct transport *transport;
	struct byte_stream *stream; /* NULL: none yet, or closed */
	unsigned ready; /* calls of on_ready */
	bool closed; /* by pipe_side_close(): on_ready must not come any more */
	void (*also)(struct pipe_side *side); /* from on_ready, if set */
	size_t limit, got; /* for an `also` that receives */
};

struct pipes {
	struct pipe_side client, server;
	struct transport_listener *listener;
	struct pipe_side *accepting; /* gets the stream; NULL: the server */
	/* the next ones are accepted into a domain of the other transport, or closed at once */
	bool accept_astray, accept_and_close;
	unsigned fds;
};

/* pipes_start - the transports and the listener; options may be NULL; false after a failed check */
bool pipes_start(struct pipes *p, const struct transport_options *options);
/* closes what is open, in an orderly way, checks that nothing is left of it, and ends the
 * transports */
void pipes_stop(struct pipes *p);
/* pipes_connect - begins to, from the client; the server's stream comes by itself */
bool pipes_connect(struct pipes *p);
int pipes_connect_to(
	struct pipes *p, const char *addr, const void *token, size_t len, struct ramet_err *err);
/* pipes_open - both: it is open on both sides when it returns true */
bool pipes_open(struct pipes *p, const struct transport_options *options);
void pipe_side_close(struct pipe_side *side);
/* nothing of any pipe is left: no connection, segment or domain */
bool pipe_side_is_empty(const struct pipe_side *side);
/* waits until the side's stream has ended, and closes it */
void pipe_side_close_ended(struct pipes *p, struct pipe_side *side);

/* one turn of both loops, which waits a little if there is nothing to do; false: it is too late */
bool pipes_turn(struct pipes *p, uint64_t deadline_ns);
uint64_t pipes_deadline(void);
/* turns until cond holds, and checks that it does */
#define PIPES_UNTIL(p, cond) \
	do { \
		uint64_t until_ns = pipes_deadline(); \
		while (!(cond) && pipes_turn(p, until_ns)) \
			; \
		CHECK(cond); \
	} while (0)

/* bytes of a stream by their position */
const unsigned char *pipes_bytes(size_t position, size_t len);
/* the side's stream: sends or receives up to len of them, where `position` says; how many */
size_t pipe_side_send(struct pipe_side *side, size_t position, size_t len);
size_t pipe_side_receive(struct pipe_side *side, size_t position, size_t len);
/* what the next receive says when nothing came: 0, RAMET_ECLOSED, … */
int pipe_side_end(struct pipe_side *side);
/* sends len bytes from position 0, turning until all are sent, resp. received too */
void pipes_send_all(struct pipes *p, struct pipe_side *from, size_t len);
void pipes_carry(struct pipes *p, struct pipe_side *from, struct pipe_side *to, size_t len);

#endif
