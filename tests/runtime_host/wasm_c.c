/* A function in C for test_wasm.c: each import of ramet/wasm.h, by its declaration there. */
#include <ramet/wasm.h>

RAMET_WASM_INPUT(65536)

static unsigned char number_of_starts;

RAMET_WASM_EXPORT(_initialize) void start(void)
{
	number_of_starts++;
}

static uint32_t add(char *dst, uint32_t at, uint64_t digit)
{
	dst[at] = (char)('0' + digit % 10);
	return at + 1;
}

RAMET_WASM_EXPORT(all) int32_t all(const unsigned char *input, uint32_t len)
{
	static char text[4096];
	unsigned char id[RAMET_WASM_ID_BYTES];
	unsigned char random[8] = {0};
	uint32_t at = 1;
	text[0] = '[';
	for (uint32_t i = 0; i < len && i < 100; i++)
		text[at++] = (char)input[i];
	text[at++] = ',';
	text[at++] = '"';
	at += ramet_function_name(text + at, 64);
	at += ramet_version(text + at, 64);
	at = add(text, at, ramet_node());
	at = add(text, at, ramet_rank());
	at = add(text, at, ramet_group_size());
	at = add(text, at, ramet_deadline_ns() == 0);
	at = add(text, at, ramet_remaining_ns() == INT64_MAX);
	at = add(text, at, ramet_cancelled());
	at = add(text, at, ramet_listened());
	at = add(text, at, ramet_emit("1", 1, 0));
	at = add(text, at, ramet_progress(0.5, "half", 4));
	at = add(text, at, ramet_input_size());
	at = add(text, at, ramet_input(random, 0, 1));
	at = add(text, at, ramet_input_is_binary());
	at = add(text, at, ramet_secret("none", 4, text, 4) == RAMET_WASM_NONE);
	at = add(text, at, number_of_starts);
	ramet_random(random, sizeof(random));
	ramet_call_id(id);
	at = add(text, at, id[0] == 1 && id[1] == 0x23);
	text[at++] = '"';
	text[at++] = ']';
	ramet_log("said", 4);
	if (len == 1 && input[0] == '0') {
		ramet_error("not zero", 8);
		return -1;
	}
	ramet_output(text, at, 0);
	return 0;
}
