/* What a configuration's text may be at all. This pass over the parser's events comes first because
 * it refuses what makes a document costly: depth (libyaml takes quadratic time in it) and aliases
 * (they multiply). */
#include "base/conf_check.h"

#define DEPTH_MAX 32

int conf_fail_parse(const char *name, const yaml_parser_t *parser, struct ramet_err *err)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return err_nomem(err);
	return err_set(err, RAMET_ECONFIG, "%s:%zu: %s%s%s", name, parser->problem_mark.line + 1,
		parser->context ? parser->context : "", parser->context ? ": " : "",
		parser->problem ? parser->problem : "not YAML");
}

struct scan {
	unsigned depth, documents;
	bool ended;
};

static int scan_event(
	const char *name, struct scan *scan, const yaml_event_t *event, struct ramet_err *err)
{
	size_t line = event->start_mark.line + 1;
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return err_set(err, RAMET_ECONFIG, "%s:%zu: anchors and aliases are not supported",
			name, line);
	case YAML_DOCUMENT_START_EVENT:
		if (scan->documents++)
			return err_set(err, RAMET_ECONFIG, "%s:%zu: a second document", name, line);
		return 0;
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		if (scan->depth++ == DEPTH_MAX)
			return err_set(err, RAMET_ECONFIG, "%s:%zu: nested deeper than %d", name,
				line, DEPTH_MAX);
		return 0;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		scan->depth--;
		return 0;
	default:
		scan->ended = event->type == YAML_STREAM_END_EVENT;
		return 0;
	}
}

int conf_scan(const char *name, yaml_parser_t *parser, bool *ret_empty, struct ramet_err *err)
{
	struct scan scan = {0};
	while (!scan.ended) {
		yaml_event_t event;
		if (!yaml_parser_parse(parser, &event))
			return conf_fail_parse(name, parser, err);
		int rc = scan_event(name, &scan, &event, err);
		yaml_event_delete(&event);
		if (rc < 0)
			return rc;
	}
	*ret_empty = scan.documents == 0;
	return 0;
}
