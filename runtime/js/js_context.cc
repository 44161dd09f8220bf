/* A function's context: globals of its own, the prelude, its modules, its handler. */
#include "runtime/js/js_shared.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <unistd.h>

namespace
{
enum { SLOT = 1 }; /* of a context's embedder data */

double now_seconds()
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return static_cast<double>(ts.tv_sec) + static_cast<double>(ts.tv_nsec) / 1e9;
}

void raise(v8::Isolate *isolate, const char *message)
{
	isolate->ThrowException(v8::Exception::Error(js::text(message)));
}

v8::Local<v8::String> from_utf8(v8::Isolate *isolate, const char *data, size_t len)
{
	return v8::String::NewFromUtf8(
		isolate, data, v8::NewStringType::kNormal, static_cast<int>(len))
		.FromMaybe(v8::String::Empty(isolate));
}

/* --- the prelude's functions --- */

void native_write(const v8::FunctionCallbackInfo<v8::Value> &info)
{
	v8::Isolate *isolate = info.GetIsolate();
	FILE *file = info[0].As<v8::Int32>()->Value() == 2 ? stderr : stdout;
	v8::String::Utf8Value text(isolate, info[1]);
	if (*text)
		fwrite(*text, 1, static_cast<size_t>(text.length()), file);
}

void native_monotonic(const v8::FunctionCallbackInfo<v8::Value> &info)
{
	info.GetReturnValue().Set(now_seconds() * 1e3);
}

v8::Local<v8::Value> secrets_of(v8::Isolate *isolate, const js_context *context)
{
	v8::Local<v8::Context> in = isolate->GetCurrentContext();
	v8::Local<v8::Object> all = v8::Object::New(isolate);
	for (unsigned i = 0; i < context->nsecrets; i++) {
		const struct ramet_engine_secret *secret = &context->secrets[i];
		if (all->CreateDataProperty(in,
			       from_utf8(isolate, secret->name, strlen(secret->name)),
			       from_utf8(isolate, secret->value, secret->len))
				.IsNothing())
			break;
	}
	return all;
}

v8::Local<v8::Value> id_of(v8::Isolate *isolate, const struct ramet_engine_context *context)
{
	char text[2 * RAMET_ENGINE_CALL_ID_BYTES + 1];
	for (unsigned i = 0; i < RAMET_ENGINE_CALL_ID_BYTES; i++)
		snprintf(text + 2 * static_cast<size_t>(i), 3, "%02x", context->id[i]);
	return from_utf8(isolate, text, sizeof(text) - 1);
}

/* seconds, or null where the call has no deadline */
v8::Local<v8::Value> deadline_of(v8::Isolate *isolate, uint64_t ns, double from)
{
	if (ns == 0)
		return v8::Null(isolate);
	return v8::Number::New(isolate, static_cast<double>(ns) / 1e9 - from);
}

void native_about(const v8::FunctionCallbackInfo<v8::Value> &info)
{
	enum {
		FUNCTION,
		VERSION,
		NODE,
		RANK,
		SIZE,
		ID,
		DEADLINE,
		REMAINING,
		CANCELLED,
		LISTENED,
		SECRETS
	};
	v8::Isolate *isolate = info.GetIsolate();
	const js_context *context = js::current(isolate);
	if (!context || !context->call) {
		raise(isolate, "the call is over");
		return;
	}
	const struct ramet_engine_context *c = &context->call->context;
	v8::ReturnValue<v8::Value> ret = info.GetReturnValue();
	switch (info[0].As<v8::Int32>()->Value()) {
	case FUNCTION:
		ret.Set(from_utf8(isolate, c->function, strlen(c->function)));
		break;
	case VERSION:
		ret.Set(from_utf8(isolate, c->version, strlen(c->version)));
		break;
	case NODE:
		ret.Set(static_cast<double>(c->node));
		break;
	case RANK:
		ret.Set(static_cast<double>(c->rank));
		break;
	case SIZE:
		ret.Set(static_cast<double>(c->size));
		break;
	case ID:
		ret.Set(id_of(isolate, c));
		break;
	case DEADLINE:
		ret.Set(deadline_of(isolate, c->deadline_ns, 0));
		break;
	case REMAINING:
		ret.Set(deadline_of(isolate, c->deadline_ns, now_seconds()));
		break;
	case CANCELLED:
		ret.Set(c->deadline_ns != 0 &&
			static_cast<double>(c->deadline_ns) / 1e9 <= now_seconds());
		break;
	case LISTENED:
		ret.Set(context->call->emit != nullptr);
		break;
	default:
		ret.Set(secrets_of(isolate, context));
	}
}

void tell(v8::Isolate *isolate, const js_context *context, const struct ramet_engine_event *event)
{
	struct ramet_err err;
	if (context->call->emit && context->call->emit(event, &err) < 0)
		raise(isolate, err.msg);
}

