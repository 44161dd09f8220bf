/* base/conf: what is loaded, and what is said about what cannot be. */
#include "base/cleanup.h"
#include "base/conf.h"
#include "tests/lib/suite.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum color { RED = 1, BLUE };

struct item {
	char *path;
	int8_t level;
};

struct sample {
	char *name;
	uint16_t port;
	bool fresh;
	double ratio;
	enum color color;
	uint32_t parts;
	char tag[8];
	char *note;
	struct item limits;
	struct item *items;
	unsigned items_count;
};

static const cyaml_strval_t colors[] = {{"red", RED}, {"blue", BLUE}};
static const cyaml_strval_t parts[] = {{"head", 1}, {"tail", 2}};

static const cyaml_schema_field_t item_fields[] = {
	CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER, struct item, path, 1, 20),
	CYAML_FIELD_INT("level", CYAML_FLAG_OPTIONAL, struct item, level),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t item_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct item, item_fields)};

static const cyaml_schema_field_t sample_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct sample, name, 1, 40),
	CYAML_FIELD_UINT("port", CYAML_FLAG_OPTIONAL, struct sample, port),
	CYAML_FIELD_BOOL("fresh", CYAML_FLAG_OPTIONAL, struct sample, fresh),
	CYAML_FIELD_FLOAT("ratio", CYAML_FLAG_OPTIONAL, struct sample, ratio),
	CYAML_FIELD_ENUM(
		"color", CYAML_FLAG_OPTIONAL, struct sample, color, colors, ARRAY_LEN(colors)),
	CYAML_FIELD_FLAGS(
		"parts", CYAML_FLAG_OPTIONAL, struct sample, parts, parts, ARRAY_LEN(parts)),
	CYAML_FIELD_STRING("tag", CYAML_FLAG_OPTIONAL, struct sample, tag, 0),
	CYAML_FIELD_STRING_PTR(
		"note", CYAML_FLAG_POINTER_NULL | CYAML_FLAG_OPTIONAL, struct sample, note, 0, 20),
	CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct sample, limits, item_fields),
	CYAML_FIELD_SEQUENCE("items", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct sample,
		items, &item_schema, 0, 3),
	CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sample, sample_fields)};

static int load(const char *text, size_t len, struct sample **ret, struct ramet_err *err)
{
	void *conf = NULL;
	int rc = conf_load_mem("f.yaml", text, len, &schema, &conf, err);
	*ret = conf;
	return rc;
}

static void test_everything_is_loaded(void)
{
	static const char text[] = "# a comment\n"
				   "name: hello\n"
				   "port: 0x50\n"
				   "fresh: Yes\n"
				   "ratio: 1.5e1\n"
				   "color: blue\n"
				   "parts: [head, tail]\n"
				   "tag: seven77\n"
				   "note:\n"
				   "limits: {path: /x, level: -128}\n"
				   "items:\n"
				   "- path: a\n"
				   "- path: \"b\"\n"
				   "  level: 127\n";
	struct sample *s = NULL;
	struct ramet_err err = {0};
	REQUIRE_OK(load(text, strlen(text), &s, &err), &err);
	CHECK_STR(s->name, "hello");
	CHECK_INT(s->port, 80);
	CHECK(s->fresh);
	CHECK(s->ratio == 15.0);
	CHECK_INT(s->color, BLUE);
	CHECK_INT(s->parts, 3);
	CHECK_STR(s->tag, "seven77");
	CHECK(s->note == NULL);
	CHECK_STR(s->limits.path, "/x");
	CHECK_INT(s->limits.level, -128);
	REQUIRE(s->items_count == 2);
	CHECK_STR(s->items[1].path, "b");
	CHECK_INT(s->items[1].level, 127);
	conf_free(&schema, s);
	conf_free(&schema, NULL);
}

static void test_missing_keys_are_zero(void)
{
	struct sample *s = NULL;
	struct ramet_err err = {0};
	REQUIRE_OK(load("name: x\nfresh: off\n", 18, &s, &err), &err);
	CHECK_INT(s->port, 0);
	CHECK(!s->fresh && s->items == NULL && s->items_count == 0);
	conf_free(&schema, s);
}

