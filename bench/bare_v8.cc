/* V8 as it is: a context of one isolate, the module evaluated, its function called. */
#include "bench/isolate.h"

#include <cstdio>
#include <cstring>
#include <ctime>
#include <libplatform/libplatform.h>
#include <memory>
#include <string>
#include <v8.h>

namespace
{
double now()
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return static_cast<double>(ts.tv_sec) * 1e9 + static_cast<double>(ts.tv_nsec);
}

v8::MaybeLocal<v8::Module> none(v8::Local<v8::Context>, v8::Local<v8::String>,
	v8::Local<v8::FixedArray>, v8::Local<v8::Module>)
{
	return {};
}

v8::Local<v8::String> text(v8::Isolate *isolate, const char *data)
{
	return v8::String::NewFromUtf8(isolate, data).ToLocalChecked();
}

bool read_file(const std::string &path, std::string *ret)
{
	char bytes[4096];
	FILE *file = fopen(path.c_str(), "re");
	if (!file)
		return false;
	ret->assign(bytes, fread(bytes, 1, sizeof(bytes), file));
	fclose(file);
	return true;
}

int one(v8::Isolate *isolate, const std::string &path)
{
	v8::HandleScope scope(isolate);
	v8::Local<v8::Context> in = v8::Context::New(isolate);
	v8::Context::Scope entered(in);
	std::string file;
	if (!read_file(path, &file))
		return RAMET_EIO;
	v8::ScriptOrigin origin(isolate, text(isolate, "double.js"), 0, 0, false, -1,
		v8::Local<v8::Value>(), false, false, true);
	v8::ScriptCompiler::Source source(text(isolate, file.c_str()), origin);
	v8::Local<v8::Module> module;
	v8::Local<v8::Value> value, event;
	v8::Local<v8::String> said;
	if (!v8::ScriptCompiler::CompileModule(isolate, &source).ToLocal(&module) ||
		!module->InstantiateModule(in, none).FromMaybe(false) ||
		!module->Evaluate(in).ToLocal(&value))
		return RAMET_EIO;
	v8::Local<v8::Object> names = module->GetModuleNamespace().As<v8::Object>();
	if (!names->Get(in, text(isolate, "handler")).ToLocal(&value) ||
		!v8::JSON::Parse(in, text(isolate, ISOLATE_INPUT)).ToLocal(&event) ||
		!value.As<v8::Function>()
			 ->Call(in, v8::Undefined(isolate), 1, &event)
			 .ToLocal(&value) ||
		!v8::JSON::Stringify(in, value).ToLocal(&said))
		return RAMET_EIO;
	v8::String::Utf8Value answer(isolate, said);
	new v8::Global<v8::Context>(isolate, in); /* it stays */
	return strcmp(*answer, ISOLATE_OUTPUT) == 0 ? 0 : RAMET_EIO;
}
} // namespace

int bare_v8(const char *dir, unsigned count, double *ret_ns)
{
	v8::V8::SetFlagsFromString("--single-threaded");
	/* none of them is given back: the process ends */
	v8::V8::InitializePlatform(v8::platform::NewSingleThreadedDefaultPlatform().release());
	v8::V8::Initialize();
	v8::Isolate::CreateParams params;
	params.array_buffer_allocator = v8::ArrayBuffer::Allocator::NewDefaultAllocator();
	const std::string path = std::string(dir) + "/double.js";
	double begin = now();
	v8::Isolate *isolate = v8::Isolate::New(params);
	isolate->Enter();
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < count; i++)
		rc = one(isolate, path);
	*ret_ns = (now() - begin) / count;
	return rc;
}
