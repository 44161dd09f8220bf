/* Requests about the node itself: ready, doctor, shutdown. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bus.h"
#include "cluster/doctor.h"
#include "cluster/gather.h"
#include "cluster/members.h"
#include "cluster/node.h"

#include <stdlib.h>
#include <unistd.h>

#define DOCTOR_MAX_ROWS 4096

/* --- ready --- */

struct ready {
	struct client_request request; /* first */
	uint32_t nodes;
	uint64_t timeout_ms;
	struct loop_timer timer;
};

static unsigned nodes_up(const struct client_request *request)
{
	return members_ready(request->clients->node->members) + 1;
}

static void on_timeout(struct loop_timer *timer)
{
	struct ready *ready = container_of(timer, struct ready, timer);
	struct ramet_err error = {0};
	err_set(&error, RAMET_ETIMEOUT, "after %llu ms %u of %u nodes are up",
		(unsigned long long)ready->timeout_ms, nodes_up(&ready->request), ready->nodes);
	client_request_fail(&ready->request, &error);
}

void clients_ready_check(struct client_request *request)
{
	const struct ready *ready = container_of(request, struct ready, request);
	struct buf b = {0};
	if (nodes_up(request) < ready->nodes)
		return;
	client_message(&b, "ready", request->req, 1);
	wire_kuint(&b, "nodes", nodes_up(request));
	client_request_answer(request, &b);
}

static int ready_cancel(struct client_request *request, struct ramet_err *err)
{
	struct ramet_err error = {0};
	err_set(&error, RAMET_ECANCELED, "waiting for nodes was cancelled");
	client_request_fail(request, &error);
	return 0;
}

static void ready_free(struct client_request *request)
{
	struct ready *ready = container_of(request, struct ready, request);
	loop_timer_cancel(&ready->timer);
	free(ready);
}

const struct client_request_ops clients_ready_ops = {
	.cancel = ready_cancel,
	.abandon = client_request_end,
	.free = ready_free,
};

int clients_on_ready(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct node *node = client->clients->node;
	struct client_request *request;
	uint64_t nodes = 0, timeout_ms = 0;
	int rc = wire_get_uint(body, "nodes", UINT32_MAX, &nodes, err);
	if (rc == 0)
		rc = wire_get_uint(body, "timeout_ms", UINT32_MAX, &timeout_ms, err);
	if (rc == 0 && nodes > members_count(node->members) + 1)
		rc = err_set(err, RAMET_EINVAL, "%u nodes: node %u is configured for %u",
			(unsigned)nodes, node->config.node, members_count(node->members) + 1);
	if (rc == 0)
		rc = client_request_begin(
			client, req, sizeof(struct ready), &clients_ready_ops, &request, err);
	if (rc != 0)
		return rc;
	struct ready *ready = container_of(request, struct ready, request);
	ready->nodes = (uint32_t)nodes;
	ready->timeout_ms = timeout_ms;
	rc = loop_timer_set(
		node->loop, &ready->timer, now_ns() + timeout_ms * NSEC_PER_MSEC, on_timeout);
	if (rc < 0) {
		client_request_end(request);
		return err_nomem(err);
	}
	clients_ready_check(request);
	return 0;
}

/* --- doctor --- */

struct doctor {
	struct client_request request; /* first */
	struct gather *gather;
	struct buf checks;
	uint32_t count;
};

static void doctor_free(struct client_request *request)
{
	struct doctor *doctor = container_of(request, struct doctor, request);
	gather_cancel(doctor->gather);
	buf_fini(&doctor->checks);
	free(doctor);
}

static const struct client_request_ops doctor_ops = {
	.abandon = client_request_end, .free = doctor_free};

static int on_doctor_answer(void *user, uint32_t node, const struct wire_value *body)
{
	struct doctor *doctor = user;
	return gather_take_rows(body, &doctor->checks, &doctor->count, DOCTOR_MAX_ROWS, NULL);
}

static void on_doctor_done(void *user, const uint32_t *silent, unsigned nsilent)
{
	struct doctor *doctor = user;
	struct buf b = {0};
	doctor->gather = NULL;
	for (unsigned i = 0; i < nsilent; i++)
		doctor_pack_silent(silent[i], &doctor->checks, &doctor->count);
	client_message(&b, "checks", doctor->request.req, 1);
	wire_key(&b, "checks");
	wire_array(&b, doctor->count);
	wire_raw(&b, doctor->checks.data, doctor->checks.len);
	b.oom |= doctor->checks.oom;
	client_request_answer(&doctor->request, &b);
}

static const struct gather_handler doctor_handler = {
	.on_answer = on_doctor_answer, .on_done = on_doctor_done};

int clients_on_doctor(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct client_request *request;
	struct buf question = {0};
	int rc = client_request_begin(
		client, req, sizeof(struct doctor), &doctor_ops, &request, err);
	if (rc != 0)
		return rc;
	struct doctor *doctor = container_of(request, struct doctor, request);
	doctor_pack(client->clients->node, &doctor->checks, &doctor->count);
	wire_map(&question, 0);
	rc = gather_start(client->clients->node, 0, "doctor", &question, &doctor_handler, doctor,
		&doctor->gather, err);
	buf_fini(&question);
	if (rc < 0)
		client_request_end(request);
	return rc;
}

void clients_on_peer_doctor(
	struct node *node, struct bus_request *request, const struct wire_value *body)
{
	struct buf checks = {0}, b = {0};
	uint32_t count = 0;
	doctor_pack(node, &checks, &count);
	gather_pack_rows(&b, count, &checks);
	buf_fini(&checks);
	bus_reply(request, &b);
}

/* --- shutdown --- */

int clients_on_shutdown(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct node *node = client->clients->node;
	if (client->uid != 0 && client->uid != geteuid())
		return err_set(
			err, RAMET_EPERM, "only root and user %u may end this rametd", geteuid());
	log_info("node.shutdown", "uid=%u", client->uid);
	struct buf b = {0};
	client_message(&b, "closing", req, 0);
	client_send(client, &b);
	node_stop(node);
	return 0;
}