void native_emit(const v8::FunctionCallbackInfo<v8::Value> &info)
{
	v8::Isolate *isolate = info.GetIsolate();
	js_context *context = js::current(isolate);
	struct js_output output = {};
	if (!context || !context->call) {
		raise(isolate, "the call is over");
		return;
	}
	if (!js::output(context, info[0], false, &context->chunk, &output))
		return;
	struct ramet_engine_event event = {};
	event.chunk = output.data;
	event.len = output.len;
	event.binary = output.binary;
	tell(isolate, context, &event);
}

void native_progress(const v8::FunctionCallbackInfo<v8::Value> &info)
{
	v8::Isolate *isolate = info.GetIsolate();
	js_context *context = js::current(isolate);
	if (!context || !context->call) {
		raise(isolate, "the call is over");
		return;
	}
	v8::String::Utf8Value text(isolate, info[1]);
	double fraction = info[0].As<v8::Number>()->Value();
	struct ramet_engine_event event = {};
	event.progress = true;
	event.fraction = std::isfinite(fraction) ? fraction : 0;
	event.text = {*text ? *text : "", static_cast<size_t>(text.length())};
	tell(isolate, context, &event);
}

void native_encode(const v8::FunctionCallbackInfo<v8::Value> &info)
{
	v8::Isolate *isolate = info.GetIsolate();
	v8::String::Utf8Value text(isolate, info[0]);
	size_t len = static_cast<size_t>(text.length());
	v8::Local<v8::ArrayBuffer> buffer;
	std::unique_ptr<v8::BackingStore> store = v8::ArrayBuffer::NewBackingStore(isolate, len);
	if (!*text || !store) {
		raise(isolate, "the text cannot be encoded");
		return;
	}
	memcpy(store->Data(), *text, len);
	buffer = v8::ArrayBuffer::New(isolate, std::move(store));
	info.GetReturnValue().Set(v8::Uint8Array::New(buffer, 0, len));
}

void native_decode(const v8::FunctionCallbackInfo<v8::Value> &info)
{
	v8::Isolate *isolate = info.GetIsolate();
	std::string bytes;
	if (info[0]->IsArrayBufferView()) {
		v8::Local<v8::ArrayBufferView> view = info[0].As<v8::ArrayBufferView>();
		bytes.resize(view->ByteLength());
		view->CopyContents(&bytes[0], bytes.size());
	} else if (info[0]->IsArrayBuffer()) {
		v8::Local<v8::ArrayBuffer> buffer = info[0].As<v8::ArrayBuffer>();
		bytes.assign(static_cast<const char *>(buffer->GetBackingStore()->Data()),
			buffer->ByteLength());
	} else {
		isolate->ThrowException(
			v8::Exception::TypeError(js::text("bytes are decoded, and nothing else")));
		return;
	}
	if (bytes.size() > static_cast<size_t>(v8::String::kMaxLength)) {
		raise(isolate, "too many bytes for a text");
		return;
	}
	info.GetReturnValue().Set(from_utf8(isolate, bytes.data(), bytes.size()));
}

/* made once, for all contexts */
v8::Local<v8::ObjectTemplate> natives_template(v8::Isolate *isolate)
{
	static const struct {
		const char *name;
		v8::FunctionCallback function;
	} all[] = {{"write", native_write}, {"monotonic", native_monotonic},
		{"about", native_about}, {"emit", native_emit}, {"progress", native_progress},
		{"encode", native_encode}, {"decode", native_decode}};
	static v8::Global<v8::ObjectTemplate> made;
	if (made.IsEmpty()) {
		v8::Local<v8::ObjectTemplate> natives = v8::ObjectTemplate::New(isolate);
		for (const auto &native : all)
			natives->Set(isolate, native.name,
				v8::FunctionTemplate::New(isolate, native.function));
		made.Reset(isolate, natives);
	}
	return made.Get(isolate);
}

/* --- making --- */

/* compiled once, for all contexts */
v8::MaybeLocal<v8::Script> bound_prelude(v8::Isolate *isolate)
{
	static v8::Global<v8::UnboundScript> compiled;
	if (compiled.IsEmpty()) {
		v8::ScriptOrigin origin(isolate, js::text("ramet"));
		v8::ScriptCompiler::Source source(js::text(reinterpret_cast<const char *>(js_prelude)), origin);
		v8::Local<v8::UnboundScript> script;
		if (!v8::ScriptCompiler::CompileUnboundScript(isolate, &source).ToLocal(&script))
			return {};
		compiled.Reset(isolate, script);
	}
	return compiled.Get(isolate)->BindToCurrentContext();
}

