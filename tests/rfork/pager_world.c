/* A pager, its peer and its processes, for tests. */
#include "tests/rfork/pager_world.h"

#include "base/clock.h"
#include "base/fdpass.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define UFFD_FEATURES \
	(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | \
		UFFD_FEATURE_EVENT_UNMAP)

/* --- the source that does what it is told --- */

static void script_finish(struct script_source *script, int code)
{
	struct list due;
	list_insert(&script->waiting, &due);
	list_remove(&script->waiting);
	while (!list_empty(&due)) {
		struct page_read *read = list_first(&due, struct page_read, link);
		list_remove(&read->link);
		int status = code ? code : atomic_load(&script->fail);
		for (unsigned i = 0; status == 0 && i < read->count; i++) {
			memcpy(read->dst + i * RFORK_PAGE,
				script->origin->base + read->pages[i] * RFORK_PAGE, RFORK_PAGE);
			if (read->pages[i] + 1 == atomic_load(&script->wrong))
				read->dst[i * RFORK_PAGE + 77] ^= 4;
		}
		atomic_fetch_sub(&script->inflight, 1);
		read->done(read, status);
	}
}

static void script_on_done(struct loop_task *task)
{
	struct script_source *script = container_of(task, struct script_source, done_task);
	script->posted = false;
	if (!atomic_load(&script->hold))
		script_finish(script, 0);
}

static int script_read(struct page_source *source, struct page_read *read)
{
	struct script_source *script = container_of(source, struct script_source, base);
	int refuse = atomic_load(&script->refuse);
	if (refuse)
		return refuse;
	for (unsigned i = 0; i < read->count; i++) {
		unsigned at = atomic_load(&script->npages);
		if (at == SCRIPT_LOG)
			break;
		script->pages[at] = read->pages[i];
		atomic_store(&script->npages, at + 1);
	}
	list_append(&script->waiting, &read->link);
	unsigned inflight = atomic_fetch_add(&script->inflight, 1) + 1;
	if (inflight > atomic_load(&script->max_inflight))
		atomic_store(&script->max_inflight, inflight);
	atomic_fetch_add(&script->reads, 1);
	if (!script->posted) {
		script->posted = true;
		script->done_task.fn = script_on_done;
		loop_post(script->loop, &script->done_task);
	}
	return 0;
}

static void script_destroy(struct page_source *source)
{
	struct script_source *script = container_of(source, struct script_source, base);
	script_finish(script, RAMET_ECLOSED);
	atomic_store(&script->destroyed, true);
}

static const struct page_source_ops script_ops = {
	.name = "script",
	.read = script_read,
	.destroy = script_destroy,
};

bool world_add_script(struct world *world, struct script_source *script)
{
	struct ramet_err err = {0};
	script->base.ops = &script_ops;
	if (!script->base.name)
		script->base.name = "script";
	script->loop = loop_thread_loop(world->thread);
	script->origin = world->origin;
	list_init(&script->waiting);
	return pager_seed_add_source(world->seed, &script->base, &err) == 0;
}

static void script_on_release(struct loop_task *task)
{
	script_finish(container_of(task, struct script_source, release_task), 0);
}

void script_release(struct world *world, struct script_source *script)
{
	atomic_store(&script->hold, false);
	script->release_task.fn = script_on_release;
	loop_post(loop_thread_loop(world->thread), &script->release_task);
}

/* --- the peer --- */

static void server_on_connected(void *user, struct transport_conn *conn)
{
	((struct world *)user)->server_conn = conn;
}

static void server_on_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	(void)conn;
	(void)err;
	((struct world *)user)->server_conn = NULL;
}

static const struct transport_handler server_handler = {
	.on_connected = server_on_connected,
	.on_closed = server_on_closed,
};

static int server_on_accept(void *user, const void *token, size_t token_len, const char *peer,
	struct transport_accept *ret)
{
	struct world *world = user;
	(void)peer;
	if (token_len != 5 || memcmp(token, "token", 5) != 0)
		return RAMET_EPERM;
	*ret = (struct transport_accept){
		.domain = world->domain, .handler = &server_handler, .user = world};
	return 0;
}

static int server_start(struct world *world, const char *provider,
	const struct transport_options *options, struct ramet_err *err)
{
	bool mem = strcmp(provider, "mem") == 0;
	int rc = transport_open(provider, world->loop, options, &world->server, err);
	if (rc == 0)
		rc = transport_domain_create(world->server, &world->domain, err);
	if (rc == 0)
		rc = transport_segment_add(world->domain, world->origin->base,
			image_bytes(world->origin), 0, &world->segment, err);
	if (rc == 0)
		rc = transport_listen(world->server, mem ? "mem:origin" : "127.0.0.1:0",
			server_on_accept, world, &world->listener, err);
	return rc;
}

