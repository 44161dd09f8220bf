/* What the C++ files of the JavaScript engine share. */
#ifndef RUNTIME_JS_JS_SHARED_H
#define RUNTIME_JS_JS_SHARED_H

#include "runtime/js/js_internal.h"

#include <memory>
#include <string>
#include <v8.h>
#include <vector>

struct js_module {
	std::string path; /* relative to the application's directory */
	v8::Global<v8::Module> module;
};

struct js_context {
	std::string dir;
	v8::Global<v8::Context> context;
	v8::Global<v8::Function> handler;
	/* of the prelude: runs due timers and tells when the next is due; forgets all timers; the
	 * object that handlers get */
	v8::Global<v8::Function> tick, forget;
	v8::Global<v8::Object> about;
	std::shared_ptr<v8::BackingStore> random; /* JS_RANDOM_WORDS, of Math.random() */
	std::vector<js_module> modules;
	/* the call that runs */
	const struct ramet_engine_call *call;
	const struct ramet_engine_secret *secrets;
	unsigned nsecrets;
	char *text; /* its answer: malloc'ed, or NULL */
	std::string chunk; /* what it emitted last */
};

namespace js
{
v8::Isolate *isolate();
v8::Local<v8::String> text(const char *text); /* short and ours: it fits */
/* the context that V8 runs in */
js_context *current(v8::Isolate *isolate);
js_context *of(v8::Local<v8::Context> context);
/* as JSON text, or bytes; false: an exception is pending. room: the caller's memory may be used */
bool output(js_context *context, v8::Local<v8::Value> value, bool room, std::string *chunk,
	struct js_output *ret);

/* js_context.cc */
/* the prelude's functions in C++ */
void add_natives(v8::Local<v8::Context> context, v8::Local<v8::Object> natives);

/* js_modules.cc */
/* evaluates a file, once for each context; its namespace. Empty: an exception is pending, or
 * *failure is filled */
v8::MaybeLocal<v8::Object> import(
	js_context *context, const std::string &path, struct js_failure *failure);

/* js_call.cc */
/* has jobs and timers run until a promise is settled. False: an exception is pending, V8 is being
 * interrupted, or *failure is filled */
bool settle(js_context *context, v8::Local<v8::Promise> promise, struct js_failure *failure);
/* what an exception says; and what else may have happened */
int failed(js_context *context, const v8::TryCatch &caught, struct js_failure *failure);

} // namespace js

extern "C" const unsigned char js_prelude[]; /* prelude.js, and a NUL */

#endif
