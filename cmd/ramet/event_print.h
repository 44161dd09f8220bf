/* Printing what a call emits. */
#ifndef CMD_RAMET_EVENT_PRINT_H
#define CMD_RAMET_EVENT_PRINT_H

#include "libramet/message.h"

#include <stdbool.h>

/* event_print - an `event` of rametd (cluster/client_proto.h): a chunk to stdout, as it is, JSON on
 * a line of its own; progress to stderr. json: an object on a line of stdout. *ret_len: bytes of
 * its chunk. */
int event_print(const struct message *message, bool json, size_t *ret_len, struct ramet_err *err);

#endif
