/* ramet doctor: this machine's probes, then what each node of the cluster says of itself. */
#include "base/err.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/doctor_probe.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/json.h"
#include "cmd/ramet/table.h"
#include "cmd/ramet/verb.h"
#include "libramet/stream.h"

#include <stdio.h>

struct check {
	uint64_t node; /* 0: this machine */
	char name[64], state[16], detail[512], remedy[512], cost[512];
};

struct report {
	bool json, more;
	struct table table;
};

static void add(struct report *report, const struct check *c)
{
	if (report->json) {
		struct json json;
		fputs(report->more ? ",\n" : "\n", stdout);
		json_open(&json, stdout);
		json_uint(&json, "node", c->node);
		json_str(&json, "name", c->name);
		json_str(&json, "state", c->state);
		json_str(&json, "detail", c->detail);
		json_str(&json, "remedy", c->remedy);
		json_str(&json, "cost", c->cost);
		json_close(&json);
	} else {
		if (c->node)
			table_cell(&report->table, "node %llu", (unsigned long long)c->node);
		else
			table_cell(&report->table, "this machine");
		table_cell(&report->table, "%s", c->name);
		table_cell(&report->table, "%s", c->state);
		table_cell(&report->table, "%s%s%s%s%s", c->detail, *c->cost ? ": " : "", c->cost,
			*c->remedy ? ". Remedy: " : "", c->remedy);
	}
	report->more = true;
}

static void probe_machine(struct report *report)
{
	for (size_t i = 0; i < doctor_probe_count(); i++) {
		struct probe_result r;
		struct check c = {0};
		doctor_probe(i, &r);
		snprintf(c.name, sizeof(c.name), "%s", r.name);
		snprintf(c.state, sizeof(c.state), "%s", probe_state_name(r.state));
		snprintf(c.detail, sizeof(c.detail), "%s", r.detail);
		snprintf(c.remedy, sizeof(c.remedy), "%s", r.remedy);
		snprintf(c.cost, sizeof(c.cost), "%s", r.cost);
		add(report, &c);
	}
}

static int parse(const struct wire_value *map, struct check *c, struct ramet_err *err)
{
	int rc = wire_get_uint(map, "node", UINT32_MAX, &c->node, err);
	if (rc == 0)
		rc = wire_get_str(map, "name", c->name, sizeof(c->name), err);
	if (rc == 0)
		rc = wire_get_str(map, "state", c->state, sizeof(c->state), err);
	if (rc == 0)
		rc = wire_get_str_or(map, "detail", "", c->detail, sizeof(c->detail), err);
	if (rc == 0)
		rc = wire_get_str_or(map, "remedy", "", c->remedy, sizeof(c->remedy), err);
	if (rc == 0)
		rc = wire_get_str_or(map, "cost", "", c->cost, sizeof(c->cost), err);
	return rc;
}

static int ask_cluster(struct report *report, const char *socket, struct ramet_err *err)
{
	auto_ramet struct ramet *ramet = NULL;
	auto_message struct message *message = NULL;
	const struct wire_value *checks;
	uint32_t count;
	int rc = ramet_open(socket, &ramet, err);
	if (rc == 0)
		rc = stream_request(ramet, "doctor", 0, NULL, NULL, handle_deadline(10000),
			"checks", &message, err);
	if (rc == 0)
		rc = wire_get_array(message->root, "checks", &checks, &count, err);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		struct check c = {0};
		rc = parse(wire_at(checks, i), &c, err);
		if (rc == 0)
			add(report, &c);
	}
	return rc;
}

int verb_doctor(int argc, char **argv)
{
	const char *socket = NULL;
	struct report report = {0};
	const struct option options[] = {OPTION_JSON(&report.json), OPTION_SOCKET(&socket), {0}};
	const struct usage usage = {"doctor", "[OPTION]...",
		"Say what this machine, and the cluster if one runs, can do; what is missing, what "
		"that costs, and\nhow a site enables it.",
		options, 0, 0};
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, NULL, &code))
		return code;
	table_column(&report.table, "WHERE", false);
	table_column(&report.table, "WHAT", false);
	table_column(&report.table, "STATE", false);
	table_column(&report.table, "FOUND", false);
	if (report.json)
		fputc('[', stdout);
	probe_machine(&report);
	int rc = ask_cluster(&report, socket, &err);
	if (report.json)
		fputs("\n]\n", stdout);
	else
		table_print(&report.table, stdout);
	table_fini(&report.table);
	if (rc == RAMET_ENOCLUSTER) { /* the machine is worth a check before a cluster runs */
		fprintf(stderr, "%s; only this machine was checked\n", err.msg);
		return EXIT_OK;
	}
	return rc < 0 ? exit_tell("doctor", &err) : EXIT_OK;
}
