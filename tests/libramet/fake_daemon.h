/* A rametd that runs nothing: it speaks cluster/client_proto.h on a socket, from threads of its
 * own, and does what the name of the function asks for:
 *
 *	echo     returns what it got          raise    fails as a Python function would
 *	slow     runs until it is cancelled   crash    dies of a signal
 *	drop     the connection is closed     garbage  an answer that is no msgpack
 *	wrong    a result with a key of the wrong type
 *	emit     emits what it got, progress, and the same again, and returns "null"
 *	flood    emits 64 KiB again and again, as long as that is taken, 12 MiB in all
 *	badevent emits what is no event
 *	missing  there is no such function */
#ifndef TESTS_LIBRAMET_FAKE_DAEMON_H
#define TESTS_LIBRAMET_FAKE_DAEMON_H

#include "libramet/message.h"

#include <stdbool.h>

struct fake_daemon;

/* fake_daemon_start - listens when it returns; NULL: failed, errno says why. node: what it says it
 * is. */
struct fake_daemon *fake_daemon_start(const char *path, unsigned node);
/* fake_daemon_stop - closes all connections, ends all threads, removes the socket */
void fake_daemon_stop(struct fake_daemon *fake);
/* fake_daemon_last - the last request of a type that it got, or NULL; valid until the next one of
 * that type or the stop */
const struct message *fake_daemon_last(struct fake_daemon *fake, const char *type);
/* fake_daemon_wait_shutdown - until a client asks for shutdown, or fd is readable */
void fake_daemon_wait_shutdown(struct fake_daemon *fake, int fd);

#endif
