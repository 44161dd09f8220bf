/* clang-format off */
/* What nodes say to each other: ZeroMQ messages of two parts, header and body, each one msgpack map.
 *
 * header  {t: str, from: uint (node), req: uint, load?: map}
 *         t: the type of a request (req > 0, chosen by the asker) or notice (req 0, no answer); or, in what
 *         comes back, "answer" or "error" with the req of the request, before which there may be any number of "part".
 * body    fields of the type, below; of "error": {error: wire_err map}
 * load    {instances, busy, queued, capacity, templates, seeds, cache, calls, registry}: of the sender, in
 *         answers and notices
 *
 * A request goes by the asker's DEALER to the peer's ROUTER, its answer back the same way. Messages that are
 * malformed, of unknown type or from a node that is not configured are dropped (unknown requests of known
 * nodes get EPROTO), and logged with a limit. Keys marked ? may be missing. Unknown keys are ignored.
 *
 * Membership (members.c)
 *   hello      {proto: uint BUS_PROTO, node, name, listen, data, transport, version, incarnation, class_id,
 *               class_text, eager, python: bool, cores, mem, pid, started}
 *              → the same of the other side; or error EVERSION, EINVAL (a node number is used twice)
 *   ping       {alive: bool (you are, for me)}                              notice, each MEMBER_BEAT_MS
 *   holdings   {list: [{version, seed: bin 16, epoch, secret: bin 32, idle, origin: bool}]}  notice, on change
 *   bye        {}                                                           notice: I end now
 *
 * Registry (registry.c)
 *   registry   {entries: [{name, uid, generation, node, version: str ("" removed), latest?: str}], versions: {id: map}}
 *              notice: on change, and all of it to a node that was just met or whose digest differs
 *
 * Secrets (secrets.c)
 *   secrets    {entries: [{uid, app, name, generation, node, time: uint ms, value?: bin (else removed)}]}
 *              on change; as a notice all of them, to a node that was just met or whose digest differs
 *
 * Files (bundle.c, file_transfer.c)
 *   bundle.read  {version: str, offset: uint, len: uint ≤ BUNDLE_CHUNK}     → {total: uint, data: bin}
 *   bundle.push  {version: str, archive: bin}                               notice
 *   file.read    {sha256: bin 32, uid: uint, offset: uint, len: uint ≤ FILE_CHUNK}  → {total: uint, data: bin}
 *
 * On behalf of a client of the asking node (clients_peer.c); uid: the client's
 *   deploy     {version: str, meta: map, id: uint}   fetch its bundle from the asker, initialise and capture it here
 *              → as `deployed` of client_proto.h, or error; notices `progress` meanwhile
 *   progress   {id: uint, stage: str, text: str, fraction: double}          notice
 *   undeploy   {id: uint}                                                   notice: cancel it, if it is not captured yet
 *   list       {what: str, uid: uint}                                       → {count: uint, rows: bin}, of this node only (gather.h)
 *   logs       {uid, all, call, instance, function}   → {chunks: [map as `log` of client_proto.h], lost: uint}: what is kept
 *   follow     {id: uint, uid, all, call, instance, function}             notice: then notices log, until unfollow
 *   log        {id: uint, chunk: map}                                     notice
 *   unfollow   {id: uint}                                                 → {sent: uint (notices log), lost: uint}
 *   doctor     {}                                                           → {count: uint, rows: bin}, checks as in client_proto.h
 *
 * Seeds, calls, leases and bursts have messages of their own: see seeds_peer.c, calls_remote.c, leases_remote.h, bursts.c. */
/* clang-format on */
#ifndef CLUSTER_BUS_PROTO_H
#define CLUSTER_BUS_PROTO_H

#define BUS_PROTO 1
#define BUS_MAX_MESSAGE (80u << 20) /* of one part: a payload of 64 MiB and its envelope */
#define BUS_MAX_HEADER 4096
#define BUS_MAX_INFLIGHT 65536
#define BUS_TYPE_MAX 31
#define BUS_WIRE_DEPTH 8
#define BUS_WIRE_ITEMS 262144

#endif