struct page_peer_spec world_peer_spec(struct world *world)
{
	struct page_peer_spec spec = {.tenant = 7, .token = "token", .token_len = 5};
	snprintf(spec.addr, sizeof(spec.addr), "%s", transport_listener_addr(world->listener));
	spec.image = transport_segment_ref(world->segment, 0);
	return spec;
}

bool world_add_peer(struct world *world)
{
	struct ramet_err err = {0};
	struct page_peer_spec spec = world_peer_spec(world);
	return pager_seed_add_peer(world->seed, &spec, &err) == 0;
}

/* --- the world --- */

static void world_on_revoked(void *user, const struct ramet_err *err)
{
	struct world *world = user;
	world->revoked++;
	world->revoked_err = *err;
}

static void world_on_source_lost(void *user, const char *name, const struct ramet_err *err)
{
	struct world *world = user;
	world->lost++;
	world->lost_err = *err;
	snprintf(world->lost_name, sizeof(world->lost_name), "%s", name);
}

static const struct pager_seed_handler world_handler = {
	.on_revoked = world_on_revoked,
	.on_source_lost = world_on_source_lost,
};

static void world_on_starved(void *user)
{
	((struct world *)user)->starved++;
}

const struct pager_seed_handler world_starving = {
	.on_revoked = world_on_revoked,
	.on_source_lost = world_on_source_lost,
	.on_starved = world_on_starved,
};
const struct pager_seed_handler *world_seed_handler;

static bool world_begin(struct world *world, const struct pager_options *options)
{
	static const struct pager_options mem = {.provider = "mem"};
	const char *provider = options && options->provider ? options->provider : "mem";
	struct ramet_err err = {0};
	int rc = loop_create(&world->loop, &err);
	if (rc == 0)
		rc = loop_thread_start("pager", &world->thread, &err);
	if (rc == 0)
		rc = server_start(world, provider, options ? options->transport : NULL, &err);
	if (rc == 0)
		rc = pager_create(loop_thread_loop(world->thread), world->loop,
			options ? options : &mem, &world->pager, &err);
	if (rc == 0)
		rc = pager_seed_add(world->pager, world->image,
			world_seed_handler ? world_seed_handler : &world_handler, world,
			&world->seed, &err);
	if (rc < 0)
		printf("  no world: %s\n", err.msg);
	return rc == 0;
}

bool world_init(
	struct world *world, const struct fixture *fixture, const struct pager_options *options)
{
	*world = (struct world){.fds = suite_count_fds()};
	world->origin = fixture_image(fixture, true);
	world->image = fixture_image(fixture, false);
	return world->origin && world->image && world_begin(world, options);
}

bool world_init_of(struct world *world, struct image *origin, const struct pager_options *options)
{
	struct ramet_err err = {0};
	*world = (struct world){.fds = suite_count_fds(), .origin = image_get(origin)};
	if (image_create(origin->desc_bytes, origin->desc.header->total_len, &world->image, &err) <
		0) {
		printf("  no image: %s\n", err.msg);
		return false;
	}
	return world_begin(world, options);
}

void world_fini(struct world *world)
{
	pager_destroy(world->pager);
	loop_thread_stop(world->thread);
	transport_close(world->server);
	loop_destroy(world->loop);
	image_put(world->image);
	image_put(world->origin);
	CHECK_INT(suite_count_fds(), world->fds);
}

static bool turn(struct world *world, uint64_t deadline)
{
	struct ramet_err err = {0};
	uint64_t now = now_ns();
	return now < deadline &&
		loop_turn(world->loop, MIN(deadline - now, NSEC_PER_SEC / 50), &err) == 0;
}

bool world_until(struct world *world, const unsigned *counter, unsigned want)
{
	uint64_t deadline = now_ns() + WORLD_TIMEOUT_NS;
	while (*counter < want)
		if (!turn(world, deadline))
			return false;
	return true;
}

bool world_until_atomic(struct world *world, const atomic_uint *counter, unsigned want)
{
	uint64_t deadline = now_ns() + WORLD_TIMEOUT_NS;
	while (atomic_load(counter) < want)
		if (!turn(world, deadline))
			return false;
	return true;
}

bool world_until_faults(const struct world *world, uint64_t want)
{
	uint64_t deadline = now_ns() + WORLD_TIMEOUT_NS;
	while (world_stats(world).faults < want) {
		if (now_ns() > deadline)
			return false;
		sched_yield(); /* counters wake nobody */
	}
	return true;
}

struct pager_stats world_stats(const struct world *world)
{
	struct pager_stats stats;
	pager_seed_stats(world->seed, &stats);
	return stats;
}

void done_fn(void *user, const struct ramet_err *err)
{
	struct done *done = user;
	done->count++;
	done->err = *err;
}

/* --- processes --- */

static int uffd_open(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURES};
	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

bool world_can_fault(void)
{
	int fd = uffd_open();
	if (fd < 0) {
		suite_skip("userfaultfd with EVENT_FORK is refused: %s", strerror(errno));
		return false;
	}
	close(fd);
	return true;
}

