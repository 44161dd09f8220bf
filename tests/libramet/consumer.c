/* A program that uses the installed library, also compiled as C++: it must be refused politely
 * where no cluster is. */
#include <ramet/ramet.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
	struct ramet *ramet = NULL;
	struct ramet_result *result = NULL;
	struct ramet_err err;
	struct ramet_call_options options = ramet_call_options_default();
	struct ramet_deploy_options deploy = ramet_deploy_options_default();

	memset(&err, 0, sizeof(err));
	options.flags = RAMET_CALL_BINARY;
	deploy.name = "f";
	if (ramet_open("/nonexistent/socket", &ramet, &err) != RAMET_ENOCLUSTER)
		return 1;
	if (strcmp(ramet_error_name(err.code), "ENOCLUSTER") != 0 ||
		!strstr(err.msg, "/nonexistent"))
		return 2;
	ramet_result_free(result);
	ramet_close(ramet);
	if (ramet_call(NULL, "not a name", NULL, 0, &options, &result, &err) != RAMET_EINVAL ||
		deploy.size != sizeof(deploy))
		return 3;
	printf("libramet %s: %s\n", ramet_version(), ramet_start_name(RAMET_START_LOCAL_FORK));
	return 0;
}
