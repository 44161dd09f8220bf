/* SPDX-License-Identifier: Apache-2.0
 * Error codes of every Ramet interface, and the object that carries one with its message. */
#ifndef RAMET_ERROR_H
#define RAMET_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* RAMET_ERRORS(X): X(NAME, number, "what it means"). Numbers are part of the wire format and never reused. */
#define RAMET_ERRORS(X) \
	X(EINVAL, 1, "an argument or a field is not valid") \
	X(ENOMEM, 2, "out of memory") \
	X(EIO, 3, "an operating-system call failed") \
	X(EAGAIN, 4, "no room now: try again after a completion") \
	X(ENOTFOUND, 5, "no such function, seed, node or object") \
	X(EEXIST, 6, "it exists already, or is in use") \
	X(EPERM, 7, "not allowed") \
	X(EPROTO, 8, "a message or a file is malformed") \
	X(EVERSION, 9, "made by an incompatible version") \
	X(ECHECKSUM, 10, "bytes differ from their checksum") \
	X(EREVOKED, 11, "the segment or seed was revoked") \
	X(EACCESS, 12, "wrong key, out of bounds, or not writable") \
	X(EPEER, 13, "the peer is dead or unreachable") \
	X(ETIMEOUT, 14, "a time limit of the system passed") \
	X(EDEADLINE, 15, "the call's deadline passed") \
	X(ECANCELED, 16, "cancelled") \
	X(ELOST, 17, "the instance died; whether the call took effect is unknown") \
	X(EUSER, 18, "the function raised an error") \
	X(ELIMIT, 19, "a limit was exceeded") \
	X(ECRASH, 20, "the function's process crashed") \
	X(EREFUSED, 21, "the fork, capture or placement was refused") \
	X(ECLASS, 22, "the seed belongs to another class of nodes") \
	X(ENOCLUSTER, 23, "no cluster answers there") \
	X(ENOTSUP, 24, "this kernel or build does not support it") \
	X(ECONFIG, 25, "a configuration is not valid") \
	X(ECLOSED, 26, "the object was closed") \
	X(EINTERNAL, 27, "a defect of Ramet")

enum ramet_error_code {
#define RAMET_ERROR_ENUM(name, number, text) RAMET_##name = -(number),
	RAMET_ERRORS(RAMET_ERROR_ENUM)
#undef RAMET_ERROR_ENUM
	RAMET_OK = 0
};

#define RAMET_ERR_MSG 400

/* What failed, on what, and what to do about it. The caller owns it, usually on the stack; zero-initialise it. */
struct ramet_err {
	int code;		 /* RAMET_E… (negative), or 0 */
	int sys;		 /* errno of the call that failed, or 0 */
	char msg[RAMET_ERR_MSG]; /* UTF-8, always terminated */
};

#ifdef __cplusplus
}
#endif
#endif
