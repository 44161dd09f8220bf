/* Hosts for tests: started as ramet-spawn does, spoken to as rametd does. */
#include "tests/runtime_host/host_world.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/frame.h"
#include "runtime/host_proto.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX 512
#define LIMITS ((struct wire_limits){.bytes = HOST_MAX_FRAME, .depth = 4, .items = 256})

static const char *const all_handlers[] = {"libhost_functions.so:echo",
	"libhost_functions.so:nothing", "libhost_functions.so:context", "libhost_functions.so:fail",
	"libhost_functions.so:seven", "libhost_functions.so:big", "libhost_functions.so:spin",
	"libhost_functions.so:crash", "libhost_functions.so:sum", "libhost_functions.so:seed",
	"libhost_functions.so:dontneed", "libhost_functions.so:refuse",
	"libhost_functions.so:inherited", "libhost_functions.so:tell", "libhost_functions.so:flood",
	"libhost_functions.so:advance", "libhost_memory.so:madvise_free",
	"libhost_memory.so:madvise_hole", "libhost_memory.so:madvise_odd", "libhost_memory.so:grow",
	"libhost_memory.so:twin", "libhost_memory.so:heap", "libhost_memory.so:deep",
	"libhost_memory.so:keep", NULL};

/* --- processes --- */

static _Noreturn void child(const struct host_program *program, int control, int output)
{
	char path[512];
	const char *dir = getenv("RAMET_BIN");
	int null = open("/dev/null", O_RDONLY);
	snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", program->name);
	if (program->before_exec && program->before_exec(program->arg) < 0)
		_exit(125);
	if (null < 0 || dup2(control, 10) < 0 || dup2(output, 1) < 0 || dup2(1, 2) < 0 ||
		dup2(null, 0) < 0 || dup2(10, HOST_CONTROL_FD) < 0)
		_exit(126);
	close_range(HOST_CONTROL_FD + 1, ~0u, 0);
	execl(path, program->name, NULL);
	_exit(127);
}

