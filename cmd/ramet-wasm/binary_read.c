/* Sections of a module: types, imports, functions, memories and exports. See binary.h. */
#include "cmd/ramet-wasm/binary_internal.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

DEFINE_CLEANUP(struct binary, binary_destroy)

/* --- bytes --- */

int binary_u32(struct binary_reader *r, uint32_t *ret)
{
	uint32_t value = 0;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (r->at == r->end)
			return RAMET_EPROTO;
		uint32_t byte = *r->at++;
		if (shift == 28 && (byte & 0xf0) != 0)
			return RAMET_EPROTO;
		value |= (byte & 0x7f) << shift;
		if ((byte & 0x80) == 0) {
			*ret = value;
			return 0;
		}
	}
	return RAMET_EPROTO;
}

int binary_bytes(struct binary_reader *r, uint32_t len, const unsigned char **ret)
{
	if ((size_t)(r->end - r->at) < len)
		return RAMET_EPROTO;
	*ret = r->at;
	r->at += len;
	return 0;
}

int binary_section(struct binary_reader *r, unsigned char *ret_id, struct binary_reader *ret_body)
{
	uint32_t len;
	if (r->at == r->end)
		return RAMET_EPROTO;
	*ret_id = *r->at++;
	if (binary_u32(r, &len) < 0 || binary_bytes(r, len, &ret_body->at) < 0)
		return RAMET_EPROTO;
	ret_body->end = ret_body->at + len;
	return 0;
}

static int byte(struct binary_reader *r, unsigned char *ret)
{
	const unsigned char *at;
	if (binary_bytes(r, 1, &at) < 0)
		return RAMET_EPROTO;
	*ret = *at;
	return 0;
}

static int name(struct binary_reader *r, const unsigned char **ret, uint32_t *ret_len)
{
	return binary_u32(r, ret_len) < 0 ? RAMET_EPROTO : binary_bytes(r, *ret_len, ret);
}

/* a count of things that take at least this many bytes each */
static int count_of(struct binary_reader *r, uint32_t least, uint32_t *ret)
{
	return binary_u32(r, ret) < 0 || *ret > (size_t)(r->end - r->at) / least ? RAMET_EPROTO : 0;
}

static int limits(struct binary_reader *r)
{
	uint32_t flags;
	uint32_t number;
	if (binary_u32(r, &flags) < 0 || binary_u32(r, &number) < 0)
		return RAMET_EPROTO;
	return (flags & 1) != 0 ? binary_u32(r, &number) : 0;
}

/* --- types --- */

static char letter(unsigned char type)
{
	switch (type) {
	case 0x7f:
		return 'i';
	case 0x7e:
		return 'I';
	case 0x7d:
		return 'f';
	case 0x7c:
		return 'd';
	default:
		return '?';
	}
}

static int type_part(struct binary_reader *r, struct binary_type *type, size_t *len)
{
	uint32_t count;
	const unsigned char *types;
	if (binary_u32(r, &count) < 0 || binary_bytes(r, count, &types) < 0)
		return RAMET_EPROTO;
	for (uint32_t i = 0; i < count; i++)
		if (*len < sizeof(type->text) - 2)
			type->text[(*len)++] = letter(types[i]);
	return 0;
}

/* what is longer than text is cut, and is then the type of nothing that is known */
static int read_types(struct binary *b, struct binary_reader r)
{
	uint32_t count;
	if (count_of(&r, 3, &count) < 0 || b->types)
		return RAMET_EPROTO;
	b->types = calloc((size_t)count + 1, sizeof(*b->types));
	if (!b->types)
		return RAMET_ENOMEM;
	for (; b->ntypes < count; b->ntypes++) {
		struct binary_type *type = &b->types[b->ntypes];
		unsigned char form;
		size_t len = 0;
		if (byte(&r, &form) < 0 || form != 0x60 || type_part(&r, type, &len) < 0)
			return RAMET_EPROTO;
		type->text[len++] = ':';
		if (type_part(&r, type, &len) < 0)
			return RAMET_EPROTO;
	}
	return 0;
}

static int add_function(struct binary *b, uint32_t type)
{
	if (type >= b->ntypes)
		return RAMET_EPROTO;
	b->function_types[b->nfunctions++] = type;
	return 0;
}

/* room for count functions more */
static int grow_functions(struct binary *b, uint32_t count)
{
	size_t total = (size_t)b->nfunctions + count + 1;
	uint32_t *grown = realloc(b->function_types, total * sizeof(*grown));
	if (!grown)
		return RAMET_ENOMEM;
	b->function_types = grown;
	return 0;
}

