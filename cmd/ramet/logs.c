/* ramet logs: what instances print, kept or as it comes. */
#include "base/err.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/log_print.h"
#include "cmd/ramet/verb.h"
#include "libramet/stream.h"

#include <stdio.h>

struct logs {
	bool follow, json;
	const char *call, *function, *socket;
	uint64_t instance, node, tail;
};

static void pack(struct buf *b, const void *arg)
{
	const struct logs *o = arg;
	wire_kbool(b, "follow", o->follow);
	wire_kstr(b, "call", o->call ? o->call : "");
	wire_kuint(b, "instance", o->instance);
	wire_kstr(b, "function", o->function ? o->function : "");
	wire_kuint(b, "node", o->node);
	wire_kuint(b, "tail", o->tail);
}

static int finish(const struct message *message, struct ramet_err *err)
{
	uint64_t lost;
	int rc = stream_expect(message, "end", err);
	if (rc == 0)
		rc = wire_get_uint_or(message->root, "lost", UINT64_MAX, 0, &lost, err);
	if (rc == 0 && lost)
		fprintf(stderr, "%llu bytes were lost: overwritten, or printed too fast\n",
			(unsigned long long)lost);
	return rc;
}

static int logs(const struct logs *o, struct ramet_err *err)
{
	auto_ramet struct ramet *ramet = NULL;
	auto_stream struct stream *stream = NULL;
	int rc = ramet_open(o->socket, &ramet, err);
	if (rc == 0)
		rc = stream_open(ramet, "logs", 6, pack, o, &stream, err);
	while (rc == 0) {
		auto_message struct message *message = NULL;
		rc = stream_next(stream, DEADLINE_NONE, &message, err);
		if (rc < 0)
			break;
		if (!message_is(message, "log"))
			return finish(message, err);
		rc = log_print(stdout, message, o->json, err);
		if (rc == 0 && ferror(stdout))
			break; /* nobody reads any more */
	}
	return rc;
}

int verb_logs(int argc, char **argv)
{
	struct logs o = {0};
	const struct option options[] = {
		{"follow", 'f', OPTION_FLAG, &o.follow, 0, NULL, "go on as more is printed"},
		{"call", 0, OPTION_STRING, &o.call, 0, "ID", "of this call or burst only"},
		{"function", 0, OPTION_STRING, &o.function, 0, "NAME", "of this function only"},
		{"instance", 0, OPTION_UINT, &o.instance, UINT64_MAX, "N",
			"of this instance only (see ramet ps)"},
		{"node", 'N', OPTION_UINT, &o.node, UINT32_MAX, "N", "of this node only"},
		{"tail", 0, OPTION_UINT, &o.tail, 1000000, "N", "the last N lines only"},
		OPTION_JSON(&o.json),
		OPTION_SOCKET(&o.socket),
		{0},
	};
	const struct usage usage = {"logs", "[OPTION]...",
		"Print what instances wrote to stdout and stderr: the last 64 KiB of each.",
		options, 0, 0};
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, NULL, &code))
		return code;
	return logs(&o, &err) < 0 ? exit_tell("logs", &err) : EXIT_OK;
}
