/* What rametd and a host or instance say to each other: frames (base/frame.h) on the control socket, each one msgpack
 * map with "t" = the type. The instance runs tenant code: rametd treats all it sends as hostile.
 *
 * The control socket is descriptor RAMET_CONTROL_FD (environment, decimal) of a cold host, and the same number in
 * every clone of it. stdout and stderr are pipes that rametd reads; stdin is /dev/null.
 *
 * rametd → host
 *   load     {dir: str, functions: [{name: str, handler: str, lang?: str}], env: {str: str}, config: map}
 *            dir: the deployed files, readable; handler: file and symbol, "app.py:handler", "libf.so:handle".
 *            config: {init?: str (as handler), modules?: [str], path?: [str], reset?: bool, isolates?: bool, heap?: uint (bytes), compiled?: str, lang?: str, languages?: {str: str}} (include/ramet/engine.h).
 *            isolates: no code of the app runs but in isolates: the host gives up what those need not (runtime/host/host_confine.h).
 *            lang: whose engine is not the process's own, but the shared object that languages names for it;
 *            that of config: whose init, modules and path are.
 *            Answer: loaded {} or failed {error}.
 *   base     as load, before it: import what the app's files do before they have an effect, but nothing of theirs
 *            (ramet_engine_ops.base). Answer: based {us: uint}, after which the host can be captured, to be the base of seeds,
 *            or nobase {error}. Either way `load` follows, in the host and in clones of the base, once in each.
 *   capture  {close: uint}  Bring the process to its safepoint and capture it. close: enum safepoint_close
 *            (rfork/safepoint.h): descriptors that clones are to lack, where the capture would be refused for them.
 *            Answer: captured {state: uint, stall: uint (ns)} with 2 fds, those of struct safepoint_shadow (pidfd of
 *            the frozen shadow, ready_fd), or refused {error}.
 *            The host goes on serving.
 *   call     {id: uint, fn: str, data: bin, binary: bool, ctx: {version: str, node: uint, rank: uint, size: uint,
 *             deadline: uint (CLOCK_MONOTONIC ns, 0 none), random: bin 16}, max_output: uint, events?, reset?: bool}
 *            data is JSON text (UTF-8), or raw bytes when binary. events: somebody listens to what it emits. reset: the
 *            application is brought back to what it was at the capture afterwards, or the process ends. Answer: result.
 *   taken    {id: uint (of the call), bytes: uint}  So much of what the call emitted has been taken by who listens. After the call's
 *            end it means nothing. No answer.
 *   lease    {fn: str, once: bool (serve one call, that of a slot of its own, and end), slot, id (of the instance), pid, kind:
 *            uint (told with its answer; once only), offset: uint (its CLOCK_MONOTONIC minus the node's, modulo 2^64), max_output: uint, reset?: bool (after each call, as of call), ctx: {version, node}}
 *            with 3 fds: the slots (runtime/slots/), and two eventfds, one that wakes the instance and one that wakes the client.
 *            Calls of that function come through the slots from now on, until `unlease`. Not before a capture.
 *   secrets  {items: {str: bin}}  Those that functions may see from now on, all of them. Never before a capture. No answer.
 *   unlease  {}  No call waits or runs. Answer: unleased.
 *   exit     {}  End with status 0.
 *
 * host → rametd
 *   ready    {engine: str, detail: str}            a cold host is up, before load
 *   loaded   {us: uint, roots: [str]}              initialised: imports and module code have run. roots: what
 *                                                  functions may open later (ramet_engine_ops.roots), at most HOST_ROOTS_MAX
 *   based {us: uint} · nobase {error: map}
 *   failed   {error: map}                          load failed; the host then exits
 *   captured {state: uint, stall: uint} + pidfd, ready_fd · refused {error: map}
 *   failed   {error: map}                          a clone could not be made what its parent was; it then exits
 *   started  {first: uint, hooks: uint}            a clone runs: CLOCK_MONOTONIC ns of its first instruction, and
 *                                                  of the end of its after_clone hooks. Sent once per clone, first.
 *   result   {id: uint, ok: bool, data: bin, binary: bool, error: map, begin: uint, end: uint, last?: bool}   (monotonic
 *                                                  ns) last: it ends now
 *   event    {id: uint, chunk: bin, binary: bool}  during a call with `events`: what it emits, ≤ HOST_EVENT_MAX bytes
 *   event    {id: uint, progress: uint (millionths), text: str}  the same: how far it is; text ≤ HOST_EVENT_TEXT_MAX bytes
 *            An event weighs HOST_EVENT_WEIGHT and the bytes of its chunk; what weighs more than HOST_EVENT_WINDOW together waits until
 *            some of what was sent has been `taken`. Chunks and output together are no more than max_output; a chunk counts as HOST_EVENT_LEAST bytes at
 *            least.
 *   unleased {}                                    the lease's memory and descriptors are let go of
 *   crash    {signal: int, code: int, address: uint, stack: bool (it is full)}  from the signal handler; the process ends right after
 *
 * error: {code: str (a RAMET_E… name without the prefix), kind: "user|limit|system|refused", type: str, message: str,
 *         traceback: str}. Strings are cut to HOST_ERROR_MAX bytes. */
#ifndef RUNTIME_HOST_PROTO_H
#define RUNTIME_HOST_PROTO_H

#include <signal.h>
#include <stddef.h>

/* asks a host to look whether the call that it runs is cancelled; leaves the first real-time signals to applications */
#define HOST_INTERRUPT_SIGNAL (SIGRTMAX - 2)
#define HOST_CONTROL_FD 3	    /* what ramet-spawn gives a cold host */
#define HOST_MAX_FRAME (80u << 20)  /* payloads up to 64 MiB and their envelope */
#define HOST_MAX_PAYLOAD (64u << 20)
#define HOST_ERROR_MAX 32768
#define HOST_CAPTURE_TIMEOUT_MS 10000
#define HOST_EVENT_MAX (1u << 20)
#define HOST_EVENT_TEXT_MAX 1024
#define HOST_EVENT_LEAST 64
#define HOST_EVENT_WEIGHT 1024
#define HOST_EVENT_WINDOW (4u << 20)
#define HOST_ROOTS_MAX 256
#define HOST_ROOTS_BYTES 65536 /* of all of them together */

#endif
