/* The peer's seed, and the peer as a program in another guest: one line of its output is the offer,
 * in hexadecimal. Both ends are the same program, so that its layout is the same too. */
#include "bench/page_verbs.h"

#include "base/cleanup.h"
#include "bench/page.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK "offer "

void page_verbs_seed_end(struct page_verbs_seed *seed)
{
	working_set_destroy(seed->set);
	image_put(seed->image);
	proc_free(seed->host);
}

int page_verbs_seed_make(struct node *node, struct page_verbs_seed *ret, struct ramet_err *err)
{
	int rc = page_host(node, &ret->host, &ret->image, err);
	return rc < 0 ? rc : page_verbs_set(ret->image, &ret->set, err);
}

int page_verbs_set(const struct image *image, struct working_set **ret_set, struct ramet_err *err)
{
	const struct descriptor_view *desc = &image->desc;
	const struct seed_piece *largest = NULL;
	uint32_t pages[PAGE_VERBS_SET];
	for (uint32_t i = 0; i < desc->npieces; i++) {
		const struct seed_piece *piece = &desc->pieces[i];
		if (piece->kind == PIECE_IMAGE && (!largest || piece->pages > largest->pages))
			largest = piece;
	}
	if (!largest || largest->pages < 4 * PAGE_VERBS_SET)
		return err_set(err, RAMET_EINTERNAL, "the seed has no %u pages in a row",
			4 * PAGE_VERBS_SET);
	/* every fifth page, and from the end on again: 5 and what is wrapped at share no divisor */
	for (uint32_t i = 0; i < PAGE_VERBS_SET; i++)
		pages[i] = (uint32_t)largest->image_page + i * 5 % (PAGE_VERBS_SET * 4);
	return working_set_create(image->npages, pages, PAGE_VERBS_SET, ret_set, err);
}

/* --- the program --- */

int page_verbs_process_start(
	struct page_verbs_process *process, unsigned guest, struct ramet_err *err)
{
	char path[PATH_MAX];
	const char *argv[] = {path, "--peer", NULL};
	unsigned char *bytes = (unsigned char *)&process->offer;
	auto_free char *line = NULL;
	size_t size = 0;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n < 0)
		return err_errno(err, RAMET_EIO, "read /proc/self/exe");
	path[n] = '\0';
	int rc = guest_start(&process->program, guest, argv, err);
	if (rc < 0)
		return rc;
	do {
		n = getline(&line, &size, process->program.out);
		if (n < 0)
			return err_set(err, RAMET_EIO, "the peer in guest %u has ended", guest);
		if (strncmp(line, MARK, strlen(MARK)) != 0)
			fprintf(stderr, "peer: %s", line);
	} while (strncmp(line, MARK, strlen(MARK)) != 0);
	const char *hex = line + strlen(MARK);
	for (size_t i = 0; i < sizeof(process->offer); i++)
		if (sscanf(hex + 2 * i, "%2hhx", &bytes[i]) != 1)
			return err_set(err, RAMET_EPROTO, "the peer's offer is too short");
	return 0;
}

void page_verbs_process_end(struct page_verbs_process *process)
{
	guest_end(&process->program);
}

static void say_offer(const struct peer_offer *offer)
{
	const unsigned char *bytes = (const unsigned char *)offer;
	fputs(MARK, stdout);
	for (size_t i = 0; i < sizeof(*offer); i++)
		printf("%02x", bytes[i]);
	putchar('\n');
	fflush(stdout);
}

static int serve(const sigset_t *until, struct ramet_err *err)
{
	struct node node;
	struct page_verbs_seed seed = {0};
	auto_peer struct peer *peer = NULL;
	int number;
	int rc = node_open(&node, 0, err);
	if (rc == 0)
		rc = page_verbs_seed_make(&node, &seed, err);
	pthread_sigmask(SIG_BLOCK, until, NULL); /* the peer's thread inherits that */
	if (rc == 0)
		rc = peer_create("verbs", seed.image, seed.set, &peer, err);
	if (rc == 0) {
		say_offer(peer_offer(peer));
		sigwait(until, &number);
	}
	peer_destroy(steal_ptr(&peer));
	page_verbs_seed_end(&seed);
	node_close(&node);
	return rc;
}

int page_verbs_peer(void)
{
	struct ramet_err err = {0};
	sigset_t until;
	sigemptyset(&until);
	sigaddset(&until, SIGTERM);
	sigaddset(&until, SIGINT);
	if (serve(&until, &err) == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "%s\n", err.msg);
	return EXIT_FAILURE;
}
