/* One call: its input, the handler, the jobs and timers that follow it, its output, or its error.
 */
#include "runtime/js/js_shared.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace
{
/* until a signal comes, at the latest */
void rest(double ms)
{
	struct timespec ts = {static_cast<time_t>(ms / 1e3),
		static_cast<long>(
			(ms - 1e3 * static_cast<double>(static_cast<time_t>(ms / 1e3))) * 1e6)};
	(void)nanosleep(&ts, nullptr);
}

void put(char *dst, size_t cap, v8::Isolate *isolate, v8::Local<v8::Value> value)
{
	v8::TryCatch caught(isolate); /* it may have code of its own */
	v8::String::Utf8Value text(isolate, value);
	snprintf(dst, cap, "%s", *text ? *text : "");
}

void describe(v8::Isolate *isolate, const v8::TryCatch &caught, struct js_failure *failure)
{
	v8::Local<v8::Context> in = isolate->GetCurrentContext();
	v8::Local<v8::Value> exception = caught.Exception(), value;
	v8::TryCatch inner(isolate);
	if (!exception->IsObject()) {
		snprintf(failure->type, sizeof(failure->type), "Thrown");
		put(failure->message, sizeof(failure->message), isolate, exception);
		return;
	}
	v8::Local<v8::Object> object = exception.As<v8::Object>();
	put(failure->type, sizeof(failure->type), isolate, object->GetConstructorName());
	if (object->IsNativeError() && object->Get(in, js::text("message")).ToLocal(&value))
		put(failure->message, sizeof(failure->message), isolate, value);
	else
		put(failure->message, sizeof(failure->message), isolate, exception);
	if (caught.StackTrace(in).ToLocal(&value) && value->IsString())
		put(failure->traceback, sizeof(failure->traceback), isolate, value);
}

bool is_bytes(v8::Local<v8::Value> value)
{
	return value->IsArrayBufferView() || value->IsArrayBuffer();
}

size_t bytes_of(v8::Local<v8::Value> value)
{
	return value->IsArrayBuffer() ? value.As<v8::ArrayBuffer>()->ByteLength()
				      : value.As<v8::ArrayBufferView>()->ByteLength();
}

void copy_bytes(v8::Local<v8::Value> value, char *dst, size_t len)
{
	if (len == 0)
		return;
	if (value->IsArrayBuffer())
		memcpy(dst, value.As<v8::ArrayBuffer>()->GetBackingStore()->Data(), len);
	else
		value.As<v8::ArrayBufferView>()->CopyContents(dst, len);
}

/* memory for an answer of this length; NULL: there is none */
char *room_for(js_context *context, size_t len, bool room, std::string *chunk)
{
	if (chunk) {
		chunk->resize(len);
		return &(*chunk)[0];
	}
	void *given = room && context->call->room
		? context->call->room(context->call->room_arg, len)
		: nullptr;
	if (given)
		return static_cast<char *>(given);
	free(context->text);
	context->text = static_cast<char *>(malloc(len ? len : 1));
	return context->text;
}

/* the event: parsed, or bytes; empty: an exception is pending */
v8::MaybeLocal<v8::Value> input(
	v8::Isolate *isolate, v8::Local<v8::Context> in, const struct ramet_engine_call *call)
{
	v8::Local<v8::String> text;
	if (call->binary) {
		std::unique_ptr<v8::BackingStore> store =
			v8::ArrayBuffer::NewBackingStore(isolate, call->len);
		memcpy(store->Data(), call->data, call->len);
		return v8::Uint8Array::New(
			v8::ArrayBuffer::New(isolate, std::move(store)), 0, call->len);
	}
	if (call->len == 0)
		return v8::Null(isolate);
	if (!v8::String::NewFromUtf8(isolate, static_cast<const char *>(call->data),
		    v8::NewStringType::kNormal, static_cast<int>(call->len))
			.ToLocal(&text))
		return {};
	return v8::JSON::Parse(in, text);
}
} // namespace

bool js::output(js_context *context, v8::Local<v8::Value> value, bool room, std::string *chunk,
	struct js_output *ret)
{
	v8::Isolate *isolate = js::isolate();
	v8::Local<v8::Context> in = isolate->GetCurrentContext();
	v8::Local<v8::String> text;
	bool raw = context->call->binary && value->IsString();
	ret->binary = raw || is_bytes(value);
	if (raw)
		text = value.As<v8::String>();
	else if (!ret->binary && (value->IsUndefined() || value->IsFunction() || value->IsSymbol()))
		text = js::text("null"); /* JSON has none of these */
	else if (!ret->binary && !v8::JSON::Stringify(in, value).ToLocal(&text))
		return false;
	ret->len =
		text.IsEmpty() ? bytes_of(value) : static_cast<size_t>(text->Utf8Length(isolate));
	if (room && ret->len > context->call->max_output) {
		ret->data = ""; /* the host looks at the length alone */
		return true;
	}
	char *to = room_for(context, ret->len, room, chunk);
	if (!to) {
		isolate->ThrowException(v8::Exception::RangeError(js::text("not enough memory")));
		return false;
	}
	if (text.IsEmpty())
		copy_bytes(value, to, ret->len);
	else
		text->WriteUtf8(isolate, to, static_cast<int>(ret->len), nullptr,
			v8::String::NO_NULL_TERMINATION | v8::String::REPLACE_INVALID_UTF8);
	ret->data = to;
	return true;
}

