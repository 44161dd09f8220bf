/* What wasm2c makes of the module, with the runtime that wabt has for it. */
#include "bench/isolate.h"

#include "base/clock.h"
#include "bench_double.h"

#include <stdlib.h>
#include <string.h>

struct Z_ramet_instance_t {
	const Z_bench_instance_t *module;
	char answer[8];
};

void Z_rametZ_output(struct Z_ramet_instance_t *ramet, u32 ptr, u32 len, u32 binary)
{
	(void)binary;
	if (len < sizeof(ramet->answer))
		memcpy(ramet->answer, ramet->module->w2c_memory.data + ptr, len);
}

struct instance {
	Z_bench_instance_t module;
	struct Z_ramet_instance_t ramet;
};

static int one(struct instance *instance)
{
	const u32 len = sizeof(ISOLATE_INPUT) - 1;
	instance->ramet.module = &instance->module;
	Z_bench_instantiate(&instance->module, &instance->ramet);
	u32 ptr = Z_benchZ_ramet_alloc(&instance->module, len);
	memcpy(instance->module.w2c_memory.data + ptr, ISOLATE_INPUT, len);
	u32 rc = Z_benchZ_handler(&instance->module, ptr, len);
	return rc == 0 && strcmp(instance->ramet.answer, ISOLATE_OUTPUT) == 0 ? 0 : RAMET_EIO;
}

int bare_wasm(const char *dir, unsigned count, double *ret_ns)
{
	struct instance *all = calloc(count, sizeof(*all)); /* they stay */
	int rc = all ? 0 : RAMET_ENOMEM;
	(void)dir;
	wasm_rt_init();
	Z_bench_init_module();
	uint64_t begin = now_ns();
	for (unsigned i = 0; rc == 0 && i < count; i++)
		rc = one(&all[i]);
	*ret_ns = (double)(now_ns() - begin) / count;
	return rc;
}
