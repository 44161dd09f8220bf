/* clang-format off */
/* What rametd and ramet-files say to each other: frames (base/frame.h), each one msgpack map with "t" = the type.
 * ramet-files runs with its tenant's uid and without any right: rametd treats all it sends as hostile.
 *
 * ramet-files → rametd
 *   open     {entry: uint}   somebody waits for the content of this file of the manifest
 *
 * rametd → ramet-files
 *   file     {entry: uint}               + 1 fd, open for reading: here it is
 *   failed   {entry: uint, error: uint}  it cannot be had: those who wait get this errno
 *
 * Its descriptors: FILES_CONTROL_FD, FILES_MANIFEST_FD (the manifest's bytes), FILES_DEVICE_FD (of a FUSE file system that
 * is mounted). It ends with the control connection or the file system, whichever is first. */
/* clang-format on */
#ifndef RUNTIME_FILES_FILES_PROTO_H
#define RUNTIME_FILES_FILES_PROTO_H

#define FILES_CONTROL_FD 3
#define FILES_MANIFEST_FD 4
#define FILES_DEVICE_FD 5
#define FILES_MAX_FRAME 4096u
#define FILES_MAX_QUEUE (1u << 20)
#define FILES_OPEN_MS 120000 /* an open that rametd does not answer; it gives up long before */

#endif
