/* The clock of a connection that has a wire: how long its handshake, its silence and its close may
 * last, and when a heartbeat is due. It keeps times and judges; providers say and end. */
#ifndef TRANSPORT_PULSE_H
#define TRANSPORT_PULSE_H

#include "transport/provider.h"

struct pulse {
	uint64_t timeout_ns; /* agreed: silence for so long is death */
	uint64_t since_ns; /* began to connect, or to close */
	uint64_t rx_ns, tx_ns; /* when something last came, and last went */
};

void pulse_agree(struct pulse *pulse, unsigned timeout_ms);
/* pulse_open - the handshake is over; the ticker runs often enough for heartbeats */
void pulse_open(struct pulse *pulse, struct transport *t);
/* pulse_silent - nothing came for too long. It may be us who slept: look for what has come since,
 * then ask pulse_check(). */
bool pulse_silent(const struct pulse *pulse, uint64_t now);
/* pulse_check - whether the connection has to end by now: 0, or the code to end it with and why */
int pulse_check(const struct pulse *pulse, const struct transport_conn *conn, bool open,
	uint64_t now, struct ramet_err *err);
/* pulse_due - the peer should hear from us, if only a heartbeat */
bool pulse_due(const struct pulse *pulse, uint64_t now);

#endif
