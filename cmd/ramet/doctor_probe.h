/* What this machine can do for Ramet, found out without a cluster. */
#ifndef CMD_RAMET_DOCTOR_PROBE_H
#define CMD_RAMET_DOCTOR_PROBE_H

#include <stddef.h>

enum probe_state { PROBE_OK, PROBE_WARN, PROBE_MISSING };

struct probe_result {
	const char *name;
	enum probe_state state;
	char detail[512]; /* what was found */
	char remedy[320]; /* how a site enables it; "" when ok */
	char cost[160]; /* what its absence costs; "" when ok */
};

size_t doctor_probe_count(void);
void doctor_probe(size_t index, struct probe_result *ret_result);
const char *probe_state_name(enum probe_state state);

#endif
