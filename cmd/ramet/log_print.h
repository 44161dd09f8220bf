/* Printing what instances print. */
#ifndef CMD_RAMET_LOG_PRINT_H
#define CMD_RAMET_LOG_PRINT_H

#include "libramet/message.h"

#include <stdbool.h>
#include <stdio.h>

/* log_print - a `log` message: as text with who printed it before each line, or as one JSON object
 */
int log_print(FILE *out, const struct message *message, bool json, struct ramet_err *err);

#endif
