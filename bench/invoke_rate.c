/* Calls per second with some of them on their way at any time. */
#include "bench/invoke.h"

#include "base/clock.h"
#include "base/err.h"

#include <string.h>

#define MOST 64
#define SIZE 64

static int send_one(struct ramet *ramet, const char *function, struct ramet_call **ret_call,
	struct ramet_err *err)
{
	struct ramet_call_options options = ramet_call_options_default();
	char data[SIZE];
	memset(data, 'x', sizeof(data));
	options.flags = RAMET_CALL_BINARY;
	return ramet_call_async(ramet, function, data, sizeof(data), &options, ret_call, err);
}

static int take_one(struct ramet_call **call, struct ramet_err *err)
{
	struct ramet_result *result = NULL;
	int rc = *call ? ramet_wait(*call, -1, &result, err) : 0;
	ramet_result_free(result);
	ramet_call_free(*call);
	*call = NULL;
	return rc;
}

int invoke_rate(struct ramet *ramet, const char *function, unsigned outstanding, unsigned count,
	double *ret_rate, struct ramet_err *err)
{
	struct ramet_call *calls[MOST] = {0};
	int rc = 0;
	uint64_t begin = now_ns();
	for (unsigned i = 0; rc == 0 && i < count + outstanding; i++) {
		struct ramet_call **slot = &calls[i % outstanding];
		rc = take_one(slot, err);
		if (rc == 0 && i < count)
			rc = send_one(ramet, function, slot, err);
	}
	*ret_rate = count / ((double)(now_ns() - begin) / 1e9);
	for (unsigned i = 0; i < outstanding; i++)
		ramet_call_free(calls[i]);
	return rc;
}
