/* Results: making a struct ramet_result of what rametd sent, or of a failure on this side. */
#ifndef LIBRAMET_RESULT_H
#define LIBRAMET_RESULT_H

#include "base/cleanup.h"
#include "base/wire.h"
#include "libramet/message.h"
#include "ramet/ramet.h"

/* result_parse - from a `result`, `deployed` or `error` message. function: for answers that do not
 * name it. */
int result_parse(const struct message *message, const char *function,
	struct ramet_result **ret_result, struct ramet_err *err);

/* result_from_err - a result that is nothing but a failure of ours; NULL when out of memory */
struct ramet_result *result_from_err(const char *function, const struct ramet_err *err);

/* Of a call whose answer came without a message. */
struct result_facts {
	const char *function, *version, *call;
	uint32_t node, rank, group;
	uint64_t instance;
	int32_t pid;
	enum ramet_start start;
	double queue_us, run_us, total_us;
	bool binary;
	const void *output; /* copied, unless it has an owner */
	size_t output_len;
	struct result_memory *memory; /* the output lies there, and a NUL behind it fits; NULL: it
					 is to be copied */
};
/* Memory that a result refers to instead of having it; told by ramet_result_free(), on any thread.
 */
struct result_memory {
	void (*release)(struct result_memory *memory);
};
/* result_make - NULL when out of memory */
struct ramet_result *result_make(const struct result_facts *facts);
/* result_make_failed - the same with an error map ({error: …}, or none: then code alone tells) */
int result_make_failed(const struct result_facts *facts, int code, const void *map, size_t len,
	struct ramet_result **ret_result, struct ramet_err *err);

/* result_status - 0, or the code of the result's failure with its message ("ValueError: bad") in
 * err */
int result_status(const struct ramet_result *result, struct ramet_err *err);

enum ramet_kind result_kind(int code); /* of a failure that does not say */

DEFINE_CLEANUP(struct ramet_result, ramet_result_free)
#define auto_result AUTO(ramet_result_free)

#endif
