/*
 * What the agents of guests, tests/vm/on and tests/vm/run tell each other: frames of a type, a
 * number and bytes, over a virtio-serial port between an agent and run, over a Unix socket between
 * `on` and the agent. guests.py knows them too.
 */
#ifndef RAMET_TESTS_VM_FRAME_H
#define RAMET_TESTS_VM_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX (1U << 20)
#define AGENT_SOCKET "/run/guest/socket"

enum frame_type {
	FRAME_HELLO = 1, /* agent → run: the guest is ready */
	FRAME_START, /* run → agent: directory, number of arguments, arguments, environment; each
			ends in NUL */
	FRAME_CALL, /* on → agent → run: the node's number, then as FRAME_START */
	FRAME_SIGNAL, /* towards a command: the signal's number, for its process group */
	FRAME_OUT, /* from a command: what it wrote to its standard output */
	FRAME_ERR,
	FRAME_EXIT, /* from a command: its exit status, 128 + signal if one ended it */
	FRAME_KILL, /* on → agent → run: the node's number: pull its plug; answered by FRAME_EXIT */
};

/* The number names a command: one of run's choice between run and agents, 0 between `on` and its
 * agent. */
struct frame {
	uint32_t type;
	uint32_t id;
	uint32_t len;
	char *bytes; /* free() */
};

/* Both block, and return 0, or -1 at the end of the stream or on an error. */
int frame_send(int fd, enum frame_type type, uint32_t id, const void *bytes, size_t len);
int frame_receive(int fd, struct frame *ret);

/* `on`, the other program in the agent's file */
int on_main(int argc, char **argv);

#endif
