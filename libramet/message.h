/* One message from rametd, received whole: its bytes and their decoded tree, owned together. */
#ifndef LIBRAMET_MESSAGE_H
#define LIBRAMET_MESSAGE_H

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/list.h"
#include "base/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message {
	struct list link; /* for whoever owns it */
	char type[16];
	uint64_t req;
	const struct wire_value *root; /* the map; lives as long as the message */
	struct wire_msg *wire;
	unsigned char *data;
	int fds[FRAME_MAX_FDS]; /* that came with it; -1: taken */
	unsigned nfds;
};

/* message_parse - copy and decode a frame; RAMET_EPROTO or RAMET_ELIMIT when it is no message */
int message_parse(
	const void *data, size_t len, struct message **ret_message, struct ramet_err *err);
void message_free(struct message *message); /* NULL is fine */
bool message_is(const struct message *message, const char *type);

DEFINE_CLEANUP(struct message, message_free)
#define auto_message AUTO(message_free)

/* message_begin - start a request: a map of `pairs` more pairs after t and req */
void message_begin(struct buf *b, const char *type, uint64_t req, uint32_t pairs);

#endif
