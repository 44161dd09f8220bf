/* What clients of rametd ask for, in tests: see wire_ask.h. */
#include "tests/cluster/wire_ask.h"

#include <stdio.h>
#include <string.h>

void wire_ask_deploy(
	struct wire_client *client, uint64_t req, uint32_t node, const char *lang, const char *data)
{
	static const char *const functions[] = {"echo", "hang", "print", "fail"};
	struct buf b = {0};
	wire_client_begin(&b, "deploy", req, 5);
	wire_kstr(&b, "app", "app");
	wire_kstr(&b, "lang", lang);
	wire_key(&b, "functions");
	wire_array(&b, ARRAY_LEN(functions));
	for (unsigned i = 0; i < ARRAY_LEN(functions); i++) {
		char handler[32];
		snprintf(handler, sizeof(handler), "lib.so:%s", functions[i]);
		wire_map(&b, 2);
		wire_kstr(&b, "name", functions[i]);
		wire_kstr(&b, "handler", handler);
	}
	wire_key(&b, "files");
	wire_array(&b, 1);
	wire_map(&b, 3);
	wire_kstr(&b, "path", "lib.so");
	wire_kuint(&b, "mode", 0644);
	wire_kbin(&b, "data", data, strlen(data));
	wire_kuint(&b, "node", node);
	wire_client_send(client, &b);
}

bool wire_ask_deployed(struct wire_client *client, uint64_t req, uint32_t node)
{
	wire_ask_deploy(client, req, node, "native", "first");
	return wire_client_wait(client, "deployed", req, 1) != NULL;
}

void wire_ask_call(struct wire_client *client, uint64_t req, struct wire_ask_call call)
{
	struct buf b = {0};
	const char *data = call.data ? call.data : "42";
	wire_client_begin(&b, "call", req, 6);
	wire_kstr(&b, "name", call.name);
	wire_kbin(&b, "data", data, strlen(data));
	wire_kuint(&b, "node", call.node);
	wire_kuint(&b, "deadline_ms", call.deadline_ms);
	wire_kbool(&b, "detach", call.detach);
	wire_kbool(&b, "follow", call.follow);
	wire_client_send(client, &b);
}

void wire_ask_name(struct wire_client *client, uint64_t req, const char *type, const char *key,
	const char *value)
{
	struct buf b = {0};
	wire_client_begin(&b, type, req, 1);
	wire_kstr(&b, key, value);
	wire_client_send(client, &b);
}

void wire_ask_plain(struct wire_client *client, uint64_t req, const char *type)
{
	struct buf b = {0};
	wire_client_begin(&b, type, req, 0);
	wire_client_send(client, &b);
}

void wire_ask_cancel(struct wire_client *client, uint64_t req, uint64_t of)
{
	struct buf b = {0};
	wire_client_begin(&b, "cancel", req, 1);
	wire_kuint(&b, "of", of);
	wire_client_send(client, &b);
}

const struct wire_value *wire_ask_rows(
	struct wire_client *client, uint64_t req, const char *what, uint32_t *ret_count)
{
	const struct wire_value *rows = NULL;
	*ret_count = 0;
	wire_ask_name(client, req, "list", "what", what);
	const struct wire_value *answer = wire_client_wait(client, "rows", req, 1);
	if (answer)
		wire_get_array(answer, "rows", &rows, ret_count, NULL);
	return rows;
}
