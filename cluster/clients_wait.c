/* The requests wait, for the result of a detached call, and cancel, which ends any other request.
 */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "cluster/bursts.h"
#include "cluster/calls.h"
#include "cluster/node.h"

#include <stdlib.h>

/* --- wait --- */

struct wait {
	struct client_request request; /* first */
	struct call_wait *wait; /* NULL: it is over */
};

static int wait_cancel(struct client_request *request, struct ramet_err *err)
{
	struct ramet_err cancelled = {0};
	err_set(&cancelled, RAMET_ECANCELED, "waiting was cancelled; the call goes on");
	client_request_fail(request, &cancelled);
	return 0;
}

static void wait_free(struct client_request *request)
{
	struct wait *wait = container_of(request, struct wait, request);
	if (wait->wait)
		calls_wait_cancel(wait->wait);
	free(wait);
}

static const struct client_request_ops wait_ops = {
	.cancel = wait_cancel,
	.abandon = client_request_end,
	.free = wait_free,
};

static void on_wait_done(void *user, const struct call_result *result)
{
	struct wait *wait = user;
	wait->wait = NULL;
	/* a result without a function is about the waiting, not about the call */
	if (!result->function[0] && result->error.err.code) {
		client_request_fail_with(&wait->request, &result->error);
		return;
	}
	struct buf b = {0};
	client_pack_result(&b, "result", wait->request.req, result);
	client_request_answer(&wait->request, &b);
}

int clients_on_wait(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct client_request *request;
	char id[CALL_ID_MAX];
	uint64_t timeout_ns = 0;
	int rc = wire_get_str(body, "call", id, sizeof(id), err);
	if (rc == 0)
		rc = client_get_ms(body, "timeout_ms", &timeout_ns, err);
	if (rc == 0)
		rc = client_request_begin(
			client, req, sizeof(struct wait), &wait_ops, &request, err);
	if (rc != 0)
		return rc;
	struct wait *wait = container_of(request, struct wait, request);
	rc = calls_wait(client->clients->node->calls, client->uid, id, timeout_ns, on_wait_done,
		wait, &wait->wait, err);
	if (rc < 0) {
		wait->wait = NULL;
		client_request_end(request);
	}
	return rc;
}

/* --- cancel --- */

static int cancel_id(struct client *client, const char *id, struct ramet_err *err)
{
	struct node *node = client->clients->node;
	if (calls_cancel(node->calls, client->uid, id) == 0 ||
		bursts_cancel(node->bursts, client->uid, id) == 0)
		return 0;
	return err_set(err, RAMET_ENOTFOUND, "no call %s: it is over, or never was", id);
}

static int cancel_request(struct client *client, uint64_t of, struct ramet_err *err)
{
	struct client_request *request = client_find_request(client, of);
	if (!request)
		return err_set(err, RAMET_ENOTFOUND, "request %llu is over, or never was",
			(unsigned long long)of);
	if (!request->ops->cancel)
		return err_set(err, RAMET_ENOTSUP, "a request of this kind cannot be cancelled");
	int rc = request->ops->cancel(request, err);
	if (rc < 0 && (!err || !err->code))
		err_set(err, rc, "request %llu: %s", (unsigned long long)of, err_text(rc));
	return rc;
}

int clients_on_cancel(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	char id[CALL_ID_MAX] = "";
	uint64_t of = 0;
	int rc = wire_get_uint_or(body, "of", UINT64_MAX, 0, &of, err);
	if (rc == 0)
		rc = wire_get_str_or(body, "call", "", id, sizeof(id), err);
	if (rc < 0)
		return rc;
	if (!of && !id[0])
		return err_set(err, RAMET_EPROTO, "cancel needs of or call");
	rc = of ? cancel_request(client, of, err) : cancel_id(client, id, err);
	if (rc < 0 || client->closing)
		return rc;
	struct buf b = {0};
	client_message(&b, "cancelled", req, 0);
	client_send(client, &b);
	return 0;
}
