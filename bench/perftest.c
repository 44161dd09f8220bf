/* Running perftest's programs: a server where the memory is, a client here, and its row of figures.
 */
#include "bench/perftest.h"

#include "base/clock.h"
#include "bench/guest.h"

#include <stdlib.h>
#include <string.h>

#define DEVICE "rxe0"
#define WAIT_NS (60 * NSEC_PER_SEC)
#define COLUMNS_MAX 9

/* columns of ib_read_lat and ib_write_lat: bytes, iterations, min, max, typical (the median),
 * average, … */
enum { LATENCY_MEDIAN = 4, LATENCY_MEAN };
/* ib_read_bw's: bytes, iterations, peak, average, … */
enum { BANDWIDTH_MEAN = 3 };

/* how many columns the line that begins with `size` has; 0: there is none */
static unsigned find_row(const char *text, const char *size, double columns[COLUMNS_MAX])
{
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += strspn(line, "\n ");
		size_t len = strlen(size);
		if (strncmp(line, size, len) != 0 || line[len] != ' ')
			continue;
		unsigned n = 0;
		const char *at = line;
		for (char *end; n < COLUMNS_MAX; at = end) {
			columns[n] = strtod(at, &end);
			if (end == at)
				break;
			n++;
		}
		return n;
	}
	return 0;
}

static int client(
	const char *const *argv, unsigned min, double columns[COLUMNS_MAX], struct ramet_err *err)
{
	/* the server takes its time to listen, and nothing but a connection tells that it does */
	uint64_t deadline = now_ns() + WAIT_NS;
	for (;;) {
		struct guest_program program;
		auto_free char *text = NULL;
		int rc = guest_start(&program, guest_self(), argv, err);
		if (rc == 0)
			rc = guest_output(&program, &text, err);
		if (rc < 0)
			return rc;
		if (!text)
			return err_nomem(err);
		if (find_row(text, argv[4], columns) >= min)
			return 0;
		if (!strstr(text, "Couldn't connect") || now_ns() > deadline)
			return err_set(err, RAMET_EIO, "%s: %.120s", argv[0], text);
	}
}

static int measure(const char *tool, const char *size, unsigned guest, bool events, unsigned min,
	double columns[COLUMNS_MAX], struct ramet_err *err)
{
	char address[GUEST_ADDRESS_MAX];
	const char *flag = events ? "-e" : NULL;
	const char *serve[] = {tool, "-d", DEVICE, "-s", size, flag, NULL};
	const char *ask[] = {tool, "-d", DEVICE, "-s", size, address, flag, NULL};
	CLEANUP(guest_end) struct guest_program server = {0};
	int rc = guest_address(guest, address, err);
	if (rc == 0)
		rc = guest_start(&server, guest, serve, err);
	return rc < 0 ? rc : client(ask, min, columns, err);
}

int perftest_latency(
	unsigned guest, bool events, struct perftest_latency *ret, struct ramet_err *err)
{
	double columns[COLUMNS_MAX] = {0};
	int rc = measure("ib_read_lat", "4096", guest, events, LATENCY_MEAN + 1, columns, err);
	if (rc == 0)
		*ret = (struct perftest_latency){columns[LATENCY_MEDIAN], columns[LATENCY_MEAN]};
	return rc;
}

int perftest_round_trip(unsigned guest, struct perftest_latency *ret, struct ramet_err *err)
{
	double columns[COLUMNS_MAX] = {0};
	int rc = measure("ib_write_lat", "64", guest, false, LATENCY_MEAN + 1, columns, err);
	if (rc == 0)
		*ret = (struct perftest_latency){
			2 * columns[LATENCY_MEDIAN], 2 * columns[LATENCY_MEAN]};
	return rc;
}

int perftest_bandwidth(unsigned guest, double *ret_mib, struct ramet_err *err)
{
	double columns[COLUMNS_MAX] = {0};
	int rc = measure("ib_read_bw", "65536", guest, false, BANDWIDTH_MEAN + 1, columns, err);
	if (rc == 0)
		*ret_mib = columns[BANDWIDTH_MEAN];
	return rc;
}