bool run_prelude(js_context *context, v8::Local<v8::Context> in)
{
	v8::Isolate *isolate = js::isolate();
	v8::Local<v8::Script> script;
	v8::Local<v8::Value> function, made;
	v8::Local<v8::Object> natives;
	if (!natives_template(isolate)->NewInstance(in).ToLocal(&natives))
		return false;
	context->random =
		v8::ArrayBuffer::NewBackingStore(isolate, JS_RANDOM_WORDS * sizeof(uint32_t));
	v8::Local<v8::ArrayBuffer> random = v8::ArrayBuffer::New(isolate, context->random);
	v8::Local<v8::Value> args[] = {natives, v8::Int32Array::New(random, 0, JS_RANDOM_WORDS)};
	if (!bound_prelude(isolate).ToLocal(&script) || !script->Run(in).ToLocal(&function) ||
		!function.As<v8::Function>()
			 ->Call(in, v8::Undefined(isolate), 2, args)
			 .ToLocal(&made))
		return false;
	v8::Local<v8::Object> parts = made.As<v8::Object>();
	context->tick.Reset(
		isolate, parts->Get(in, js::text("tick")).ToLocalChecked().As<v8::Function>());
	context->forget.Reset(
		isolate, parts->Get(in, js::text("forget")).ToLocalChecked().As<v8::Function>());
	context->about.Reset(
		isolate, parts->Get(in, js::text("context")).ToLocalChecked().As<v8::Object>());
	return true;
}

int refuse(struct js_failure *failure, int code, const char *what, const char *why)
{
	failure->code = code;
	snprintf(failure->message, sizeof(failure->message), "%s %s", what, why);
	return code;
}

/* the function that "file.js:symbol" names; 0, or what failed */
int find_function(js_context *context, v8::Local<v8::Context> in, const char *named,
	v8::Global<v8::Function> *ret, struct js_failure *failure)
{
	v8::Isolate *isolate = js::isolate();
	v8::TryCatch caught(isolate);
	v8::Local<v8::Object> found;
	v8::Local<v8::Value> value;
	const char *colon = strrchr(named, ':');
	if (!colon || colon == named || !colon[1])
		return refuse(
			failure, RAMET_EINVAL, named, "is not of the form \"file.js:symbol\"");
	std::string path(named, static_cast<size_t>(colon - named));
	if (!js::import(context, path, failure).ToLocal(&found) ||
		!found->Get(in, from_utf8(isolate, colon + 1, strlen(colon + 1))).ToLocal(&value))
		return js::failed(context, caught, failure);
	if (!value->IsFunction())
		return refuse(failure, RAMET_EUSER, path.c_str(),
			(std::string("exports no function ") + (colon + 1)).c_str());
	ret->Reset(isolate, value.As<v8::Function>());
	return 0;
}

int run_init(js_context *context, v8::Local<v8::Context> in, const char *named,
	struct js_failure *failure)
{
	v8::Isolate *isolate = js::isolate();
	v8::Global<v8::Function> init;
	v8::Local<v8::Value> value;
	int rc = find_function(context, in, named, &init, failure);
	if (rc < 0)
		return rc;
	v8::TryCatch caught(isolate);
	if (!init.Get(isolate)->Call(in, v8::Undefined(isolate), 0, nullptr).ToLocal(&value) ||
		(value->IsPromise() && !js::settle(context, value.As<v8::Promise>(), failure)))
		return js::failed(context, caught, failure);
	return 0;
}
} // namespace

v8::Local<v8::String> js::text(const char *text)
{
	return v8::String::NewFromUtf8(js::isolate(), text).ToLocalChecked();
}

js_context *js::of(v8::Local<v8::Context> context)
{
	return static_cast<js_context *>(context->GetAlignedPointerFromEmbedderData(SLOT));
}

js_context *js::current(v8::Isolate *isolate)
{
	return of(isolate->GetCurrentContext());
}

int js_context_create(const struct js_source *source, struct js_context **ret_context,
	struct js_failure *ret_failure)
{
	v8::Isolate *isolate = js::isolate();
	v8::HandleScope scope(isolate);
	std::unique_ptr<js_context> context(new js_context());
	context->dir = source->dir;
	v8::Local<v8::Context> in = v8::Context::New(isolate);
	if (in.IsEmpty())
		return refuse(ret_failure, RAMET_ENOMEM, "no memory", "for a context");
	in->SetAlignedPointerInEmbedderData(SLOT, context.get());
	context->context.Reset(isolate, in);
	v8::Context::Scope entered(in);
	v8::TryCatch caught(isolate);
	int rc =
		run_prelude(context.get(), in) ? 0 : js::failed(context.get(), caught, ret_failure);
	if (rc == 0)
		rc = find_function(
			context.get(), in, source->handler, &context->handler, ret_failure);
	if (rc == 0 && source->init)
		rc = run_init(context.get(), in, source->init, ret_failure);
	if (rc < 0) {
		js_context_destroy(context.release());
		return rc;
	}
	*ret_context = context.release();
	return 0;
}

void js_context_destroy(struct js_context *context)
{
	if (!context)
		return;
	v8::HandleScope scope(js::isolate());
	if (!context->context.IsEmpty())
		context->context.Get(js::isolate())->SetAlignedPointerInEmbedderData(SLOT, nullptr);
	free(context->text);
	delete context;
	js::isolate()->ContextDisposedNotification(false);
}

void js_context_random(struct js_context *context, const uint32_t words[JS_RANDOM_WORDS])
{
	memcpy(context->random->Data(), words, JS_RANDOM_WORDS * sizeof(uint32_t));
}
