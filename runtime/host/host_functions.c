/* The functions of a load, and whose they are: read from the message, the engines they need opened,
 * and put in the engines' order. */
#include "runtime/host/host_internal.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#define LOAD_MAX_FUNCTIONS 1024

/* a function and the language that it is in: NULL is the process's own */
struct read_one {
	struct ramet_engine_function function;
	char *lang;
	unsigned engine;
};

char *host_keep(struct message_span span)
{
	if (memchr(span.data, 0, span.len))
		return NULL;
	return strndup(span.data, span.len);
}

static int read_function(struct message_reader *r, struct read_one *ret)
{
	uint32_t pairs;
	int rc = message_read_map(r, &pairs);
	for (uint32_t i = 0; rc == 0 && i < pairs; i++) {
		struct message_span key;
		struct message_span value;
		rc = message_read_str(r, &key);
		if (rc < 0)
			break;
		const char **field = message_is(key, "name") ? &ret->function.name
			: message_is(key, "handler")	     ? &ret->function.handler
			: message_is(key, "lang")	     ? (const char **)&ret->lang
							     : NULL;
		rc = field ? message_read_str(r, &value) : message_skip(r);
		if (rc == 0 && field && !*field)
			*field = host_keep(value);
	}
	return rc == 0 && (!ret->function.name || !ret->function.handler) ? RAMET_EPROTO : rc;
}

static int read_all(struct message_reader r, struct read_one **ret_read, uint32_t *ret_count)
{
	uint32_t count;
	if (message_read_array(&r, &count) < 0 || count > LOAD_MAX_FUNCTIONS)
		return RAMET_EPROTO;
	struct read_one *read = calloc(count + 1, sizeof(*read));
	if (!read)
		return RAMET_ENOMEM;
	*ret_read = read;
	*ret_count = count;
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = read_function(&r, &read[i]);
	return rc;
}

static const char *path_of(const struct host_languages *languages, const char *lang)
{
	for (unsigned i = 0; i < languages->count; i++)
		if (strcmp(languages->items[i].name, lang) == 0)
			return languages->items[i].value;
	return NULL;
}

static int open_engine(struct host *host, const struct host_languages *languages, const char *lang,
	unsigned *ret_engine, struct ramet_err *err)
{
	*ret_engine = ENGINES_OWN;
	return lang ? engines_open(&host->engines, lang, path_of(languages, lang), ret_engine, err)
		    : 0;
}

static void put_in_order(struct host *host, const struct read_one *read, uint32_t count)
{
	for (unsigned e = 0; e < host->engines.count; e++) {
		struct engines_one *one = &host->engines.items[e];
		one->first = host->nfunctions;
		for (uint32_t i = 0; i < count; i++)
			if (read[i].engine == e)
				host->functions[host->nfunctions++] = read[i].function;
		one->count = host->nfunctions - one->first;
	}
}

int host_read_functions(struct host *host, struct message_reader r,
	const struct host_languages *languages, struct ramet_err *err)
{
	auto_free struct read_one *read = NULL;
	uint32_t count = 0;
	int rc = read_all(r, &read, &count);
	if (rc < 0)
		return err_set(err, rc, "the functions of a load");
	host->functions = calloc(count + 1, sizeof(*host->functions));
	if (!host->functions)
		return err_nomem(err);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		if (!languages && read[i].lang)
			read[i].engine = ENGINES_MAX; /* nobody's */
		else
			rc = open_engine(host, languages, read[i].lang, &read[i].engine, err);
	}
	if (rc == 0)
		put_in_order(host, read, count);
	return rc;
}

bool host_find_function(const struct host *host, struct message_span name, unsigned *ret_index)
{
	for (unsigned i = 0; i < host->nfunctions; i++) {
		if (message_is(name, host->functions[i].name)) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}
