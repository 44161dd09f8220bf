/* What a client (libramet) and rametd say to each other: frames (base/frame.h) on a Unix stream socket, each one msgpack
 * map with "t" = the type and "req" (uint, below). The tenant is the peer's uid from SO_PEERCRED. Neither side trusts the
 * other: a malformed frame ends the connection; a well-formed request that asks for something wrong is answered by error.
 *
 * Requests carry a req the client chose: not 0, not in use on this connection. Everything the daemon sends about a request
 * carries the same req. A request gets any number of events (marked +) and then exactly one final answer (marked →);
 * instead of the final answer named below there may be `error {req, error}`. Requests run side by side; answers come in
 * any order. A req may be used again after its final answer.
 *
 * Keys marked ? may be missing or nil and then have the value in brackets. Unknown keys are ignored by both sides; an
 * unknown type is answered by error EPROTO. Names of functions and apps: CLIENT_NAME_MAX bytes of [A-Za-z0-9_.-], not
 * starting with "." or "-". Nodes are numbered from 1; 0 means any, or none. Paths inside a bundle are relative,
 * '/'-separated, ≤ CLIENT_PATH_MAX, without ".", ".." or empty parts, each once. Times are ns unless the key says ms.
 *
 * When the client closes, its calls and bursts are cancelled, unless detached; deployments go on.
 * Socket: rametd binds it under a temporary name, listens, and renames it into place, so that its appearance is the
 * event "the daemon serves"; mode 0666 (access is decided by uid for each request). A stale socket is replaced.
 *
 * client → daemon
 *
 *   hello     {proto: uint CLIENT_PROTO, client: str}         the first request; another first request ends the connection
 *             → welcome {proto, version: str, node: uint, uid: uint, nodes: uint (up, this one included),
 *                expected: uint (configured, this one included), pid: uint (of rametd)}
 *             → error EVERSION when proto is not spoken
 *
 *   ready     {nodes: uint, timeout_ms: uint}
 *             → ready {nodes}         at once, or as soon as this many nodes are up as seen from here (control and data
 *                                     connections made, both ways); error ETIMEOUT when timeout_ms has passed before
 *
 *   deploy    {app: str, lang: str (of its process: "python" if any function is), functions: [{name: str, handler: str "FILE:SYMBOL", lang?: str [the app's]}] (1 to
 *              CLIENT_MAX_FUNCTIONS), files: [{path: str, mode: uint, data: bin}] (≤ CLIENT_MAX_FILES, together
 *              ≤ CLIENT_MAX_BUNDLE bytes), python?: str (absolute path of the interpreter ["" : the node's default]),
 *              env?: {str: str} [{}], limits?: {mem?: uint bytes [0: none], heap?: uint bytes of an isolate [0: half of mem], pids?: uint [0], cpu?: uint thousandths of a
 *              core [0], deadline_ms?: uint a call [0], output?: uint bytes [CLIENT_MAX_PAYLOAD]},
 *              init?: str "FILE:SYMBOL", called once before the capture [""], modules?: [str] (Python modules imported before it)
 *              [[]], path?: [str] (directories of Python modules: relative to the app's files, or absolute) [[]], data?: [str]
 *              (absolute paths of nodes, shown read-only to instances) [[]], requirements?: [str] (lines as of pip's requirements
 *              files) [[]] or requirements_file?: str (one of files) [""], secrets?: [str] (names of those that its functions get)
 *              [[]], merge?: bool (into what the app of that name has: functions of other names stay) [false],
 *              fresh?: str "reuse|reset|fresh" ["reuse"], bind?: str "own|shared" ["own"], idempotent?: bool [false], close_on_fork?: uint (CLIENT_CLOSE_*:
 *              descriptors that clones are to lack where the capture would be refused for them) [0], samples?: [bin] (JSON values the
 *              functions are called with before the capture, all of them) [[]], node?: uint (initialise there) [0]}
 *             Initialises the app on one node and captures it. The version is made of all of this but node. A function
 *             that exists already gets the new version for calls that arrive after the answer; calls that run finish.
 *             What the daemon cannot honour (a language, samples, a limit) is refused with ENOTSUP, never ignored.
 *             + progress {stage: str "receive|install|start|load|capture|measure|first-call|publish", text: str, fraction: double 0 to 1}
 *             → deployed: as result, below, without rank and output: function (the first), version, node, instance and
 *               pid of the host, start ("cold", "local-fork" of the base of an earlier version, or "warm" if that very version was there), ns: {start: until `ready`,
 *               first_instruction: 0, run: load, total}, and capture_ns: uint, stall_ns: uint (host stopped),
 *               image_bytes: uint
 *             → error: what the module raised, with type, message, traceback and log_tail, or why it cannot be captured
 *
 *   rollback  {name: str, version?: str ("latest", or the first digits of one; [""]: the one before), node?: uint [0]}
 *             An earlier version of the function's app, with all functions that it had, is what calls that arrive after the answer
 *             get. The files of the last versions are kept; a seed that is gone is made anew, on that node.
 *             + progress, → deployed: as of deploy; error ENOTFOUND: no such version is known on this node
 *
 *   remove    {name: str}     a function; the app goes with its last one. Running calls end with EREVOKED.
 *             → removed {instances: uint (ended)}
 *
 *   call      {name: str, data: bin (JSON text, or bytes), binary?: bool [false], node?: uint (must run there) [0],
 *              deadline_ms?: uint from arrival here [0: the function's], detach?: bool [false], follow?: bool [false],
 *              events?: bool [false], rank?: uint [0], size?: uint [1]}
 *             + accepted {call: str}     once, first, always: the call's id, CLIENT_CALL_MAX bytes of [0-9a-z.-]
 *             + log …                    when follow: as for `logs`
 *             + event {chunk: bin, binary: bool}             when events: what the function emits, in order, before the result.
 *             + event {progress: uint millionths, text: str} See `taken`.
 *             → result                   detached: at once, with call, function and version only
 *
 *   taken     {of: uint (req of a call), weight: uint}     so much of its events has been used. An event weighs CLIENT_EVENT_WEIGHT
 *             and the bytes of its chunk; a call that has emitted CLIENT_EVENT_WINDOW that is not taken waits before it emits more.
 *             → taken {}                 also when the call is over
 *
 *   burst     {name, data, binary?, deadline_ms?: as in call, n: uint (1 to CLIENT_MAX_BURST), node?: uint [0]}
 *             n calls at the same time, each in an instance of its own, rank 0 to n-1, size n. An instance that could
 *             not be had is a result with an error.
 *             + accepted {call: str}     the group's id, good for cancel and logs
 *             + result {…}               n times, each rank once, as they come
 *             → summary {n: uint, ok: uint, failed: uint, warm: uint, local_fork: uint, remote_fork: uint, cold: uint,
 *                nodes: uint (that took part), total: uint ns}
 *
 *   lease     {name: str, node?: uint [0] (it must be there), near?: uint [0] (or there, if nobody is idle here)} with
 *             1 descriptor, an eventfd that the instance writes to wake this client
 *             An instance for this client alone, whose calls go through shared memory (runtime/slots/).
 *             + leased {lease: uint, version: str, node: uint, instance: uint, pid: uint, deadline_ms: uint (of a call; 0
 *                none), output: uint (bytes an answer may have), idempotent: bool, once: bool (each call has an instance of its own;
 *                then instance and pid are 0), time: uint (CLOCK_MONOTONIC ns of the
 *                daemon, which deadlines in the slots are of), stream?: bool [false]} with 2 descriptors: the slots, and the
 *                eventfd that wakes the instance, which is not read, and written zeros only; or, `stream` (the instance is on
 *                another node), slots of the client's own, and a connection to the lease's (runtime/slots/slots_wire.h).
 *                Once, first.
 *             + look {}         there may be answers that nobody has woken the client for, or the lease closes
 *             → ended {}        every call in the slots has its answer; after `cancel {of}`, which returns the lease, or when
 *                               the daemon takes it back (idle, a new version, others wait) or the instance is dead
 *             → error EAGAIN    no instance is idle now (calls make them); ELOST: its
 *                               node is dead
 *
 *   lease.cancel {of: uint (the lease's req), slot: uint, generation: uint}     a call that runs: interrupted, then killed
 *             → cancelled {}    the slot's answer tells what became of it
 *             → error ENOTFOUND
 *
 *   lease.broken {of: uint}   its instance wrote over the slots: it is killed, and the lease ends
 *             → cancelled {}
 *
 *   cancel    {of: uint (a req on this connection) or call: str (an id, of the same tenant)}
 *             A call, burst, deployment (before its capture), logs or wait. What is queued is dropped, what runs is killed.
 *             → cancelled {}             the request itself still gets its final answer: for a call, result with ECANCELED
 *             → error ENOTFOUND          it is over, or never was
 *
 *   wait      {call: str, timeout_ms?: uint [0: none]}          a detached call, from any connection of the same tenant
 *             → result                   kept CLIENT_KEEP_MS after the call's end, and given out once
 *             → error ENOTFOUND, or ETIMEOUT (the call goes on)
 *
 *   list      {what: str "ps|nodes|functions|seeds|versions", node?: uint [0: all]}    tenants see their own; root sees all
 *             → rows {rows: [map], silent: [uint] (nodes that did not answer in time)}
 *               nodes:     {node: uint, name: str, state: str "up|down", listen: str, data: str, transport: str,
 *                           class: str, cores: uint, mem: uint, pager: str "uffd|eager", instances: uint,
 *                           templates: uint, seeds: uint, cache_bytes: uint, calls: uint, version: str, pid: uint,
 *                           uptime_ms: uint}
 *               functions: {function: str, app: str, lang: str, version: str, generation: uint, uid: uint, handler: str,
 *                           fresh: str, idempotent: bool, seeds: uint (nodes that hold one), instances: uint,
 *                           calls: uint, failed: uint, warm: uint, local_fork: uint, remote_fork: uint, cold: uint}
 *               versions:  {function: str, app: str, uid: uint, version: str, handler: str, state: str "current|past", latest: bool}
 *                          of each function the current first, then those before, the last one first, as this node has seen them
 *               seeds:     {seed: str, app: str, version: str, generation: uint, epoch: uint, node: uint, role: str
 *                           "origin|copy", source_node: uint, image_bytes: uint, cached_bytes: uint,
 *                           own_bytes: uint (of memory, beyond its base's), working_set_bytes: uint, template: bool, instances: uint, class: str}
 *               ps:        {node: uint, instance: uint, pid: uint, function: str, version: str, state: str
 *                           "starting|idle|busy|host", start: str, source_node: uint, call: str, rank: uint,
 *                           calls: uint, rss: uint, uptime_ms: uint, uid: uint}
 *
 *   logs      {follow?: bool [false], call?: str [""], instance?: uint [0], function?: str [""], node?: uint [0: all],
 *              tail?: uint lines [0: all kept]}
 *             + log {node: uint, instance: uint, pid: uint, function: str, call: str, rank: uint, stream: str "out|err",
 *                    time: uint (CLOCK_REALTIME ns), data: bin (whole lines where possible, ≤ CLIENT_LOG_CHUNK)}
 *             → end {lost: uint (bytes overwritten or rate-limited)}       following: only after cancel, or the call's end
 *
 *   doctor    {}
 *             → checks {checks: [{node: uint, name: str, state: str "ok|warn|missing", detail: str,
 *                remedy: str (how a site enables it, "" when ok), cost: str (what its absence costs, "" when ok)}]}
 *
 *   secret.set    {name: str, app?: str (only for it) [""], value: bin (≤ CLIENT_MAX_SECRET)}      of the caller's
 *   secret.remove {name, app?}
 *             Calls that begin after the answer get the new value; those of functions that name a secret which is not set are
 *             refused. Kept in the nodes' memory only.
 *             → done {silent: uint (nodes that did not confirm; they learn it when they are back)}
 *   secret.list   {}
 *             → secrets {rows: [{name, app, uid, bytes: uint, changed_ms: uint (CLOCK_REALTIME)}]}    never the values
 *
 *   shutdown  {}       root or the daemon's own uid, else error EPERM: end every instance, then this daemon
 *             → closing {}               the daemon has begun; the socket closes when all is gone
 *
 * result {function: str, version: str, node: uint, instance: uint, pid: uint, start: str
 *         "warm|local-fork|remote-fork|cold", source_node: uint (where a remote fork's seed was; else 0), call: str,
 *         rank: uint, size: uint, output: bin, binary: bool (output is not JSON text), error?: error [nil: it succeeded],
 *         ns: {queue: uint, start: uint, first_instruction: uint, run: uint, total: uint}}
 *   A call that failed before it had an instance has node, instance and pid 0 and start "".
 *   ns.queue: from the arrival of the request at this daemon until an instance was being made, or taken, for it
 *   ns.start: from there until the instance could take the call (0 when warm)
 *   ns.first_instruction: from there (the clone was asked for) until the clone's first instruction (0 when warm or cold)
 *   ns.run: the handler, in the instance     ns.total: from arrival until the answer was sent
 *
 * error  {code: str (a RAMET_E… name without the prefix), message: str, kind?: str "user|limit|system|refused" [by the
 *         code: EUSER user; ELIMIT, EDEADLINE limit; EREFUSED, EPERM, ECLASS, ENOTFOUND, EEXIST, EINVAL, ECONFIG, ENOTSUP,
 *         ECANCELED refused; else system], retryable?: bool [false], type?: str (of the exception), traceback?: str,
 *         signal?: int [0], fault_address?: uint [0], node?: uint [0], log_tail?: bin (the instance's last output)}
 *   Strings are cut to CLIENT_ERROR_MAX bytes, at a character's boundary. */
