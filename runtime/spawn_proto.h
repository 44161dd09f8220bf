/* What rametd and ramet-spawn say to each other: frames with descriptors, each one msgpack map with "t" = the type and,
 * in requests and their answers, "req" (uint). ramet-spawn trusts rametd; rametd checks what comes back all the same.
 *
 * rametd → ramet-spawn                                                       descriptors
 *   host      {req, inst: uint, argv: [str], env: [str "K=V"], dir: str (bind at the same path, read-only),   control, log
 *              tenant: {uid, gid, name: str}, group: str (cgroup leaf; "" none), limits: {mem: uint, pids: uint}}
 *             → started {req, inst, pid}                                     pidfd
 *   template  {req, tmpl: uint, files: [str], tenant, group, limits, uffd: bool, record: bool,                descriptor, image
 *              mono_offset: int ns, boot_offset: int ns}
 *             files: a local path for each file of the descriptor, in its order, already checked to be the same file.
 *             uffd: register userfaultfd on image pieces. record: register it MODE_WP only, for an exact working set.
 *             → built {req, tmpl, us: uint}
 *   clone     {req, tmpl, inst: uint}                                          control, log
 *             → cloned {req, inst, pid, us_sandbox: uint, begin: uint (monotonic ns, request sent to the stub)}   pidfd, [uffd]
 *   kill      {inst}   SIGKILL to everything in the instance's sandbox. No answer but the exited event.
 *   drop      {tmpl}   end the template (its instances live on)
 *   stats     {req} → stats {req, sandboxes: uint, templates: uint, instances: uint}
 *   A request that fails is answered by error {req, error: {code, sys, msg}} (wire_err).
 *
 * ramet-spawn → rametd, unasked
 *   exited    {inst, status: int (exit code, or -1), signal: int (0 none), core: bool, utime_us, stime_us, maxrss_kb}
 *   gone      {tmpl, error}   a template died by itself
 */
#ifndef RUNTIME_SPAWN_PROTO_H
#define RUNTIME_SPAWN_PROTO_H

#define SPAWN_MAX_FRAME (1u << 20)

#endif
