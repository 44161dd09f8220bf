/* When a connection counts as dead, and when it must show that it lives: see pulse.h. */
#include "transport/pulse.h"

#include "base/cleanup.h"
#include "base/clock.h"

#define HEARTBEATS_PER_TIMEOUT 8

static uint64_t since(uint64_t then, uint64_t now)
{
	return now > then ? now - then : 0;
}

void pulse_agree(struct pulse *pulse, unsigned timeout_ms)
{
	pulse->timeout_ns = timeout_ms * NSEC_PER_MSEC;
}

void pulse_open(struct pulse *pulse, struct transport *t)
{
	pulse->rx_ns = pulse->tx_ns = pulse->answered_ns = now_ns();
	transport_tick_faster(t, pulse->timeout_ns / HEARTBEATS_PER_TIMEOUT);
}

void pulse_answered(struct pulse *pulse, uint64_t when)
{
	pulse->answered_ns = MAX(pulse->answered_ns, when);
}

void pulse_excuse(struct pulse *pulse, uint64_t stood_ns, uint64_t now)
{
	pulse->rx_ns += MIN(stood_ns, since(pulse->rx_ns, now));
	pulse->answered_ns += MIN(stood_ns, since(pulse->answered_ns, now));
}

bool pulse_silent(const struct pulse *pulse, uint64_t now)
{
	return since(pulse->rx_ns, now) >= pulse->timeout_ns;
}

int pulse_check(const struct pulse *pulse, const struct transport_conn *conn, bool open,
	uint64_t now, struct ramet_err *err)
{
	const unsigned handshake_ms = conn->transport->options.handshake_ms;
	if (!open)
		return now < pulse->since_ns + handshake_ms * NSEC_PER_MSEC
			? 0
			: err_set(err, RAMET_EPEER, "did not answer within %u ms", handshake_ms);
	uint64_t silence = since(pulse->rx_ns, now);
	bool answers = since(pulse->answered_ns, now) < pulse->timeout_ns;
	if (silence >= (answers ? PULSE_PATIENCE : 1) * pulse->timeout_ns)
		return err_set(err, RAMET_EPEER, "no sign of life for %llu ms%s",
			(unsigned long long)(silence / NSEC_PER_MSEC),
			answers ? ", but of its machine" : "");
	if (conn->state == CONN_CLOSING && now >= pulse->since_ns + pulse->timeout_ns)
		return err_set(err, RAMET_ECLOSED, "closed with operations in flight");
	return 0;
}

bool pulse_due(const struct pulse *pulse, uint64_t now)
{
	return now >= pulse->tx_ns + pulse->timeout_ns / HEARTBEATS_PER_TIMEOUT;
}
