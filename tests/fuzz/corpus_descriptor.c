/* Writes valid descriptors into the directory that is its argument: what fuzz_descriptor begins
 * with. tests/fuzz/make_corpus runs it. */
#include "base/cleanup.h"
#include "base/file.h"
#include "tests/rfork/seed_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static int write_one(const char *dir, const char *name, const struct fixture *fixture)
{
	char path[4096];
	size_t len = 0;
	auto_free void *bytes = fixture_descriptor(fixture, &len);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return bytes ? file_replace(path, bytes, len, 0644, NULL) : -1;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	struct fixture simple = fixture_simple(3);
	struct fixture apart = fixture_simple(3);
	apart.apart = true;
	const struct fixture mixed = {
		.pieces = {{FIXTURE_BASE, 2, PIECE_IMAGE, PROT_READ | PROT_WRITE},
			{FIXTURE_BASE + 16 * RFORK_PAGE, 4, PIECE_ANON, PROT_READ},
			{FIXTURE_BASE + 64 * RFORK_PAGE, 2, PIECE_VDSO, PROT_READ | PROT_EXEC},
			{FIXTURE_BASE + 128 * RFORK_PAGE, 3, PIECE_IMAGE, PROT_READ}},
		.npieces = 4,
		.zeros = 4,
	};
	bool ok = write_one(argv[1], "simple", &simple) == 0 &&
		write_one(argv[1], "apart", &apart) == 0 &&
		write_one(argv[1], "mixed", &mixed) == 0;
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
