/* ramet.yaml. rametd's configuration goes through the same reader (base/conf.h). */
#include "tests/fuzz/fuzz.h"

#include "libramet/app_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct app_config config = {0};
	struct ramet_err err;
	if (app_config_parse("ramet.yaml", (const char *)data, len, &config, &err) == 0)
		app_config_fini(&config);
	return 0;
}
