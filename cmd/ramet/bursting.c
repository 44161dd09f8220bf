/* What `burst` and `run` share: lines of JSON as instances are done, or one table in the order of
 * ranks. */
#include "cmd/ramet/bursting.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/json.h"
#include "cmd/ramet/print_result.h"
#include "cmd/ramet/table.h"
#include "libramet/result.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN 48 /* bytes of an output, in the table */

struct progress {
	const struct bursting *burst;
	uint32_t done, failed;
	struct ramet_result **by_rank; /* burst->n; NULL when printing JSON */
};

static int on_result(void *user, struct ramet_result *result)
{
	struct progress *p = user;
	char text[64];
	p->done++;
	p->failed += result->failure != NULL;
	if (!p->by_rank) {
		print_result_json(stdout, result, true);
		ramet_result_free(result);
		return 0;
	}
	if (result->rank < p->burst->n && !p->by_rank[result->rank])
		p->by_rank[result->rank] = result;
	else
		ramet_result_free(result);
	snprintf(text, sizeof(text), "%u of %u done%s", p->done, p->burst->n,
		p->failed ? ", some failed" : "");
	client_progress(text);
	return 0;
}

static void row(struct table *table, const struct ramet_result *r)
{
	char figure[24];
	table_cell(table, "%u", r->rank);
	table_cell(table, "%u", r->node);
	table_cell(table, "%s", r->start ? ramet_start_name(r->start) : "-");
	if (r->source_node)
		table_cell(table, "%u", r->source_node);
	else
		table_cell(table, "-");
	table_cell(table, "%s",
		r->first_instruction_us > 0 ? table_us(figure, r->first_instruction_us) : "-");
	table_cell(table, "%s", table_us(figure, r->run_us));
	table_cell(table, "%s", table_us(figure, r->total_us));
	if (r->failure)
		table_cell(table, "%s: %.*s", ramet_error_name(r->failure->code), SHOWN,
			r->failure->message);
	else if (r->binary)
		table_cell(table, "%zu bytes", r->output_len);
	else
		table_cell(table, "%.*s%s", (int)MIN(r->output_len, (size_t)SHOWN),
			(const char *)r->output, r->output_len > SHOWN ? "..." : "");
}

static void print_table(const struct progress *p)
{
	CLEANUP(table_fini) struct table table = {0};
	table_column(&table, "RANK", true);
	table_column(&table, "NODE", true);
	table_column(&table, "START", false);
	table_column(&table, "FROM", true);
	table_column(&table, "FIRST INSTRUCTION", true);
	table_column(&table, "RUN", true);
	table_column(&table, "TOTAL", true);
	table_column(&table, "RESULT", false);
	for (uint32_t i = 0; i < p->burst->n; i++)
		if (p->by_rank[i])
			row(&table, p->by_rank[i]);
	table_print(&table, stdout);
	for (uint32_t i = 0; i < p->burst->n; i++) {
		if (p->by_rank[i] && p->by_rank[i]->failure) {
			print_failure(p->burst->verb, p->by_rank[i]); /* one says enough */
			break;
		}
	}
}

static void print_summary_json(const struct ramet_summary *s)
{
	struct json outer, json, us;
	json_open(&outer, stdout);
	json_open(&json, json_key(&outer, "summary"));
	json_uint(&json, "n", s->n);
	json_uint(&json, "ok", s->ok);
	json_uint(&json, "failed", s->failed);
	json_uint(&json, "warm", s->warm);
	json_uint(&json, "local-fork", s->local_fork);
	json_uint(&json, "remote-fork", s->remote_fork);
	json_uint(&json, "cold", s->cold);
	json_uint(&json, "nodes", s->nodes);
	json_open(&us, json_key(&json, "us"));
	json_us(&us, "total", s->total_us);
	json_close(&us);
	json_close(&json);
	json_close(&outer);
	fputc('\n', stdout);
}

static void print_summary(const struct ramet_summary *s)
{
	char total[24];
	printf("%u instance%s on %u node%s in %s: %u warm, %u local-fork, %u remote-fork, %u cold; "
	       "%u failed\n",
		s->n, s->n == 1 ? "" : "s", s->nodes, s->nodes == 1 ? "" : "s",
		table_us(total, s->total_us), s->warm, s->local_fork, s->remote_fork, s->cold,
		s->failed);
}

static int run(struct ramet *ramet, const char *function, const struct call_data *data,
	struct progress *p, struct ramet_err *err)
{
	const struct bursting *burst = p->burst;
	struct ramet_call_options options = ramet_call_options_default();
	struct ramet_summary summary = {.size = sizeof(summary)};
	options.flags = data->binary ? RAMET_CALL_BINARY : 0;
	options.node = burst->node;
	options.deadline_ms = burst->deadline_ms;
	int rc = ramet_burst(ramet, function, burst->n, data->text, data->len, &options, on_result,
		p, &summary, err);
	client_progress_end();
	if (p->by_rank && p->done)
		print_table(p);
	if (summary.n && burst->json)
		print_summary_json(&summary);
	else if (summary.n)
		print_summary(&summary);
	if (rc < 0 && !summary.n)
		return exit_tell(burst->verb, err);
	return (int)exit_code_of(rc);
}

int bursting_run(struct ramet *ramet, const char *function, const struct call_data *data,
	const struct bursting *burst)
{
	struct progress p = {.burst = burst};
	struct ramet_err err = {0};
	if (!burst->json) {
		p.by_rank = calloc(burst->n, sizeof(struct ramet_result *));
		if (!p.by_rank) {
			err_nomem(&err);
			return exit_tell(burst->verb, &err);
		}
	}
	int code = run(ramet, function, data, &p, &err);
	for (uint32_t i = 0; p.by_rank && i < burst->n; i++)
		ramet_result_free(p.by_rank[i]);
	free(p.by_rank);
	return code;
}
