/* Equal bytes are kept once, for as long as somebody has them. */
#include "cluster/blobs.h"
#include "tests/lib/suite.h"

#include <stdlib.h>
#include <string.h>

static struct blob *share(struct blobs *blobs, const char *text)
{
	char *data = strdup(text);
	struct blob *blob = data ? blob_share(blobs, data, strlen(data)) : NULL;
	if (data && !blob)
		free(data);
	return blob;
}

static void test_equal_bytes_are_one(void)
{
	struct blobs *blobs = blobs_create();
	REQUIRE(blobs != NULL);
	struct blob *one = share(blobs, "some bytes");
	struct blob *same = share(blobs, "some bytes");
	struct blob *other = share(blobs, "some bytez");
	struct blob *longer = share(blobs, "some bytes, and more");
	REQUIRE(one && same && other && longer);
	CHECK(one == same);
	CHECK(other != one && longer != one && longer != other);
	CHECK_INT(blob_len(one), 10);
	CHECK(memcmp(blob_data(one), "some bytes", 10) == 0);
	CHECK(memcmp(blob_data(other), "some bytez", 10) == 0);
	blob_put(one);
	CHECK(memcmp(blob_data(same), "some bytes", 10) == 0); /* its other holder has it */
	CHECK(share(blobs, "some bytes") == same);
	blob_put(same);
	blob_put(same);
	blob_put(other);
	one = share(blobs, "some bytes"); /* the first ones are gone: ASan sees to that */
	REQUIRE(one != NULL);
	CHECK(memcmp(blob_data(one), "some bytes", 10) == 0);
	blob_put(one);
	blob_put(longer);
	blob_put(NULL);
	blobs_destroy(blobs);
}

SUITE_MAIN("blobs", TEST(test_equal_bytes_are_one))
