/* Printing results. The JSON object's keys are an interface: programs read them. */
#include "cmd/ramet/print_result.h"

#include "cmd/ramet/client.h"
#include "cmd/ramet/json.h"
#include "cmd/ramet/table.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

/* of signals that an instruction raises; others have no address */
static bool has_address(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGTRAP;
}

static void json_failure(struct json *json, const struct ramet_failure *f)
{
	struct json error;
	FILE *out = json_key(json, "error");
	if (!f) {
		fputs("null", out);
		return;
	}
	json_open(&error, out);
	json_str(&error, "code", ramet_error_name(f->code));
	json_str(&error, "kind", ramet_kind_name(f->kind));
	json_bool(&error, "retryable", f->retryable);
	json_str(&error, "type", *f->type ? f->type : NULL);
	json_str(&error, "message", f->message);
	json_str(&error, "traceback", *f->traceback ? f->traceback : NULL);
	if (f->signal)
		json_int(&error, "signal", f->signal);
	else
		json_str(&error, "signal", NULL);
	if (has_address(f->signal))
		json_uint(&error, "fault_address", f->fault_address);
	else
		json_str(&error, "fault_address", NULL);
	json_uint(&error, "node", f->node);
	json_string(json_key(&error, "log_tail"), f->log_tail, f->log_tail_len);
	json_close(&error);
}

static void json_output(struct json *json, const struct ramet_result *r)
{
	if (r->failure || (!r->binary && r->output_len == 0))
		json_str(json, "output", NULL);
	else if (!r->binary && json_check(r->output, r->output_len, NULL))
		json_verbatim(json_key(json, "output"), r->output, r->output_len);
	else
		json_base64(json_key(json, "output_base64"), r->output, r->output_len);
}

void print_result_json(FILE *out, const struct ramet_result *r, bool burst)
{
	struct json json, us;
	json_open(&json, out);
	if (burst) {
		json_uint(&json, "rank", r->rank);
		json_uint(&json, "size", r->group);
	}
	json_str(&json, "function", r->function);
	json_str(&json, "version", *r->version ? r->version : NULL);
	json_str(&json, "call", *r->call ? r->call : NULL);
	json_uint(&json, "node", r->node);
	json_uint(&json, "instance", r->instance);
	json_int(&json, "pid", r->pid);
	json_str(&json, "start", r->start ? ramet_start_name(r->start) : NULL);
	if (r->source_node)
		json_uint(&json, "source_node", r->source_node);
	else
		json_str(&json, "source_node", NULL);
	json_output(&json, r);
	json_failure(&json, r->failure);
	json_open(&us, json_key(&json, "us"));
	json_us(&us, "queue", r->queue_us);
	json_us(&us, "start", r->start_us);
	json_us(&us, "first_instruction", r->first_instruction_us);
	json_us(&us, "run", r->run_us);
	json_us(&us, "total", r->total_us);
	json_close(&us);
	json_close(&json);
	fputc('\n', out);
}

/* the last line of a traceback is what print_failure() has told already */
static void print_traceback(const char *traceback)
{
	size_t len = strlen(traceback);
	while (len && traceback[len - 1] == '\n')
		len--;
	if (memchr(traceback, '\n', len))
		fprintf(stderr, "%.*s\n", (int)len, traceback);
}

static void print_signal(const struct ramet_failure *f)
{
	char said[24];
	snprintf(said, sizeof(said), "signal %d ", f->signal);
	if (!f->signal || strstr(f->message, said))
		return;
	fprintf(stderr, "%s(%s)", said, strsignal(f->signal));
	if (has_address(f->signal))
		fprintf(stderr, " at address 0x%" PRIx64, f->fault_address);
	fputc('\n', stderr);
}

void print_failure(const char *verb, const struct ramet_result *r)
{
	const struct ramet_failure *f = r->failure;
	client_progress_end();
	fprintf(stderr, "ramet %s: %s: %s%s%s\n", verb, *r->function ? r->function : "failed",
		f->type, *f->type ? ": " : "",
		*f->message ? f->message : ramet_error_text(f->code));
	print_traceback(f->traceback);
	print_signal(f);
	if (f->log_tail_len) {
		fprintf(stderr, "last output of the instance:\n");
		fwrite(f->log_tail, 1, f->log_tail_len, stderr);
		if (f->log_tail[f->log_tail_len - 1] != '\n')
			fputc('\n', stderr);
	}
}

static void print_start(const struct ramet_result *r)
{
	char total[24], run[24];
	char from[32] = "";
	if (r->source_node)
		snprintf(from, sizeof(from), " from node %u", r->source_node);
	fprintf(stderr, "%s on node %u%s, %s in all, %s in the function\n",
		ramet_start_name(r->start), r->node, from, table_us(total, r->total_us),
		table_us(run, r->run_us));
}

void print_result_text(const char *verb, const struct ramet_result *r)
{
	if (r->failure) {
		print_failure(verb, r);
		return;
	}
	fwrite(r->output, 1, r->output_len, stdout);
	if (!r->binary)
		fputc('\n', stdout);
	fflush(stdout);
	if (client_is_terminal() && r->start)
		print_start(r);
}