#ifndef CLUSTER_CLIENT_PROTO_H
#define CLUSTER_CLIENT_PROTO_H

#define CLIENT_PROTO 1
#define CLIENT_MAX_PAYLOAD (64u << 20)
#define CLIENT_MAX_BUNDLE (64u << 20)
#define CLIENT_MAX_FRAME (80u << 20) /* a payload or a bundle and its envelope */
#define CLIENT_WIRE_DEPTH 8
#define CLIENT_WIRE_ITEMS 262144 /* a bundle of CLIENT_MAX_FILES, a list of CLIENT_MAX_ROWS */
#define CLIENT_MAX_FILES 8192
#define CLIENT_MAX_FUNCTIONS 64
#define CLIENT_MAX_SAMPLES 64
#define CLIENT_MAX_ENV 256
#define CLIENT_MAX_MODULES 256
#define CLIENT_MAX_PATH 64
#define CLIENT_MAX_DATA 32
#define CLIENT_MAX_REQUIREMENTS 256
#define CLIENT_MAX_SECRETS 64 /* that an app names */
#define CLIENT_MAX_SECRET 65536 /* bytes of a value */
#define CLIENT_MIN_CPU 10 /* thousandths of a core: the kernel's smallest quota */
#define CLIENT_MAX_CPU 4096000
/* the same numbers as enum safepoint_close of rfork/safepoint.h */
#define CLIENT_CLOSE_SOCKETS 1
#define CLIENT_CLOSE_PIPES 2
#define CLIENT_CLOSE_FILES 4
#define CLIENT_CLOSE_DEVICES 8
#define CLIENT_CLOSE_OTHER 16
#define CLIENT_CLOSE_ALL 31
#define CLIENT_MAX_BURST 65536
#define CLIENT_MAX_ROWS 8192
#define CLIENT_NAME_MAX 64
#define CLIENT_VERSION_MAX 64
#define CLIENT_CALL_MAX 32
#define CLIENT_PATH_MAX 255
#define CLIENT_ERROR_MAX 32768
#define CLIENT_LOG_CHUNK 65536
#define CLIENT_KEEP_MS 600000
#define CLIENT_EVENT_WEIGHT 1024
#define CLIENT_EVENT_WINDOW (4u << 20)

#endif