int host_spawn(struct host_world *w, const struct host_program *program, struct ramet_err *err)
{
	int pair[2];
	int out[2];
	*w = (struct host_world){.control = -1, .output = -1};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	w->control = pair[0];
	auto_close int theirs = pair[1];
	if (pipe2(out, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	w->output = out[0];
	auto_close int their_output = out[1];
	w->pid = fork();
	if (w->pid == 0)
		child(program, theirs, their_output);
	return w->pid < 0 ? err_errno(err, RAMET_EIO, "fork") : 0;
}

int host_start_program(
	struct host_world *w, const struct host_program *program, struct ramet_err *err)
{
	struct host_answer answer;
	int rc = host_spawn(w, program, err);
	if (rc < 0)
		return rc;
	rc = host_read(w->control, &answer, err);
	if (rc == 0)
		CHECK_STR(answer.type, "ready");
	host_answer_fini(&answer);
	return rc;
}

int host_start(struct host_world *w, struct ramet_err *err)
{
	return host_start_program(w, &(struct host_program){.name = "ramet-host"}, err);
}

int host_end(struct host_world *w)
{
	int status = -1;
	close_reset(&w->control);
	if (w->pid > 0)
		waitpid(w->pid, &status, 0);
	close_reset(&w->output);
	return status;
}

/* --- messages --- */

int host_read(int control, struct host_answer *ret, struct ramet_err *err)
{
	size_t len = 0;
	*ret = (struct host_answer){.nfds = 4};
	int rc = frame_read(control, HOST_MAX_FRAME, &ret->bytes, &len, ret->fds, &ret->nfds,
		now_ns() + HOST_TIMEOUT_NS, err);
	if (rc < 0)
		ret->nfds = 0;
	if (rc == 0)
		rc = wire_parse(ret->bytes, len, LIMITS, &ret->msg, err);
	if (rc == 0)
		ret->body = wire_root(ret->msg);
	return rc < 0 ? rc : wire_get_str(ret->body, "t", ret->type, sizeof(ret->type), err);
}

void host_answer_fini(struct host_answer *answer)
{
	for (unsigned i = 0; i < answer->nfds; i++)
		close_reset(&answer->fds[i]);
	wire_free(answer->msg);
	free(answer->bytes);
	*answer = (struct host_answer){.nfds = 0};
}

int host_send(int control, struct buf *message, struct ramet_err *err)
{
	int rc = wire_end(message, err);
	return rc < 0 ? rc
		      : frame_write(control, message->data, message->len, NULL, 0,
				now_ns() + HOST_TIMEOUT_NS, err);
}

int host_say(int control, const char *type, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 1);
	wire_kstr(&b, "t", type);
	return host_send(control, &b, err);
}

static const char *language_of(const char *handler, const struct host_config *config)
{
	const char *colon = strrchr(handler, ':');
	for (size_t i = 0; i < HOST_LANGUAGES_MAX && config->languages[i].name; i++) {
		size_t len = strlen(config->languages[i].name);
		if (colon && colon - handler > (ptrdiff_t)len &&
			colon[-(ptrdiff_t)len - 1] == '.' &&
			strncmp(colon - len, config->languages[i].name, len) == 0)
			return config->languages[i].name;
	}
	return NULL;
}

static void pack_function(struct buf *b, const char *handler, const struct host_config *config)
{
	const char *colon = strrchr(handler, ':');
	const char *named = strchr(handler, '=');
	const char *lang = language_of(handler, config);
	wire_map(b, lang ? 4 : 3);
	wire_str(b, "name");
	if (named)
		wire_strn(b, handler, (size_t)(named - handler));
	else
		wire_str(b, colon ? colon + 1 : handler);
	if (lang)
		wire_kstr(b, "lang", lang);
	wire_kstr(b, "handler", named ? named + 1 : handler);
	wire_kuint(b, "unknown", 1); /* keys of a later version are skipped */
}

static void pack_languages(struct buf *b, const struct host_config *config)
{
	uint32_t count = 0;
	while (count < HOST_LANGUAGES_MAX && config->languages[count].engine)
		count++;
	wire_key(b, "languages");
	wire_map(b, count);
	for (uint32_t i = 0; i < count; i++)
		wire_kstr(b, config->languages[i].name, config->languages[i].engine);
}

static void pack_list(struct buf *b, const char *key, const char *const *list)
{
	uint32_t count = 0;
	while (list && list[count])
		count++;
	wire_key(b, key);
	wire_array(b, count);
	for (uint32_t i = 0; i < count; i++)
		wire_str(b, list[i]);
}

int host_load(
	int control, const char *const *handlers, struct host_answer *ret, struct ramet_err *err)
{
	return host_load_with(control, handlers, &(struct host_config){.init = ""}, ret, err);
}

int host_load_with(int control, const char *const *handlers, const struct host_config *config,
	struct host_answer *ret, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	uint32_t count = 0;
	while (handlers[count])
		count++;
	*ret = (struct host_answer){.nfds = 0};
	wire_map(&b, 5);
	wire_kstr(&b, "t", "load");
	wire_kstr(&b, "dir", config->dir ? config->dir : HOST_FUNCTIONS_DIR);
	wire_key(&b, "functions");
	wire_array(&b, count);
	for (uint32_t i = 0; i < count; i++)
		pack_function(&b, handlers[i], config);
	wire_key(&b, "env");
	wire_map(&b, 1);
	wire_kstr(&b, "COLOUR", "green");
	wire_key(&b, "config");
	wire_map(&b, 8u + (config->compiled ? 1 : 0) + (config->lang ? 1 : 0));
	if (config->lang)
		wire_kstr(&b, "lang", config->lang);
	wire_kuint(&b, "unknown", 1);
	wire_kuint(&b, "heap", config->heap);
	wire_kbool(&b, "reset", config->resets);
	wire_kbool(&b, "isolates", config->isolates);
	if (config->compiled)
		wire_kstr(&b, "compiled", config->compiled);
	pack_languages(&b, config);
	wire_kstr(&b, "init", config->init ? config->init : "");
	pack_list(&b, "modules", config->modules);
	pack_list(&b, "path", config->path);
	int rc = host_send(control, &b, err);
	return rc < 0 ? rc : host_read(control, ret, err);
}

int host_load_all(int control, struct ramet_err *err)
{
	struct host_answer answer;
	int rc = host_load(control, all_handlers, &answer, err);
	if (rc == 0 && strcmp(answer.type, "loaded") != 0)
		rc = err_set(err, RAMET_EIO, "the answer is %s: %s", answer.type,
			answer_error(&answer, "message"));
	host_answer_fini(&answer);
	return rc;
}

void host_pack_call(struct buf *b, const struct host_request *request)
{
	static const unsigned char id[16] = {0x01, 0x23, 0xff};
	const char *text = request->text ? request->text : "";
	wire_map(b, request->events ? 9 : 8);
	wire_kstr(b, "t", "call");
	wire_kbool(b, "reset", request->reset);
	if (request->events)
		wire_kbool(b, "events", true);
	wire_kuint(b, "id", request->id);
	wire_kstr(b, "fn", request->function);
	wire_kbin(b, "data", request->data ? request->data : text,
		request->data ? request->len : strlen(text));
	wire_kbool(b, "binary", request->binary);
	wire_kuint(b, "max_output", request->max_output ? request->max_output : HOST_MAX_PAYLOAD);
	wire_key(b, "ctx");
	wire_map(b, 6);
	wire_kstr(b, "version", "v1");
	wire_kuint(b, "node", 2);
	wire_kuint(b, "rank", 3);
	wire_kuint(b, "size", 4);
	wire_kuint(b, "deadline", request->deadline_ns);
	wire_kbin(b, "random", id, sizeof(id));
}

int host_call(int control, const struct host_request *request, struct host_answer *ret,
	struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	*ret = (struct host_answer){.nfds = 0};
	host_pack_call(&b, request);
	int rc = host_send(control, &b, err);
	return rc < 0 ? rc : host_read(control, ret, err);
}

/* --- the parts of an answer --- */

uint64_t answer_uint(const struct host_answer *answer, const char *key)
{
	struct ramet_err err = {0};
	uint64_t value = 0;
	suite_check_ok(wire_get_uint(answer->body, key, UINT64_MAX, &value, &err), &err, key,
		__FILE__, __LINE__);
	return value;
}

bool answer_ok(const struct host_answer *answer)
{
	struct ramet_err err = {0};
	bool ok = false;
	CHECK_STR(answer->type, "result");
	suite_check_ok(wire_get_bool_or(answer->body, "ok", false, &ok, &err), &err, "ok", __FILE__,
		__LINE__);
	return ok;
}

const char *answer_data(const struct host_answer *answer, size_t *ret_len)
{
	static char text[TEXT_MAX];
	struct ramet_err err = {0};
	const void *data = NULL;
	int rc = wire_get_bin(answer->body, "data", &data, ret_len, &err);
	suite_check_ok(rc, &err, "data", __FILE__, __LINE__);
	if (rc < 0)
		return "";
	if (*ret_len >= sizeof(text))
		return data;
	memcpy(text, data, *ret_len);
	text[*ret_len] = 0;
	return text;
}

const char *answer_error(const struct host_answer *answer, const char *key)
{
	static char text[HOST_ERROR_MAX + 1];
	struct ramet_err err = {0};
	const struct wire_value *map = NULL;
	int rc = wire_get_map(answer->body, "error", &map, &err);
	if (rc == 0)
		rc = wire_get_str(map, key, text, sizeof(text), &err);
	suite_check_ok(rc, &err, key, __FILE__, __LINE__);
	return rc < 0 ? "" : text;
}

const char *ask(int control, const char *function, const char *text)
{
	static char result[TEXT_MAX];
	const struct host_request request = {.function = function, .text = text};
	struct host_answer answer;
	struct ramet_err err = {0};
	size_t len = 0;
	result[0] = 0;
	int rc = host_call(control, &request, &answer, &err);
	suite_check_ok(rc, &err, function, __FILE__, __LINE__);
	if (rc == 0 && CHECK(answer_ok(&answer)))
		snprintf(result, sizeof(result), "%s", answer_data(&answer, &len));
	host_answer_fini(&answer);
	return result;
}
