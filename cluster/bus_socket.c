/* ZeroMQ sockets as the bus uses them: see bus_socket.h. */
#include "cluster/bus_socket.h"

#include "base/cleanup.h"
#include "cluster/bus_proto.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#define BUS_HEARTBEAT_MS 200
#define BUS_CONNECT_TIMEOUT_MS 1600
#define BUS_RECONNECT_MS 50
#define BUS_RECONNECT_MAX_MS 400
#define BUS_LINGER_MS 200

static int zmq_fail(struct ramet_err *err, const char *what, const char *addr)
{
	int sys = zmq_errno();
	int code = sys == EADDRINUSE ? RAMET_EEXIST : RAMET_EIO;
	const char *hint = sys == EADDRINUSE ? " (the port is in use)" : "";
	err_set(err, code, "%s %s: %s%s", what, addr, zmq_strerror(sys), hint);
	if (err)
		err->sys = sys;
	return code;
}

static void set_int(void *zmq, int option, int value)
{
	zmq_setsockopt(zmq, option, &value, sizeof(value));
}

static void *socket_new(void *ctx, int type, const char *addr, unsigned silence_ms)
{
	void *zmq = zmq_socket(ctx, type);
	if (!zmq)
		return NULL;
	int64_t max = BUS_MAX_MESSAGE;
	zmq_setsockopt(zmq, ZMQ_MAXMSGSIZE, &max, sizeof(max));
	set_int(zmq, ZMQ_LINGER, BUS_LINGER_MS);
	set_int(zmq, ZMQ_SNDHWM, BUS_MAX_INFLIGHT);
	set_int(zmq, ZMQ_RCVHWM, BUS_MAX_INFLIGHT);
	set_int(zmq, ZMQ_HEARTBEAT_IVL, BUS_HEARTBEAT_MS);
	set_int(zmq, ZMQ_HEARTBEAT_TIMEOUT, (int)silence_ms);
	if (addr[0] == '[')
		set_int(zmq, ZMQ_IPV6, 1);
	return zmq;
}

int bus_socket_bind(void *ctx, const char *addr, unsigned silence_ms, struct bus_socket *socket,
	char *ret_addr, size_t cap, struct ramet_err *err)
{
	socket->zmq = socket_new(ctx, ZMQ_ROUTER, addr, silence_ms);
	if (!socket->zmq)
		return zmq_fail(err, "make the bus socket for", addr);
	/* a reply to a peer that has gone is an error, not a silent loss */
	set_int(socket->zmq, ZMQ_ROUTER_MANDATORY, 1);

	char endpoint[256];
	snprintf(endpoint, sizeof(endpoint), "tcp://%s", addr);
	if (zmq_bind(socket->zmq, endpoint) < 0)
		return zmq_fail(err, "listen: bind", addr);

	size_t len = sizeof(endpoint);
	if (zmq_getsockopt(socket->zmq, ZMQ_LAST_ENDPOINT, endpoint, &len) < 0)
		return zmq_fail(err, "learn the address bound for", addr);
	snprintf(ret_addr, cap, "%s", endpoint + strlen("tcp://"));
	return 0;
}

static int monitor_start(
	void *ctx, void *of, const char *name, struct bus_socket *monitor, struct ramet_err *err)
{
	char endpoint[64];
	snprintf(endpoint, sizeof(endpoint), "inproc://monitor-%s", name);
	if (zmq_socket_monitor(
		    of, endpoint, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) < 0)
		return zmq_fail(err, "monitor the connection to node", name);
	monitor->zmq = zmq_socket(ctx, ZMQ_PAIR);
	if (!monitor->zmq || zmq_connect(monitor->zmq, endpoint) < 0)
		return zmq_fail(err, "monitor the connection to node", name);
	return 0;
}

int bus_socket_connect(void *ctx, const char *addr, unsigned silence_ms, const char *name,
	struct bus_socket *socket, struct bus_socket *monitor, struct ramet_err *err)
{
	socket->zmq = socket_new(ctx, ZMQ_DEALER, addr, silence_ms);
	if (!socket->zmq)
		return zmq_fail(err, "make a bus socket for", addr);
	/* queue only where there is a connection: to a peer that is away, sending fails at once */
	set_int(socket->zmq, ZMQ_IMMEDIATE, 1);
	set_int(socket->zmq, ZMQ_RECONNECT_IVL, BUS_RECONNECT_MS);
	set_int(socket->zmq, ZMQ_RECONNECT_IVL_MAX, BUS_RECONNECT_MAX_MS);
	set_int(socket->zmq, ZMQ_CONNECT_TIMEOUT, BUS_CONNECT_TIMEOUT_MS);
	int rc = monitor_start(ctx, socket->zmq, name, monitor, err);
	if (rc < 0)
		return rc;

	char endpoint[256];
	snprintf(endpoint, sizeof(endpoint), "tcp://%s", addr);
	if (zmq_connect(socket->zmq, endpoint) < 0)
		return zmq_fail(err, "connect to the node at", addr);
	return 0;
}

