/* What files_host.c can be told to do, in the directory it was given. */
#ifndef TESTS_RFORK_FILES_HOST_H
#define TESTS_RFORK_FILES_HOST_H

enum files_attempt {
	FILES_READ,
	FILES_WRITE,
	FILES_MAKE,
	FILES_TRUNCATE,
	FILES_REMOVE,
	FILES_MAKE_DIR,
	FILES_RUN,
	FILES_CONNECT, /* to a port of loopback at which nobody listens */
	FILES_SIGNAL, /* its parent */
	FILES_KEPT, /* a byte into memory that was open at the capture */
	FILES_ATTEMPTS
};

#endif