static int read_functions(struct binary *b, struct binary_reader r)
{
	uint32_t count;
	if (count_of(&r, 1, &count) < 0)
		return RAMET_EPROTO;
	int rc = grow_functions(b, count);
	for (uint32_t i = 0; i < count && rc == 0; i++) {
		uint32_t type;
		rc = binary_u32(&r, &type) < 0 ? RAMET_EPROTO : add_function(b, type);
	}
	return rc;
}

/* --- imports --- */

static bool is(const unsigned char *text, uint32_t len, const char *expected)
{
	return strlen(expected) == len && memcmp(text, expected, len) == 0;
}

/* the type of what is known by these names; NULL: nothing is */
static const char *known_import(
	const unsigned char *module, uint32_t module_len, const unsigned char *field, uint32_t len)
{
#define KNOWN(module, name, type, ...) {#name, type},
#define KNOWN_ABSENT(name, type, ...) {#name, type},
	static const struct {
		const char *name, *type;
	} ramet[] = {WASM_RAMET_IMPORTS(KNOWN)},
	  wasi[] = {WASM_WASI_IMPORTS(KNOWN) WASM_WASI_ABSENT(KNOWN_ABSENT)};
	if (is(module, module_len, "ramet"))
		for (size_t i = 0; i < ARRAY_LEN(ramet); i++)
			if (is(field, len, ramet[i].name))
				return ramet[i].type;
	if (is(module, module_len, BINARY_WASI))
		for (size_t i = 0; i < ARRAY_LEN(wasi); i++)
			if (is(field, len, wasi[i].name))
				return wasi[i].type;
	return NULL;
}

/* text for people, of bytes that may be anything */
static void printable(const unsigned char *text, size_t len, char *dst, size_t cap)
{
	size_t i = 0;
	for (; i < len && i + 1 < cap; i++)
		dst[i] = text[i] >= 0x20 && text[i] < 0x7f ? (char)text[i] : '?';
	dst[i] = '\0';
}

static int check_import(struct binary *b, const unsigned char *module, uint32_t module_len,
	const unsigned char *field, uint32_t len, const char *type, struct ramet_err *err)
{
	char from[64];
	char what[128];
	printable(module, module_len, from, sizeof(from));
	printable(field, len, what, sizeof(what));
	const char *known = known_import(module, module_len, field, len);
	if (!known || !type)
		return err_set(err, RAMET_EUSER,
			"it imports \"%s\" \"%s\"%s, which Ramet does not have (it has functions "
			"of "
			"\"ramet\" and \"" BINARY_WASI "\")",
			from, what, type ? "" : ", no function");
	if (strcmp(known, type) != 0)
		return err_set(err, RAMET_EUSER,
			"it imports \"%s\" \"%s\" with type %s, which has type %s", from, what,
			type, known);
	if (is(module, module_len, "ramet"))
		b->imports_ramet = true;
	else
		b->imports_wasi = true;
	return 0;
}

static int read_import(struct binary *b, struct binary_reader *r, struct ramet_err *err)
{
	const unsigned char *module;
	const unsigned char *field;
	uint32_t module_len;
	uint32_t len;
	uint32_t type;
	unsigned char kind;
	if (name(r, &module, &module_len) < 0 || name(r, &field, &len) < 0 || byte(r, &kind) < 0)
		return RAMET_EPROTO;
	if (kind != BINARY_FUNCTION)
		return check_import(b, module, module_len, field, len, NULL, err);
	if (binary_u32(r, &type) < 0 || add_function(b, type) < 0)
		return RAMET_EPROTO;
	return check_import(b, module, module_len, field, len, b->types[type].text, err);
}

static int read_imports(struct binary *b, struct binary_reader r, struct ramet_err *err)
{
	uint32_t count;
	if (count_of(&r, 4, &count) < 0 || b->nfunctions > 0)
		return RAMET_EPROTO;
	int rc = grow_functions(b, count);
	for (uint32_t i = 0; i < count && rc == 0; i++)
		rc = read_import(b, &r, err);
	b->nimported = b->nfunctions;
	return rc;
}

/* --- exports --- */

