/* The fixture of the transport suite: a client on the test's own thread and a server on a loop
 * thread of its own, with one connection between them. The server's thread is in this process, or
 * in another one that may run on another machine (transport_apart.h): cases are written for both.
 * Every case runs on every provider; what a provider cannot do is said in struct provider. */
#ifndef TESTS_CONFORMANCE_TRANSPORT_PAIR_H
#define TESTS_CONFORMANCE_TRANSPORT_PAIR_H

#include "base/loop.h"
#include "tests/lib/suite.h"
#include "transport/transport.h"

#include <pthread.h>
#include <stddef.h>

#define WAIT_NS (20ull * 1000 * 1000 * 1000) /* nothing takes so long unless it is broken */
#define SERVER_BYTES (9u << 20)
#define CLIENT_BYTES (9u << 20)
#define COMPLETIONS_MAX 4096
#define GUARD 0xa5

struct provider {
	const char *name;
	const char *addr; /* to listen on; must be free in every test */
	const char *nobody; /* an address where nobody listens */
	bool processes; /* peers can be other processes */
	bool stream; /* strangers can connect, and say any bytes */
	bool device_serves; /* also while the peer's process does not run */
	unsigned patience_ms; /* timeouts for tests that say none: busy machines stand still */
};
extern const struct provider provider_mem, provider_tcp, provider_verbs;
/* provider_find - what PROVIDER needs on this machine is there; else says what is missing */
bool provider_find(const struct provider *provider);
#ifndef PROVIDER
#error "PROVIDER names the one that a binary is built for: see CMakeLists.txt"
#endif

/* the options that tests mean: with the provider's patience where they say nothing */
struct transport_options provider_options(const struct transport_options *options);

/* Variables that functions on the server's side share with the test: they are copied to the
 * server's process before a server_call() or server_run(), and back after it; neither side sees at
 * any other time what the other one writes. All other variables are each process's own. */
#define SHARED __attribute__((section("pair_shared")))

/* counts events of the server's thread, for the client's to wait for */
struct server;
struct counter {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned count; /* of a server in another process: when it was last asked */
	struct server *far; /* the image of that server; NULL: it is in this process */
	unsigned number; /* among its counters */
};
#define SERVER_COUNTERS 6
void counter_add(struct counter *c);
unsigned counter_get(struct counter *c);
int counter_wait(struct counter *c, unsigned count); /* whether it was reached in time */

struct server {
	/* what a server in another process is seen by: with each answer of it (SERVER_PLAIN) */
	char addr[TRANSPORT_ADDR_MAX];
	unsigned char token[TRANSPORT_TOKEN_MAX];
	size_t token_len; /* what it accepts */
	struct segment_ref read_ref, write_ref;
	uint32_t last_imm;
	int doorbell_bad; /* doorbells that rang before their data was there */
	unsigned char message[TRANSPORT_SEND_MAX];
	size_t message_len;
	int closed_code, completed_status;

	unsigned far; /* its number in the other process, from 1; 0: it is in this one */
	struct counter connected, doorbells, messages, closed, drained, completed;
	unsigned char *memory; /* SERVER_BYTES, in two segments; tests use server_memory() */

	/* in its own process only */
	struct loop_thread *thread;
	struct loop *loop;
	struct transport *transport;
	struct transport_domain *domain;
	struct transport_listener *listener;
	struct transport_options options;
	struct transport_segment *readable, *writable; /* the same memory */
	struct transport_conn *conn; /* accepted last */
	/* called for each message, if set */
	void (*also_message)(struct server *s, const void *data, size_t len);
};
#define SERVER_PLAIN offsetof(struct server, far)

struct client {
	struct loop *loop;
	struct transport *transport;
	struct transport_domain *domain;
	unsigned char *memory; /* CLIENT_BYTES */
	struct transport_segment *local;
	struct transport_conn *conn;
	struct transport_completion done[COMPLETIONS_MAX];
	unsigned done_count;
	unsigned connected, closed, drained, messages, doorbells;
	int closed_code;
	/* called for each completion, if set */
	void (*also)(struct client *client, const struct transport_completion *completion);
};

struct pair {
	struct server server;
	struct client client;
	unsigned fds;
	int ok;
};

/* pair_open - options may be NULL; false, after a failed check, if something is wrong */
int pair_open(struct pair *p, const struct transport_options *options);
/* waits for the server's counter while the client's loop turns: readers must be alive to let go of
 * what has ended */
int pair_wait(struct pair *p, struct counter *counter, unsigned count);
void pair_close(struct pair *p); /* also checks that no descriptor has leaked */
/* fault_set() on both sides; each has its own count where they are two processes */
void pair_fault(const char *name, unsigned skip, unsigned count);

/* How long something took: the time that this thread waited for a processor, which a busy machine
 * gave to others, does not count. */
struct stopwatch {
	uint64_t start_ns, waited_ns;
};
struct stopwatch stopwatch(void);
uint64_t elapsed(const struct stopwatch *watch);

/* addr: PROVIDER.addr means that of the machine it runs on */
int server_open(struct server *s, const char *addr, const struct transport_options *options);
void server_close(struct server *s);
/* runs fn(s) on the server's thread and waits for its end; checks that fail there are told here */
void server_call(struct server *s, void (*fn)(struct server *s));
/* runs fn() on the main thread of the process that has the servers, which may be this one */
void server_run(void (*fn)(void));
/* what these bytes of its memory are now: writes that it has taken in are seen */
const unsigned char *server_memory(struct server *s, size_t offset, size_t len);
/* all counters by number; NULL: there is none of that number */
struct counter *server_counter(struct server *s, unsigned number);
/* bytes that tell their offset, up to SERVER_BYTES: what the server's memory holds at first */
const unsigned char *pattern(size_t offset);
int pattern_matches(const unsigned char *data, size_t offset, size_t len);

int client_open(struct client *c, const struct transport_options *options);
void client_close(struct client *c);
/* connects with the server's token and waits; the result is in connected, closed, closed_code */
void client_connect(struct client *c, const struct server *s);
struct segment_ref ref_at(struct segment_ref ref, uint64_t offset);
/* turns the client's loop until *count reaches at least `count`; whether it did */
int client_wait(struct client *c, const unsigned *count, unsigned target);
/* posts one, waits for its completion, returns its status, or the post's error */
int client_read(struct client *c, struct segment_ref ref, size_t at, size_t len);
int client_write(struct client *c, struct segment_ref ref, size_t at, size_t len);
extern const struct transport_handler client_handler;

#endif
