/* Ids of calls through leases: node, lease and number, in hexadecimal digits. Not by printf: it is
 * on the way of every call. */
#include "runtime/slots/slots.h"

static char *write_hex(char *at, uint64_t value)
{
	char digits[16];
	unsigned n = 0;
	do
		digits[n++] = "0123456789abcdef"[value & 15];
	while ((value >>= 4) != 0);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

void slots_make_id(uint32_t node, uint64_t lease, uint64_t number, char id[SLOTS_ID_MAX])
{
	char *at = write_hex(id, node);
	*at++ = '.';
	at = write_hex(at, lease & 0xffffffffff);
	*at++ = '.';
	at = write_hex(at, number & 0xffffffff);
	*at = '\0';
}