static void test_failures_name_line_key_and_reason(void)
{
	static const char *const cases[][2] = {
		{"name: x\nprot: 3\n", "f.yaml:2: prot: unknown key; did you mean \"port\"?"},
		{"name: x\nlimits:\n  path: a\n  leve: 3\n",
			"f.yaml:4: limits.leve: unknown key; did you mean \"level\"?"},
		{"name: x\nitems:\n- path: a\n- path: b\n  other: 1\n",
			"f.yaml:5: items[1].other: unknown key; known are: path, level"},
		{"port: 3\n", "f.yaml:1: key \"name\" is missing"},
		{"", "f.yaml: empty; key \"name\" is missing"},
		{"# nothing\n", "f.yaml: empty; key \"name\" is missing"},
		{"name: x\nlimits: {level: 1}\n", "f.yaml:2: limits: key \"path\" is missing"},
		{"name: x\nport: 1\nname: y\n", "f.yaml:3: name: is there already, on line 1"},
		{"name: x\nport: 65536\n", "f.yaml:2: port: 65536 is not between 0 and 65535"},
		{"name: x\nport: -1\n", "f.yaml:2: port: -1 is not between 0 and 65535"},
		{"name: x\nport: 3x\n", "f.yaml:2: port: \"3x\" is not a whole number"},
		{"name: x\nport: 010\n", "f.yaml:2: port: \"010\" is not a whole number"},
		{"name: x\nport:\n", "f.yaml:2: port: \"\" is not a whole number"},
		{"name: x\nport: 99999999999999999999\n",
			"f.yaml:2: port: 99999999999999999999 is not between 0 and 65535"},
		{"name: x\nlimits: {path: a, level: 128}\n",
			"f.yaml:2: limits.level: 128 is not between -128 and 127"},
		{"name: x\nfresh: maybe\n", "f.yaml:2: fresh: \"maybe\" is neither true nor false"},
		{"name: x\nratio: 1.5x\n", "f.yaml:2: ratio: \"1.5x\" is not a number"},
		{"name: x\ncolor: blu\n",
			"f.yaml:2: color: unknown value \"blu\"; did you mean \"blue\"?"},
		{"name: x\ncolor: 1\n",
			"f.yaml:2: color: unknown value \"1\"; known are: red, blue"},
		{"name: x\nparts: [head, tial]\n",
			"f.yaml:2: parts[1]: unknown value \"tial\"; did you mean \"tail\"?"},
		{"name: x\ntag: eighteen\n", "f.yaml:2: tag: longer than 7 bytes"},
		{"name:\n", "f.yaml:1: name: empty"},
		{"name: [x]\n", "f.yaml:1: name: a list where text is expected"},
		{"name: x\nport: {a: b}\n",
			"f.yaml:2: port: a mapping where a whole number is expected"},
		{"name: x\nitems: 3\n", "f.yaml:2: items: a list is expected"},
		{"name: x\nlimits: 3\n", "f.yaml:2: limits: a mapping (key: value) is expected"},
		{"name: x\nitems: [{path: a}, {path: a}, {path: a}, {path: a}]\n",
			"f.yaml:2: items: more than 3 entries"},
		{"- name\n", "f.yaml:1: a mapping (key: value) is expected"},
		{"hello\n", "f.yaml:1: a mapping (key: value) is expected"},
		{"name: &n x\nlimits: {path: *n}\n",
			"f.yaml:2: anchors and aliases are not supported"},
		{"name: \"a\\0b\"\n", "f.yaml:1: name: text with a NUL in it"},
		{"? [a]\n: b\n", "f.yaml:1: a list where a key is expected"},
		{"name: x\n---\nname: y\n", "f.yaml:2: a second document"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sample *s = NULL;
		struct ramet_err err = {0};
		CHECK_INT(load(cases[i][0], strlen(cases[i][0]), &s, &err), RAMET_ECONFIG);
		CHECK_STR(err.msg, cases[i][1]);
		CHECK(s == NULL);
	}
}

static void test_what_is_no_yaml_names_its_line(void)
{
	static const char *const cases[][2] = {{"name: x\n\tport: 3\n", "f.yaml:2: "},
		{"name: [x\n", "f.yaml:2: "}, {"name: 'x\xff'\n", "f.yaml:"},
		{"name: x\n...\n&&\n", "f.yaml:3: "}, {"name: \"x\n", "f.yaml:"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sample *s = NULL;
		struct ramet_err err = {0};
		CHECK_INT(load(cases[i][0], strlen(cases[i][0]), &s, &err), RAMET_ECONFIG);
		if (strncmp(err.msg, cases[i][1], strlen(cases[i][1])) != 0)
			CHECK_STR(err.msg, cases[i][1]);
	}
}

static void test_hostile_texts_are_bounded(void)
{
	struct sample *s = NULL;
	struct ramet_err err = {0};
	size_t len = CONF_MAX_BYTES + 1;
	auto_free char *text = malloc(len);
	REQUIRE(text != NULL);
	memset(text, '#', len);
	CHECK_INT(load(text, len, &s, &err), RAMET_ECONFIG);
	CHECK_STR(err.msg, "f.yaml: longer than 1048576 bytes");
	memset(text, '[', len);
	CHECK_INT(load(text, CONF_MAX_BYTES, &s, &err), RAMET_ECONFIG);
	CHECK_STR(err.msg, "f.yaml:1: nested deeper than 32");
	for (size_t i = 0; i < CONF_MAX_BYTES; i++)
		text[i] = i % 2 ? ' ' : '-';
	CHECK_INT(load(text, CONF_MAX_BYTES, &s, &err), RAMET_ECONFIG);
	CHECK_STR(err.msg, "f.yaml:1: nested deeper than 32");

	static const char laughs[] = "name: x\n"
				     "a: &a [x, x, x, x, x, x, x, x]\n"
				     "b: &b [*a, *a, *a, *a, *a, *a]\n"
				     "c: &c [*b, *b, *b, *b, *b, *b]\n"
				     "items: [*c, *c, *c]\n";
	CHECK_INT(load(laughs, strlen(laughs), &s, &err), RAMET_ECONFIG);
	static const char loop[] = "name: x\nitems: &l [*l]\n";
	CHECK_INT(load(loop, strlen(loop), &s, &err), RAMET_ECONFIG);
	CHECK_STR(err.msg, "f.yaml:2: anchors and aliases are not supported");
}

static void test_mutations_do_no_harm(void)
{
	static const char text[] =
		"name: hello\nport: 80\nparts: [head]\nlimits: {path: /x, level: -1}\n"
		"items:\n- path: a\n- path: \"b\"\n  level: 127\nratio: 1.0\n";
	static const char letters[] = "\n\t :-[]{}\"'&*!|>%@#,?~0x\xc3\x80";
	unsigned x = 9, accepted = 0;
	for (unsigned round = 0; round < 4000; round++) {
		char m[sizeof(text)];
		memcpy(m, text, sizeof(text));
		for (unsigned k = 0; k <= round % 2; k++) {
			x = x * 1103515245 + 12345;
			m[(x >> 8) % (sizeof(text) - 1)] =
				letters[(x >> 20) % (sizeof(letters) - 1)];
		}
		struct sample *s = NULL;
		struct ramet_err err = {0};
		int rc = load(m, sizeof(text) - 1, &s, &err);
		CHECK(rc == 0 || (rc == RAMET_ECONFIG && strncmp(err.msg, "f.yaml", 6) == 0));
		accepted += rc == 0;
		conf_free(&schema, s);
	}
	CHECK(accepted > 100 && accepted < 3900);
}

static void test_files(void)
{
	char path[] = "/tmp/ramet-conf-XXXXXX";
	void *conf = NULL;
	struct ramet_err err = {0};
	auto_close int fd = mkstemp(path);
	REQUIRE(fd >= 0);
	CHECK_INT(write(fd, "name: f\n", 8), 8);
	CHECK_INT(conf_load_file(path, &schema, &conf, &err), 0);
	REQUIRE(conf != NULL);
	CHECK_STR(((struct sample *)conf)->name, "f");
	conf_free(&schema, conf);
	CHECK_INT(ftruncate(fd, CONF_MAX_BYTES + 1), 0);
	CHECK_INT(conf_load_file(path, &schema, &conf, &err), RAMET_ECONFIG);
	unlink(path);
	CHECK_INT(conf_load_file(path, &schema, &conf, &err), RAMET_EIO);
	CHECK(strstr(err.msg, path) != NULL);
}

static void test_nearest(void)
{
	static const char *const words[] = {"deploy", "call", "nodes", "logs", "doctor", NULL};
	CHECK_STR(conf_nearest("dploy", words), "deploy");
	CHECK_STR(conf_nearest("clal", words), "call");
	CHECK_STR(conf_nearest("node", words), "nodes");
	CHECK_STR(conf_nearest("docotr", words), "doctor");
	CHECK(conf_nearest("x", words) == NULL);
	CHECK(conf_nearest("", words) == NULL);
	CHECK(conf_nearest("something else entirely", words) == NULL);
	CHECK(conf_nearest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		      words) == NULL);
}

SUITE_MAIN("conf", TEST(test_everything_is_loaded), TEST(test_missing_keys_are_zero),
	TEST(test_failures_name_line_key_and_reason), TEST(test_what_is_no_yaml_names_its_line),
	TEST(test_hostile_texts_are_bounded), TEST(test_mutations_do_no_harm), TEST(test_files),
	TEST(test_nearest))