static int kid_map(const struct image *image, int uffd)
{
	for (uint32_t i = 0; i < image->desc.npieces; i++) {
		const struct seed_piece *piece = &image->desc.pieces[i];
		void *at = (void *)(uintptr_t)piece->start;
		size_t len = piece->pages * RFORK_PAGE;
		bool anon = piece->kind != PIECE_IMAGE;
		void *mapped = mmap(at, len, piece->prot,
			MAP_FIXED_NOREPLACE | MAP_PRIVATE | (anon ? MAP_ANONYMOUS : 0),
			anon ? -1 : image->fd, anon ? 0 : (off_t)piece->offset);
		if (mapped != at)
			return -1;
		struct uffdio_register reg = {
			.range = {piece->start, len}, .mode = UFFDIO_REGISTER_MODE_MISSING};
		if (!anon && ioctl(uffd, UFFDIO_REGISTER, &reg) < 0)
			return -1;
	}
	return 0;
}

static _Noreturn void kid_main(
	const struct image *image, int sock, int (*body)(void *arg), void *arg)
{
	char byte = 'u';
	struct iovec iov = {&byte, 1};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int uffd = uffd_open();
	if (uffd < 0 || kid_map(image, uffd) < 0 || fdpass_send(sock, &iov, 1, &uffd, 1, 0) != 1)
		_exit(250);
	close(uffd);
	if (read(sock, &byte, 1) != 1)
		_exit(251);
	_exit(body(arg));
}

static void kid_on_failed(void *user, uint64_t instance, const struct ramet_err *err)
{
	struct kid *kid = user;
	kid->failed++;
	kid->err = *err;
	kid->failed_instance = instance;
}

static void kid_on_ended(void *user, uint64_t instance)
{
	(void)instance;
	((struct kid *)user)->ended++;
}

static const struct pager_child_handler kid_handler = {
	.on_failed = kid_on_failed,
	.on_ended = kid_on_ended,
};

bool kid_start(struct world *world, struct kid *kid, int (*body)(void *arg), void *arg)
{
	int sock[2], fds[FDPASS_MAX];
	unsigned nfds = 0;
	char byte = 0;
	struct ramet_err err = {0};
	*kid = (struct kid){.uffd = -1};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
		return false;
	kid->pid = fork();
	if (kid->pid == 0)
		kid_main(world->image, sock[1], body, arg);
	close(sock[1]);
	kid->go_fd = sock[0];
	kid->pidfd = (int)syscall(SYS_pidfd_open, kid->pid, 0);
	if (fdpass_recv(sock[0], &byte, 1, fds, &nfds, 0) != 1 || nfds != 1)
		return false;
	kid->uffd = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	if (pager_child_add(world->seed, (uint64_t)kid->pid, fds[0], &kid_handler, kid, &kid->child,
		    &err) < 0)
		return false;
	return write(sock[0], "g", 1) == 1;
}

int kid_wait(struct world *world, struct kid *kid)
{
	uint64_t deadline = now_ns() + WORLD_TIMEOUT_NS;
	struct pollfd pfds[2] = {{kid->pidfd, POLLIN, 0}, {loop_fd(world->loop), POLLIN, 0}};
	int status = 0;
	while (waitpid(kid->pid, &status, WNOHANG) == 0) {
		if (now_ns() > deadline)
			return -1000;
		poll(pfds, 2, 1000);
		struct ramet_err err = {0};
		loop_turn(world->loop, 0, &err);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void kid_kill(struct world *world, struct kid *kid)
{
	kill(kid->pid, SIGKILL);
	kid_wait(world, kid);
}

void kid_remove(struct kid *kid)
{
	if (kid->child)
		pager_child_remove(kid->child);
	kid->child = NULL;
	close_reset(&kid->pidfd);
	close_reset(&kid->go_fd);
	close_reset(&kid->uffd);
}

int kid_run(struct world *world, int (*body)(void *arg), void *arg)
{
	struct kid kid;
	if (!kid_start(world, &kid, body, arg))
		return -2000;
	int status = kid_wait(world, &kid);
	if (status == -1000)
		kid_kill(world, &kid);
	kid_remove(&kid);
	return status;
}

/* --- what kids do --- */

int kid_read_all(void *arg)
{
	(void)arg;
	for (uint64_t page = 0; page < KID_PAGES; page++)
		KID_EXPECT(fixture_check(page, kid_page(page)));
	return 0;
}

int kid_read_shuffled(void *arg)
{
	uint64_t step = 2 * (uint64_t)(uintptr_t)arg + 1; /* odd: meets every page */
	for (uint64_t i = 0; i < KID_PAGES; i++) {
		uint64_t page = i * step % KID_PAGES;
		KID_EXPECT(fixture_check(page, kid_page(page)));
		kid_page(page)[0] ^= 1;
	}
	return 0;
}

int kid_read_one(void *arg)
{
	uint64_t page = (uint64_t)(uintptr_t)arg;
	KID_EXPECT(fixture_check(page, kid_page(page)));
	return 0;
}
