/* What a socket is connected to, for people who must find the code that opened it. */
#ifndef RFORK_CAPTURE_SOCKET_H
#define RFORK_CAPTURE_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

/* capture_socket_describe - "a TCP socket connected to 10.0.0.7:5432", "a Unix socket listening at
 * /run/x"; "a socket" where this process may not look */
void capture_socket_describe(pid_t pid, int fd, char *dst, size_t cap);

#endif
