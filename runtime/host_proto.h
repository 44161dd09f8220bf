/* What rametd and a host or instance say to each other: frames (base/frame.h) on the control socket, each one msgpack
 * map with "t" = the type. The instance runs tenant code: rametd treats all it sends as hostile.
 *
 * The control socket is descriptor RAMET_CONTROL_FD (environment, decimal) of a cold host, and the same number in
 * every clone of it. stdout and stderr are pipes that rametd reads; stdin is /dev/null.
 *
 * rametd → host
 *   load     {dir: str, functions: [{name: str, handler: str}], env: {str: str}, config: map}
 *            dir: the deployed files, readable; handler: file and symbol, "app.py:handler", "libf.so:handle".
 *            Answer: loaded {} or failed {error}.
 *   capture  {close: uint}  Bring the process to its safepoint and capture it. close: enum safepoint_close
 *            (rfork/safepoint.h): descriptors that clones are to lack, where the capture would be refused for them.
 *            Answer: captured {state: uint, stall: uint (ns)} with 2 fds, those of struct safepoint_shadow (pidfd of
 *            the frozen shadow, ready_fd), or refused {error}.
 *            The host goes on serving.
 *   call     {id: uint, fn: str, data: bin, binary: bool, ctx: {version: str, node: uint, rank: uint, size: uint,
 *             deadline: uint (CLOCK_MONOTONIC ns, 0 none), random: bin 16}, max_output: uint}
 *            data is JSON text (UTF-8), or raw bytes when binary. Answer: result.
 *   exit     {}  End with status 0.
 *
 * host → rametd
 *   ready    {engine: str, detail: str}            a cold host is up, before load
 *   loaded   {us: uint, roots: [str]}              initialised: imports and module code have run. roots: what
 *                                                  functions may open later (engine_ops.roots), at most HOST_ROOTS_MAX
 *   failed   {error: map}                          load failed; the host then exits
 *   captured {state: uint, stall: uint} + pidfd, ready_fd · refused {error: map}
 *   failed   {error: map}                          a clone could not be made what its parent was; it then exits
 *   started  {first: uint, hooks: uint}            a clone runs: CLOCK_MONOTONIC ns of its first instruction, and
 *                                                  of the end of its after_clone hooks. Sent once per clone, first.
 *   result   {id: uint, ok: bool, data: bin, binary: bool, error: map, begin: uint, end: uint}   (monotonic ns)
 *   crash    {signal: int, code: int, address: uint}  from the signal handler; the process ends right after
 *
 * error: {code: str (a RAMET_E… name without the prefix), kind: "user|limit|system|refused", type: str, message: str,
 *         traceback: str}. Strings are cut to HOST_ERROR_MAX bytes. */
#ifndef RUNTIME_HOST_PROTO_H
#define RUNTIME_HOST_PROTO_H

#include <stddef.h>

#define HOST_CONTROL_FD 3	    /* what ramet-spawn gives a cold host */
#define HOST_MAX_FRAME (80u << 20)  /* payloads up to 64 MiB and their envelope */
#define HOST_MAX_PAYLOAD (64u << 20)
#define HOST_ERROR_MAX 32768
#define HOST_CAPTURE_TIMEOUT_MS 10000
#define HOST_ROOTS_MAX 256
#define HOST_ROOTS_BYTES 65536 /* of all of them together */

#endif
