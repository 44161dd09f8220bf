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
 *   deploy    {app: str, lang: str ("python", "native"), functions: [{name: str, handler: str "FILE:SYMBOL"}] (1 to
 *              CLIENT_MAX_FUNCTIONS), files: [{path: str, mode: uint, data: bin}] (≤ CLIENT_MAX_FILES, together
 *              ≤ CLIENT_MAX_BUNDLE bytes), python?: str (absolute path of the interpreter ["" : the node's default]),
 *              env?: {str: str} [{}], limits?: {mem?: uint bytes [0: none], pids?: uint [0], cpu_ms?: uint of CPU time a
 *              call [0], deadline_ms?: uint a call [0], output?: uint bytes [CLIENT_MAX_PAYLOAD]},
 *              fresh?: str "reuse|reset|fresh" ["reuse"], idempotent?: bool [false], close_on_fork?: uint (CLIENT_CLOSE_*:
 *              descriptors that clones are to lack where the capture would be refused for them) [0], samples?: [bin] (JSON values the
 *              functions are called with before the capture, all of them) [[]], node?: uint (initialise there) [0]}
 *             Initialises the app on one node and captures it. The version is made of all of this but node. A function
 *             that exists already gets the new version for calls that arrive after the answer; calls that run finish.
 *             What the daemon cannot honour (a language, samples, a limit) is refused with ENOTSUP, never ignored.
 *             + progress {stage: str "receive|start|load|capture|publish", text: str, fraction: double 0 to 1}
 *             → deployed: as result, below, without rank and output: function (the first), version, node, instance and
 *               pid of the host, start ("cold", or "warm" if that very version was there), ns: {start: until `ready`,
 *               first_instruction: 0, run: load, total}, and capture_ns: uint, stall_ns: uint (host stopped),
 *               image_bytes: uint
 *             → error: what the module raised, with type, message, traceback and log_tail, or why it cannot be captured
 *
 *   remove    {name: str}     a function; the app goes with its last one. Running calls end with EREVOKED.
 *             → removed {instances: uint (ended)}
 *
 *   call      {name: str, data: bin (JSON text, or bytes), binary?: bool [false], node?: uint (must run there) [0],
 *              deadline_ms?: uint from arrival here [0: the function's], detach?: bool [false], follow?: bool [false],
 *              rank?: uint [0], size?: uint [1]}
 *             + accepted {call: str}     once, first, always: the call's id, CLIENT_CALL_MAX bytes of [0-9a-z.-]
 *             + log …                    when follow: as for `logs`
 *             → result                   detached: at once, with call, function and version only
 *
 *   burst     {name, data, binary?, deadline_ms?: as in call, n: uint (1 to CLIENT_MAX_BURST), node?: uint [0]}
 *             n calls at the same time, each in an instance of its own, rank 0 to n-1, size n. An instance that could
 *             not be had is a result with an error.
 *             + accepted {call: str}     the group's id, good for cancel and logs
 *             + result {…}               n times, each rank once, as they come
 *             → summary {n: uint, ok: uint, failed: uint, warm: uint, local_fork: uint, remote_fork: uint, cold: uint,
 *                nodes: uint (that took part), total: uint ns}
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
 *   list      {what: str "ps|nodes|functions|seeds", node?: uint [0: all]}    tenants see their own; root sees all
 *             → rows {rows: [map], silent: [uint] (nodes that did not answer in time)}
 *               nodes:     {node: uint, name: str, state: str "up|down", listen: str, data: str, transport: str,
 *                           class: str, cores: uint, mem: uint, pager: str "uffd|eager", instances: uint,
 *                           templates: uint, seeds: uint, cache_bytes: uint, calls: uint, version: str, pid: uint,
 *                           uptime_ms: uint}
 *               functions: {function: str, app: str, lang: str, version: str, generation: uint, uid: uint, handler: str,
 *                           fresh: str, idempotent: bool, seeds: uint (nodes that hold one), instances: uint,
 *                           calls: uint, failed: uint, warm: uint, local_fork: uint, remote_fork: uint, cold: uint}
 *               seeds:     {seed: str, app: str, version: str, generation: uint, epoch: uint, node: uint, role: str
 *                           "origin|copy", source_node: uint, image_bytes: uint, cached_bytes: uint,
 *                           working_set_bytes: uint, template: bool, instances: uint, class: str}
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

#endif
