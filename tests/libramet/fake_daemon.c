/* The fake rametd: sockets and threads. What it answers is in fake_answers.c. */
#include "tests/libramet/fake_daemon.h"

#include "base/frame.h"
#include "cluster/client_proto.h"
#include "tests/libramet/fake_answers.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MAX_CONNECTIONS 64
#define MAX_TYPES 32

struct fake_daemon {
	char path[108];
	unsigned node;
	int listen_fd, shutdown_fd;
	pthread_t acceptor;
	pthread_mutex_t lock;
	struct message *last[MAX_TYPES];
	struct {
		pthread_t thread;
		int fd;
	} connections[MAX_CONNECTIONS];
	unsigned count;
};

struct served {
	struct fake_daemon *fake;
	int fd;
};

static void remember(struct fake_daemon *fake, struct message *message)
{
	pthread_mutex_lock(&fake->lock);
	for (unsigned i = 0; i < MAX_TYPES; i++) {
		struct message *old = fake->last[i];
		if (old && !message_is(old, message->type))
			continue;
		fake->last[i] = message;
		message_free(old);
		break;
	}
	pthread_mutex_unlock(&fake->lock);
}

const struct message *fake_daemon_last(struct fake_daemon *fake, const char *type)
{
	const struct message *found = NULL;
	pthread_mutex_lock(&fake->lock);
	for (unsigned i = 0; i < MAX_TYPES && fake->last[i]; i++)
		if (message_is(fake->last[i], type))
			found = fake->last[i];
	pthread_mutex_unlock(&fake->lock);
	return found;
}

static void *serve(void *arg)
{
	auto_free struct served *served = arg;
	struct fake_answers answers = {.fd = served->fd, .node = served->fake->node};
	for (bool go_on = true; go_on;) {
		unsigned char *data;
		size_t len;
		int fds[FRAME_MAX_FDS];
		unsigned nfds = FRAME_MAX_FDS;
		struct message *kept;
		auto_message struct message *message = NULL;
		struct ramet_err err = {0};
		if (frame_read(served->fd, CLIENT_MAX_FRAME, &data, &len, fds, &nfds, 0, &err) < 0)
			break;
		while (nfds > 0)
			close(fds[--nfds]);
		int rc = message_parse(data, len, &message, &err);
		if (rc == 0 && message_parse(data, len, &kept, &err) == 0)
			remember(
				served->fake, kept); /* before the answer, after which tests look */
		free(data);
		if (rc < 0)
			break;
		bool ends = message_is(message, "shutdown");
		go_on = fake_answer(&answers, message);
		if (ends)
			eventfd_write(served->fake->shutdown_fd, 1);
	}
	shutdown(served->fd, SHUT_RDWR);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct fake_daemon *fake = arg;
	for (;;) {
		int fd = accept4(fake->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return NULL;
		struct served *served = calloc(1, sizeof(*served));
		served->fake = fake;
		served->fd = fd;
		fake->connections[fake->count].fd = fd;
		pthread_create(&fake->connections[fake->count].thread, NULL, serve, served);
		if (++fake->count == MAX_CONNECTIONS)
			return NULL;
	}
}

struct fake_daemon *fake_daemon_start(const char *path, unsigned node)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct fake_daemon *fake = calloc(1, sizeof(*fake));
	char temporary[sizeof(addr.sun_path)];
	snprintf(fake->path, sizeof(fake->path), "%s", path);
	snprintf(temporary, sizeof(temporary), "%.100s.new", path);
	memcpy(addr.sun_path, temporary, sizeof(temporary));
	fake->node = node;
	fake->shutdown_fd = eventfd(0, EFD_CLOEXEC);
	fake->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(temporary);
	if (bind(fake->listen_fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		listen(fake->listen_fd, 64) < 0 || rename(temporary, path) < 0) {
		close_keep_errno(fake->listen_fd);
		close_keep_errno(fake->shutdown_fd);
		free(fake);
		return NULL;
	}
	pthread_mutex_init(&fake->lock, NULL);
	pthread_create(&fake->acceptor, NULL, accept_all, fake);
	return fake;
}

void fake_daemon_stop(struct fake_daemon *fake)
{
	shutdown(fake->listen_fd, SHUT_RDWR); /* ends accept4() */
	pthread_join(fake->acceptor, NULL);
	for (unsigned i = 0; i < fake->count; i++) {
		shutdown(fake->connections[i].fd, SHUT_RDWR);
		pthread_join(fake->connections[i].thread, NULL);
		close(fake->connections[i].fd);
	}
	for (unsigned i = 0; i < MAX_TYPES; i++)
		message_free(fake->last[i]);
	close(fake->listen_fd);
	close(fake->shutdown_fd);
	unlink(fake->path);
	pthread_mutex_destroy(&fake->lock);
	free(fake);
}

void fake_daemon_wait_shutdown(struct fake_daemon *fake, int fd)
{
	struct pollfd fds[2] = {
		{.fd = fake->shutdown_fd, .events = POLLIN},
		{.fd = fd, .events = POLLIN},
	};
	while (poll(fds, 2, -1) < 0)
		;
}