static enum wasm_shape shape_of(const struct binary *b, uint32_t function)
{
	static const struct {
		const char *text;
		enum wasm_shape shape;
	} shapes[] = {{":", WASM_PLAIN}, {":i", WASM_STATUS}, {"i:i", WASM_ALLOC},
		{"ii:i", WASM_HANDLER}};
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		if (strcmp(b->types[b->function_types[function]].text, shapes[i].text) == 0)
			return shapes[i].shape;
	return WASM_OTHER;
}

static int read_export(struct binary *b, struct binary_reader *r, struct ramet_err *err)
{
	const unsigned char *text;
	uint32_t len;
	uint32_t index;
	unsigned char kind;
	if (name(r, &text, &len) < 0 || byte(r, &kind) < 0 || binary_u32(r, &index) < 0)
		return RAMET_EPROTO;
	if (kind != BINARY_FUNCTION || index < b->nimported)
		return 0;
	if (index >= b->nfunctions)
		return RAMET_EPROTO;
	if (len > BINARY_NAME_MAX || memchr(text, 0, len))
		return 0; /* no handler can name it */
	if (b->nexports == BINARY_EXPORTS_MAX)
		return err_set(
			err, RAMET_EUSER, "it exports more than %u functions", BINARY_EXPORTS_MAX);
	b->exports[b->nexports++] = (struct binary_export){
		.name = text, .len = len, .shape = shape_of(b, index), .function = index};
	return 0;
}

static int read_exports(struct binary *b, struct binary_reader r, struct ramet_err *err)
{
	uint32_t count;
	if (count_of(&r, 3, &count) < 0)
		return RAMET_EPROTO;
	int rc = 0;
	for (uint32_t i = 0; i < count && rc == 0; i++)
		rc = read_export(b, &r, err);
	return rc;
}

static int read_memories(struct binary *b, struct binary_reader r)
{
	uint32_t count;
	if (count_of(&r, 2, &count) < 0 || count > 1)
		return RAMET_EPROTO;
	b->has_memory = count == 1;
	return count == 1 ? limits(&r) : 0;
}

/* --- the module --- */

/* Sections come in this order, each once, and custom ones between them: the place of each id. */
static bool in_order(unsigned char id, unsigned *io_place)
{
	static const unsigned char places[BINARY_IDS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 10};
	if (id == BINARY_CUSTOM)
		return true;
	if (id >= BINARY_IDS || places[id] <= *io_place)
		return false;
	*io_place = places[id];
	return true;
}

static int read_section(
	struct binary *b, unsigned char id, struct binary_reader body, struct ramet_err *err)
{
	switch (id) {
	case BINARY_TYPES:
		return read_types(b, body);
	case BINARY_IMPORTS:
		return read_imports(b, body, err);
	case BINARY_FUNCTIONS:
		return read_functions(b, body);
	case BINARY_MEMORIES:
		return read_memories(b, body);
	case BINARY_EXPORTS:
		return read_exports(b, body, err);
	default:
		return 0;
	}
}

int binary_begin(const unsigned char *data, size_t len, struct binary_reader *ret)
{
	static const unsigned char head[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
	if (len < sizeof(head) || len > BINARY_MAX || memcmp(data, head, sizeof(head)) != 0)
		return RAMET_EPROTO;
	*ret = (struct binary_reader){data + sizeof(head), data + len};
	return 0;
}

int binary_read(
	const unsigned char *data, size_t len, struct binary **ret_binary, struct ramet_err *err)
{
	struct binary_reader r;
	if (len > BINARY_MAX)
		return err_set(
			err, RAMET_EUSER, "it has %zu bytes, and the limit is %u", len, BINARY_MAX);
	if (binary_begin(data, len, &r) < 0)
		return err_set(err, RAMET_EUSER, "it is no WebAssembly module of version 1");
	AUTO(binary_destroy) struct binary *b = calloc(1, sizeof(*b));
	if (!b)
		return err_nomem(err);
	unsigned place = 0;
	while (r.at < r.end) {
		unsigned char id;
		struct binary_reader body;
		int rc = binary_section(&r, &id, &body) < 0 || !in_order(id, &place)
			? RAMET_EPROTO
			: read_section(b, id, body, err);
		if (rc == RAMET_EPROTO)
			return err_set(err, RAMET_EUSER, "its bytes are damaged");
		if (rc == RAMET_ENOMEM)
			return err_nomem(err);
		if (rc < 0)
			return rc;
	}
	*ret_binary = steal_ptr(&b);
	return 0;
}

void binary_destroy(struct binary *binary)
{
	if (!binary)
		return;
	free(binary->types);
	free(binary->function_types);
	free(binary);
}
