/* Printing what instances print: text line by line, so that every line says whose it is. */
#include "cmd/ramet/log_print.h"

#include "cluster/client_proto.h"
#include "cmd/ramet/json.h"

#include <string.h>
#include <time.h>

struct log_piece {
	uint64_t node, instance, pid, rank, time;
	char function[CLIENT_NAME_MAX + 1], call[CLIENT_CALL_MAX + 1], stream[8];
	const char *data;
	size_t len;
};

static int parse(const struct wire_value *root, struct log_piece *p, struct ramet_err *err)
{
	const void *data;
	int rc = wire_get_uint(root, "node", UINT32_MAX, &p->node, err);
	if (rc == 0)
		rc = wire_get_uint(root, "instance", UINT64_MAX, &p->instance, err);
	if (rc == 0)
		rc = wire_get_uint_or(root, "pid", INT32_MAX, 0, &p->pid, err);
	if (rc == 0)
		rc = wire_get_uint_or(root, "rank", UINT32_MAX, 0, &p->rank, err);
	if (rc == 0)
		rc = wire_get_uint_or(root, "time", UINT64_MAX, 0, &p->time, err);
	if (rc == 0)
		rc = wire_get_str_or(root, "function", "", p->function, sizeof(p->function), err);
	if (rc == 0)
		rc = wire_get_str_or(root, "call", "", p->call, sizeof(p->call), err);
	if (rc == 0)
		rc = wire_get_str_or(root, "stream", "out", p->stream, sizeof(p->stream), err);
	if (rc == 0)
		rc = wire_get_bin(root, "data", &data, &p->len, err);
	if (rc == 0)
		p->data = data;
	return rc;
}

static void print_json(FILE *out, const struct log_piece *p)
{
	struct json json;
	json_open(&json, out);
	json_uint(&json, "time", p->time);
	json_uint(&json, "node", p->node);
	json_uint(&json, "instance", p->instance);
	json_uint(&json, "pid", p->pid);
	json_str(&json, "function", *p->function ? p->function : NULL);
	json_str(&json, "call", *p->call ? p->call : NULL);
	json_uint(&json, "rank", p->rank);
	json_str(&json, "stream", p->stream);
	json_string(json_key(&json, "text"), p->data, p->len);
	json_close(&json);
	fputc('\n', out);
}

static void print_text(FILE *out, const struct log_piece *p)
{
	char when[32];
	time_t seconds = (time_t)(p->time / 1000000000u);
	struct tm tm;
	localtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%H:%M:%S", &tm);
	for (size_t at = 0; at < p->len;) {
		const char *end = memchr(p->data + at, '\n', p->len - at);
		size_t n = end ? (size_t)(end - p->data) - at : p->len - at;
		fprintf(out, "%s node%llu/%llu", when, (unsigned long long)p->node,
			(unsigned long long)p->instance);
		if (*p->function)
			fprintf(out, " %s", p->function);
		if (*p->call)
			fprintf(out, " %s#%llu", p->call, (unsigned long long)p->rank);
		fputs("| ", out);
		fwrite(p->data + at, 1, n, out);
		fputc('\n', out);
		at += n + 1;
	}
}

int log_print(FILE *out, const struct message *message, bool json, struct ramet_err *err)
{
	struct log_piece piece = {0};
	int rc = parse(message->root, &piece, err);
	if (rc < 0)
		return rc;
	if (json)
		print_json(out, &piece);
	else
		print_text(out, &piece);
	fflush(out);
	return 0;
}
