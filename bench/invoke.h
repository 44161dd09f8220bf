/* The cases of bench/run invoke, by file: what a call costs, through the client library and a
 * cluster of daemons as anybody has them. */
#ifndef BENCH_INVOKE_H
#define BENCH_INVOKE_H

#include "bench/report.h"

#include "ramet/ramet.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* a cluster on this machine, by `ramet up`, with the functions of apps/invoke.c and apps/invoke.py
 */
struct invoke_cluster {
	char dir[64], bin[400];
	struct ramet *ramet; /* on node 1 */
	bool up;
};
int invoke_cluster_open(struct invoke_cluster *cluster, unsigned nodes, struct ramet_err *err);
/* invoke_echo_open - the same, with `echo`; to be closed also after a failure */
int invoke_echo_open(struct invoke_cluster *cluster, unsigned nodes, struct ramet_err *err);
void invoke_cluster_close(struct invoke_cluster *cluster);
int invoke_deploy(struct invoke_cluster *cluster, const char *file, const char *handler,
	const char *name, const char *fresh, struct ramet_err *err);

/* invoke_warm_up - calls a function until its calls go through a lease; *ret_pid is its instance's
 */
int invoke_warm_up(
	struct ramet *ramet, const char *function, pid_t *ret_pid, struct ramet_err *err);
/* invoke_echo - one call, which must come back as it was; microseconds */
int invoke_echo(struct ramet *ramet, const char *function, const void *data, size_t len,
	double *ret_us, struct ramet_err *err);
/* invoke_call - the same, as the options say; pid and id are filled in */
struct invoke_call {
	const char *function;
	const struct ramet_call_options *options;
	pid_t pid; /* of the instance */
	char id[40];
};
int invoke_call(struct ramet *ramet, struct invoke_call *call, const void *data, size_t len,
	double *ret_us, struct ramet_err *err);
/* invoke_node2_warm_up - so many calls of `echo` on node 2, the last of which goes through a lease;
 * invoke_node2_block measures so many, in microseconds, all of them through one */
#define INVOKE_NODE2_SIZE 64 /* bytes */
int invoke_node2_warm_up(
	struct ramet *ramet, unsigned calls, pid_t *ret_pid, struct ramet_err *err);
int invoke_node2_block(
	struct ramet *ramet, unsigned calls, struct samples *ret, struct ramet_err *err);
/* invoke_daemon - the process of a node's rametd */
int invoke_daemon(
	const struct invoke_cluster *cluster, unsigned node, pid_t *ret_pid, struct ramet_err *err);
/* invoke_report - this quantile of ours beside the median of the floor, both in microseconds */
void invoke_report(const char *name, struct samples *ours, double p, const char *baseline,
	struct samples *floor);
/* invoke_pin - a process (0: this one) to a CPU, or to all of them (-1) */
int invoke_pin(pid_t pid, int cpu, struct ramet_err *err);
/* invoke_pin_to_first - this process, and what it starts from then on */
int invoke_pin_to_first(unsigned cpus, struct ramet_err *err);

/* Bare ping-pongs between two processes, without any library: what the hardware and the kernel
 * take. One round each. */
enum pingpong_kind { PINGPONG_LINES, PINGPONG_FUTEX };
struct pingpong;
int pingpong_start(
	enum pingpong_kind kind, int peer_cpu, struct pingpong **ret, struct ramet_err *err);
double pingpong_round(struct pingpong *p); /* microseconds */
/* its other side, which looks without sleeping, leaves its CPU to others, and is back */
void pingpong_rest(struct pingpong *p);
void pingpong_resume(struct pingpong *p);
void pingpong_stop(struct pingpong *p);

/* the same over TCP, from the network that peers[0] is in to that of peers[1]; size bytes, ≤ 4096
 */
struct tcp_pingpong;
int tcp_pingpong_start(const pid_t peers[2], int cpu, size_t size, struct tcp_pingpong **ret,
	struct ramet_err *err);
int tcp_pingpong_round(struct tcp_pingpong *p, double *ret_us, struct ramet_err *err);
void tcp_pingpong_stop(struct tcp_pingpong *p); /* NULL is fine */

/* invoke_script - rows of what a script of apps/ prints ("series value") with a cluster of ours */
struct invoke_row {
	const char *name, *unit, *ours, *baseline, *theirs;
};
struct invoke_run {
	const char *name, *what; /* of the script, and its argument */
	unsigned nodes;
	const struct invoke_row *rows;
	size_t count;
	bool may_lack; /* rows may be without samples: the script has said why */
};
int invoke_script_run(const struct invoke_run *run, struct ramet_err *err);
/* invoke_script - the same, with one node */
int invoke_script(const char *name, const char *what, const struct invoke_row *rows, size_t count,
	struct ramet_err *err);

/* invoke_rate - 64 bytes, `count` calls, 1 to 64 of them on their way at any time; calls per second
 */
int invoke_rate(struct ramet *ramet, const char *function, unsigned outstanding, unsigned count,
	double *ret_rate, struct ramet_err *err);

int invoke_local(struct ramet_err *err); /* small calls on this node: spinning, sleeping, one CPU */
int invoke_far(struct ramet_err *err); /* small calls to another node */
int invoke_many(struct ramet_err *err); /* several outstanding */
int invoke_payload(struct ramet_err *err); /* large ones */
int invoke_sweep(struct ramet_err *err); /* sizes, calls outstanding, CPUs; by name */
int invoke_fresh(struct ramet_err *err); /* each in a clone of its own */
int invoke_sustained(struct ramet_err *err); /* the same, as many per second as one core gives */
int invoke_ends(struct ramet_err *err); /* a killed instance, a cancelled loop */
int invoke_python(struct ramet_err *err); /* round trips from Python */
int invoke_executor(struct ramet_err *err); /* tasks per second of executors */
int invoke_dask(struct ramet_err *err);
int invoke_redeploy(struct ramet_err *err); /* a changed function */
/* bench/run invoke --vm */
int invoke_verbs(struct ramet_err *err); /* small calls to another guest, by RDMA */

#endif
