/* What the fake rametd answers on one connection. */
#ifndef TESTS_LIBRAMET_FAKE_ANSWERS_H
#define TESTS_LIBRAMET_FAKE_ANSWERS_H

#include "libramet/message.h"

#include <stdbool.h>

#define FAKE_MAX_SLOW 16

struct fake_answers {
	int fd;
	unsigned node;
	uint64_t slow[FAKE_MAX_SLOW]; /* calls that wait for their cancellation; 0: none */
	unsigned calls;
	uint64_t flood; /* the call that floods, its weight that is not taken, and chunks to come;
			   0: none */
	uint64_t untaken;
	unsigned chunks;
};

/* fake_answer - false: close the connection */
bool fake_answer(struct fake_answers *a, const struct message *message);

#endif