bool js::settle(js_context *context, v8::Local<v8::Promise> promise, struct js_failure *failure)
{
	v8::Isolate *isolate = js::isolate();
	v8::Local<v8::Context> in = isolate->GetCurrentContext();
	for (;;) {
		v8::HandleScope scope(isolate);
		v8::Local<v8::Value> left;
		isolate->PerformMicrotaskCheckpoint();
		if (js_vm_interrupted() || js_vm_is_full() || isolate->IsExecutionTerminating())
			return false;
		if (promise->State() == v8::Promise::kRejected) {
			promise->MarkAsHandled();
			isolate->ThrowException(promise->Result());
			return false;
		}
		if (promise->State() == v8::Promise::kFulfilled)
			return true;
		v8::Local<v8::Function> tick = context->tick.Get(isolate);
		if (!tick->Call(in, v8::Undefined(isolate), 0, nullptr).ToLocal(&left))
			return false;
		double ms = left->IsNumber() ? left.As<v8::Number>()->Value() : -1;
		if (ms > 0)
			rest(ms < 1e6 ? ms : 1e6);
		if (!(ms >= 0)) {
			failure->code = RAMET_EUSER;
			snprintf(failure->type, sizeof(failure->type), "Error");
			snprintf(failure->message, sizeof(failure->message),
				"the promise cannot settle: nothing is left to run");
			return false;
		}
	}
}

int js::failed(js_context *context, const v8::TryCatch &caught, struct js_failure *failure)
{
	v8::Isolate *isolate = js::isolate();
	(void)context;
	if (js_vm_is_full() || (js_vm_refused() && caught.HasCaught())) {
		failure->code = RAMET_ELIMIT;
		snprintf(failure->type, sizeof(failure->type), "RangeError");
		snprintf(failure->message, sizeof(failure->message), "not enough memory");
	} else if (js_vm_interrupted() || caught.HasTerminated()) {
		failure->code = RAMET_EUSER; /* the host says why it was ended */
		snprintf(failure->type, sizeof(failure->type), "Error");
		snprintf(failure->message, sizeof(failure->message), "the call was ended");
	} else if (caught.HasCaught()) {
		failure->code = failure->code ? failure->code : RAMET_EUSER;
		describe(isolate, caught, failure);
	}
	return failure->code ? failure->code : (failure->code = RAMET_EINTERNAL);
}

int js_context_call(struct js_context *context, const struct ramet_engine_call *call,
	const struct ramet_engine_secret *secrets, unsigned nsecrets, struct js_output *ret_output,
	struct js_failure *ret_failure)
{
	v8::Isolate *isolate = js::isolate();
	v8::HandleScope scope(isolate);
	v8::Local<v8::Context> in = context->context.Get(isolate);
	v8::Context::Scope entered(in);
	v8::TryCatch caught(isolate);
	v8::Local<v8::Value> args[2], value;
	context->call = call;
	context->secrets = secrets;
	context->nsecrets = nsecrets;
	if (!input(isolate, in, call).ToLocal(&args[0])) {
		ret_failure->code = RAMET_EINVAL;
		return js::failed(context, caught, ret_failure);
	}
	args[1] = context->about.Get(isolate);
	if (!context->handler.Get(isolate)
			->Call(in, v8::Undefined(isolate), 2, args)
			.ToLocal(&value))
		return js::failed(context, caught, ret_failure);
	if (value->IsPromise()) {
		v8::Local<v8::Promise> promise = value.As<v8::Promise>();
		if (!js::settle(context, promise, ret_failure))
			return js::failed(context, caught, ret_failure);
		value = promise->Result();
	}
	if (!js::output(context, value, true, nullptr, ret_output))
		return js::failed(context, caught, ret_failure);
	return 0;
}

void js_context_rest(struct js_context *context)
{
	v8::Isolate *isolate = js::isolate();
	v8::HandleScope scope(isolate);
	v8::Local<v8::Context> in = context->context.Get(isolate);
	v8::Context::Scope entered(in);
	v8::TryCatch caught(isolate);
	context->call = nullptr;
	context->secrets = nullptr;
	context->nsecrets = 0;
	free(context->text);
	context->text = nullptr;
	context->chunk.clear();
	if (context->forget.Get(isolate)->Call(in, v8::Undefined(isolate), 0, nullptr).IsEmpty())
		caught.Reset(); /* nothing of it is of use to anybody */
}
