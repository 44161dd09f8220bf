/* A client that speaks with rametd by itself, so that it can do what libramet never does. */
#ifndef TESTS_CALLS_RAW_CLIENT_H
#define TESTS_CALLS_RAW_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct raw_client {
	int fd; /* -1: closed */
	uint64_t req; /* the last one */
	unsigned char *data; /* of the message that was read last */
};

struct raw_lease {
	uint64_t req;
	pid_t pid; /* of its instance */
	int memory_fd, wake_fd, client_fd;
};

/* raw_open - connected and greeted. Failures of these functions are those of the test. */
bool raw_open(struct raw_client *c, const char *socket);
void raw_close(struct raw_client *c);
/* raw_ask - sends a request with up to one pair of its own (key NULL: none) and a descriptor (-1:
 * none); returns its number */
uint64_t raw_ask(struct raw_client *c, const char *type, const char *key, const char *text,
	uint64_t number, int fd);
/* raw_answer - the next answer to a request that is not `look` has this type; false: it is another
 * one, or none */
bool raw_answer(struct raw_client *c, uint64_t req, const char *type);
/* raw_lease - asks again and again until an instance is idle */
bool raw_lease(struct raw_client *c, const char *function, struct raw_lease *ret);
void raw_lease_close(struct raw_lease *lease);

#endif
