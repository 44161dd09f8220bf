/* Control messages: msgpack, and the parsers of what nodes, clients and instances put into it. */
#include "tests/fuzz/fuzz.h"

#include "base/wire.h"
#include "cluster/app_version.h"
#include "cluster/calls_result.h"
#include "cluster/log_wire.h"
#include "cluster/members_wire.h"

#include <stdlib.h>
#include <string.h>

static void parse_all(const struct wire_value *map)
{
	static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct app_version *version = NULL;
	struct call_error error = {0};
	struct call_result result = {0};
	struct log_chunk chunk;
	struct log_filter filter;
	struct member_info info;
	struct member_load load;
	struct holding *holdings = NULL;
	uint32_t count = 0;
	struct ramet_err err;
	if (app_version_parse(map, id, &version, &err) == 0)
		app_version_put(version);
	if (call_error_parse(map, &error, &err) == 0)
		call_error_fini(&error);
	if (call_result_parse(map, &result, &err) == 0)
		call_result_fini(&result);
	(void)log_chunk_parse(map, &chunk, &err);
	(void)log_filter_parse(map, &filter, &err);
	(void)member_info_parse(map, &info, &err);
	(void)member_load_parse(map, &load, &err);
	if (holdings_parse(map, &holdings, &count, &err) == 0)
		free(holdings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *key;
	size_t key_len;
	const struct wire_value *value;
	struct wire_msg *msg = NULL;
	if (wire_parse(data, len, WIRE_LIMITS_CONTROL, &msg, NULL) < 0)
		return 0;
	const struct wire_value *root = wire_root(msg);
	if (wire_is_map(root)) {
		parse_all(root);
		for (uint32_t i = 0; wire_pair(root, i, &key, &key_len, &value); i++)
			if (wire_is_map(value))
				parse_all(value);
	}
	wire_free(msg);
	return 0;
}
