/* The secrets that rametd gives to an instance: kept in memory of their own, wiped when others
 * come. A process that is yet to be captured gets none. */
#include "runtime/host/host_internal.h"

#include "base/locked.h"
#include "ramet/error.h"
#include "runtime/host_proto.h"

#include <stdint.h>
#include <string.h>

#define SECRETS_MAX 64

/* Of a clone or a captured process only: nothing of it is ever in a seed. */
static struct {
	char *memory; /* names and values, each terminated */
	size_t len;
	struct ramet_engine_secret items[SECRETS_MAX];
	unsigned count;
} kept;

static int measure(struct message_reader r, size_t *ret_len)
{
	uint32_t pairs;
	size_t len = 0;
	if (message_read_map(&r, &pairs) < 0 || pairs > SECRETS_MAX)
		return RAMET_EPROTO;
	for (uint32_t i = 0; i < pairs; i++) {
		struct message_span name;
		struct message_span value;
		if (message_read_str(&r, &name) < 0 || message_read_bin(&r, &value) < 0 ||
			memchr(name.data, 0, name.len))
			return RAMET_EPROTO;
		len += name.len + value.len + 2;
	}
	*ret_len = len;
	return 0;
}

static char *keep(char **io_at, struct message_span span)
{
	char *to = *io_at;
	memcpy(to, span.data, span.len);
	explicit_bzero((void *)(uintptr_t)span.data, span.len); /* in the channel's memory */
	*io_at += span.len + 1; /* the memory is zeroed */
	return to;
}

static void take(struct message_reader r, char *at)
{
	uint32_t pairs = 0;
	(void)message_read_map(&r, &pairs);
	kept.count = 0;
	for (uint32_t i = 0; i < pairs; i++) {
		struct message_span name = {"", 0};
		struct message_span value = {"", 0};
		(void)message_read_str(&r, &name);
		(void)message_read_bin(&r, &value);
		struct ramet_engine_secret *item = &kept.items[kept.count++];
		item->name = keep(&at, name);
		item->value = keep(&at, value);
		item->len = value.len;
	}
}

bool host_has_secrets(void)
{
	return kept.memory != NULL;
}

int host_secrets(struct host *host, const struct host_message *message)
{
	size_t len;
	if (!host->loaded || !host->captured || measure(message->items, &len) < 0)
		return RAMET_EPROTO;
	char *memory = locked_alloc(len);
	if (!memory)
		return RAMET_ENOMEM;
	char *old = kept.memory;
	size_t old_len = kept.len;
	take(message->items, memory);
	kept.memory = memory;
	kept.len = len;
	engines_secrets(&host->engines, kept.items, kept.count);
	locked_free(old, old_len);
	return 0;
}