static void on_watch(struct loop_watch *watch, uint32_t events)
{
	struct bus_socket *socket = container_of(watch, struct bus_socket, watch);
	socket->on_ready(socket);
}

int bus_socket_watch(struct bus_socket *socket, struct loop *loop,
	void (*on_ready)(struct bus_socket *), struct ramet_err *err)
{
	int fd;
	size_t len = sizeof(fd);
	if (zmq_getsockopt(socket->zmq, ZMQ_FD, &fd, &len) < 0)
		return zmq_fail(err, "watch", "a bus socket");
	socket->on_ready = on_ready;
	socket->check = true; /* what came before the watch gives no edge */
	return loop_watch_add(loop, &socket->watch, fd, EPOLLIN, on_watch, err);
}

void bus_socket_close(struct bus_socket *socket)
{
	loop_watch_remove(&socket->watch);
	if (socket->zmq)
		zmq_close(socket->zmq);
	socket->zmq = NULL;
}

/* part 0 of a DEALER's message is the header; a ROUTER puts the sender's identity before it */
bool bus_socket_recv(struct bus_socket *socket, bool router, struct bus_message *msg, bool *ret_bad)
{
	zmq_msg_t *parts[] = {&msg->id, &msg->header, &msg->body};
	unsigned next = router ? 0 : 1;
	bool more = true, bad = false;
	zmq_msg_init(&msg->id);
	zmq_msg_init(&msg->header);
	zmq_msg_init(&msg->body);
	for (bool first = true; more; first = false) {
		zmq_msg_t extra;
		zmq_msg_init(&extra);
		zmq_msg_t *part = next < ARRAY_LEN(parts) ? parts[next] : &extra;
		int rc = zmq_msg_recv(part, socket->zmq, ZMQ_DONTWAIT);
		if (rc >= 0)
			more = zmq_msg_more(part);
		bad |= next >= ARRAY_LEN(parts);
		zmq_msg_close(&extra);
		if (rc < 0) {
			if (first) {
				bus_message_fini(msg);
				return false;
			}
			bad = true;
			break;
		}
		next++;
	}
	*ret_bad = bad || next < ARRAY_LEN(parts);
	return true;
}

void bus_message_fini(struct bus_message *msg)
{
	zmq_msg_close(&msg->id);
	zmq_msg_close(&msg->header);
	zmq_msg_close(&msg->body);
}

/* on a thread of ZeroMQ's: its queues order this after part_take(), which ThreadSanitizer cannot
 * see
 */
static void free_data(void *data, void *hint)
{
#ifdef __SANITIZE_THREAD__
	__tsan_acquire(data);
#endif
	free(data);
}

static int part_take(zmq_msg_t *part, struct buf *b)
{
	size_t len;
	unsigned char *data = buf_steal(b, &len);
	if (!data)
		return zmq_msg_init(part);
#ifdef __SANITIZE_THREAD__
	__tsan_release(data);
#endif
	if (zmq_msg_init_data(part, data, len, free_data, NULL) < 0) {
		free(data);
		zmq_msg_init(part);
		return RAMET_ENOMEM;
	}
	return 0;
}

static int send_parts(void *zmq, zmq_msg_t *parts, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		int flags = ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0);
		if (zmq_msg_send(&parts[i], zmq, flags) < 0)
			return RAMET_EPEER;
	}
	return 0;
}

int bus_socket_send(
	struct bus_socket *socket, const zmq_msg_t *id, struct buf *header, struct buf *body)
{
	zmq_msg_t parts[3];
	unsigned count = 0;
	int rc = header->oom || body->oom ? RAMET_ENOMEM : 0;
	if (id) {
		zmq_msg_init(&parts[count]);
		if (zmq_msg_copy(&parts[count], (zmq_msg_t *)(uintptr_t)id) < 0)
			rc = RAMET_ENOMEM;
		count++;
	}
	if (part_take(&parts[count++], header) < 0 || part_take(&parts[count++], body) < 0)
		rc = RAMET_ENOMEM;
	if (rc == 0) {
		rc = send_parts(socket->zmq, parts, count);
		socket->check = true;
	}
	buf_fini(header);
	buf_fini(body);
	for (unsigned i = 0; i < count; i++)
		zmq_msg_close(&parts[i]); /* what was sent is empty by now */
	return rc;
}

int bus_monitor_recv(struct bus_socket *monitor)
{
	zmq_msg_t event, addr;
	int told = 0;
	while (told == 0) {
		zmq_msg_init(&event);
		zmq_msg_init(&addr);
		if (zmq_msg_recv(&event, monitor->zmq, ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&event);
			break;
		}
		uint16_t what = 0;
		if (zmq_msg_size(&event) >= sizeof(what))
			memcpy(&what, zmq_msg_data(&event), sizeof(what));
		if (zmq_msg_more(&event))
			zmq_msg_recv(&addr, monitor->zmq, ZMQ_DONTWAIT);
		if (what == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
			told = 1;
		else if (what == ZMQ_EVENT_DISCONNECTED)
			told = -1;
		zmq_msg_close(&event);
		zmq_msg_close(&addr);
	}
	return told;
}
