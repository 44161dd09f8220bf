/* The clock of a connection that has a wire: how long its handshake, its silence and its close may
 * last, and when a heartbeat is due. It keeps times and judges; providers say and end.
 *
 * Two voices of a peer are told apart: its process's (bytes of the protocol) and its machine's (its
 * kernel or device acknowledges what we send). A machine that was not heard for the timeout is
 * dead. While it acknowledges, its process may merely be slow, or what it says be lost on the way
 * and sent again: that has PULSE_PATIENCE times as long. */
#ifndef TRANSPORT_PULSE_H
#define TRANSPORT_PULSE_H

#include "transport/provider.h"

#define PULSE_PATIENCE 3 /* timeouts that a process may be silent while its machine answers */

struct pulse {
	uint64_t timeout_ns; /* agreed */
	uint64_t since_ns; /* began to connect, or to close */
	uint64_t rx_ns, tx_ns; /* when something last came, and last went */
	uint64_t answered_ns; /* when the peer's machine last acknowledged, as far as was looked */
};

void pulse_agree(struct pulse *pulse, unsigned timeout_ms);
/* pulse_open - the handshake is over; the ticker runs often enough for heartbeats */
void pulse_open(struct pulse *pulse, struct transport *t);
/* pulse_answered - the peer's machine acknowledged something at that time */
void pulse_answered(struct pulse *pulse, uint64_t when);
/* pulse_excuse - our own loop stood still for so long before `now`: that was no silence of the
 * peer's */
void pulse_excuse(struct pulse *pulse, uint64_t stood_ns, uint64_t now);
/* pulse_silent - nothing came for too long. It may be us who slept: look for what has come since,
 * and whether its machine answers, then ask pulse_check(). */
bool pulse_silent(const struct pulse *pulse, uint64_t now);
/* pulse_check - whether the connection has to end by now: 0, or the code to end it with and why */
int pulse_check(const struct pulse *pulse, const struct transport_conn *conn, bool open,
	uint64_t now, struct ramet_err *err);
/* pulse_due - the peer should hear from us, if only a heartbeat */
bool pulse_due(const struct pulse *pulse, uint64_t now);

#endif
