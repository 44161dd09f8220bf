/* The bare engine beside the js engine: V8 alone, in a process of its own, since V8 can be started
 * once in one. A line "SYMBOL INPUT CALLS" on standard input is a new context with the file's
 * module evaluated in it, which makes so many calls; CALLS 0 is one call, and its answer
 * "MICROSECONDS OUTPUT" counts the context, too. Otherwise the first half of the calls warms up. */
#include <libplatform/libplatform.h>
#include <v8.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

namespace
{

[[noreturn]] void give_up(const char *what)
{
	fprintf(stderr, "bench_v8: %s\n", what);
	exit(EXIT_FAILURE);
}

double now_us()
{
	return std::chrono::duration<double, std::micro>(
		std::chrono::steady_clock::now().time_since_epoch())
		.count();
}

v8::MaybeLocal<v8::Module> no_imports(v8::Local<v8::Context>, v8::Local<v8::String>,
	v8::Local<v8::FixedArray>, v8::Local<v8::Module>)
{
	return {};
}

v8::Local<v8::String> text_of(v8::Isolate *isolate, const std::string &text)
{
	return v8::String::NewFromUtf8(isolate, text.c_str()).ToLocalChecked();
}

v8::Local<v8::Function> evaluate(v8::Isolate *isolate, v8::Local<v8::Context> context,
	const std::string &source, const std::string &symbol)
{
	v8::ScriptOrigin origin(isolate, text_of(isolate, "isolate.js"), 0, 0, false, -1,
		v8::Local<v8::Value>(), false, false, true);
	v8::ScriptCompiler::Source from(text_of(isolate, source), origin);
	v8::Local<v8::Module> module;
	v8::Local<v8::Value> value;
	if (!v8::ScriptCompiler::CompileModule(isolate, &from).ToLocal(&module) ||
		!module->InstantiateModule(context, no_imports).FromMaybe(false) ||
		!module->Evaluate(context).ToLocal(&value))
		give_up("the module cannot be evaluated");
	v8::Local<v8::Object> space = module->GetModuleNamespace().As<v8::Object>();
	if (!space->Get(context, text_of(isolate, symbol)).ToLocal(&value) || !value->IsFunction())
		give_up("the module has no such function");
	return value.As<v8::Function>();
}

double call(v8::Isolate *isolate, v8::Local<v8::Context> context, v8::Local<v8::Function> function,
	double input)
{
	v8::HandleScope scope(isolate);
	v8::Local<v8::Value> argument = v8::Number::New(isolate, input);
	v8::Local<v8::Value> result;
	if (!function->Call(context, v8::Undefined(isolate), 1, &argument).ToLocal(&result))
		give_up("the function raised an error");
	return result->NumberValue(context).FromMaybe(-1);
}

void serve(v8::Isolate *isolate, const std::string &source, const std::string &symbol, double input,
	unsigned calls)
{
	v8::HandleScope scope(isolate);
	double begin = now_us();
	v8::Local<v8::Context> context = v8::Context::New(isolate);
	v8::Context::Scope inside(context);
	v8::Local<v8::Function> function = evaluate(isolate, context, source, symbol);
	double output = 0;
	for (unsigned i = 0; i < calls; i++)
		output = call(isolate, context, function, input);
	if (calls > 0)
		begin = now_us();
	for (unsigned i = 0; i < (calls ? calls : 1); i++)
		output = call(isolate, context, function, input);
	printf("%.4f %.17g\n", (now_us() - begin) / (calls ? calls : 1), output);
	fflush(stdout);
}

std::string read_file(const char *path)
{
	std::ifstream file(path);
	std::stringstream text;
	text << file.rdbuf();
	if (!file)
		give_up("the file cannot be read");
	return text.str();
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 2)
		give_up("usage: bench_v8 FILE");
	std::string source = read_file(argv[1]);
	v8::V8::SetFlagsFromString("--single-threaded");
	std::unique_ptr<v8::Platform> platform = v8::platform::NewSingleThreadedDefaultPlatform();
	v8::V8::InitializePlatform(platform.get());
	v8::V8::Initialize();
	v8::Isolate::CreateParams params;
	std::unique_ptr<v8::ArrayBuffer::Allocator> allocator(
		v8::ArrayBuffer::Allocator::NewDefaultAllocator());
	params.array_buffer_allocator = allocator.get();
	v8::Isolate *isolate = v8::Isolate::New(params);
	{
		v8::Isolate::Scope inside(isolate);
		char symbol[32];
		double input;
		unsigned calls;
		while (scanf("%31s %lf %u", symbol, &input, &calls) == 3)
			serve(isolate, source, symbol, input, calls);
	}
	isolate->Dispose();
	v8::V8::Dispose();
	return 0;
}
