/* ES modules of an application: files below its directory, and nothing else. */
#include "runtime/js/js_shared.h"

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/stat.h>

namespace
{
constexpr size_t MODULES_MAX = 1024;
constexpr off_t FILE_MAX = 64 << 20;

void raise(const std::string &message)
{
	js::isolate()->ThrowException(v8::Exception::Error(
		v8::String::NewFromUtf8(js::isolate(), message.c_str()).ToLocalChecked()));
}

/* a specifier as a path below the directory, "./a.js" and "../a.js" as seen from `from`; "": it
 * leads out of it, or is none */
std::string resolved(const std::string &from, const std::string &specifier)
{
	std::string path = specifier;
	if (specifier.rfind("./", 0) == 0 || specifier.rfind("../", 0) == 0)
		path = from.substr(0, from.rfind('/') + 1) + specifier;
	std::vector<std::string> parts;
	for (size_t at = 0; at <= path.size();) {
		size_t end = path.find('/', at);
		end = end == std::string::npos ? path.size() : end;
		std::string part = path.substr(at, end - at);
		at = end + 1;
		if (part == ".." && parts.empty())
			return "";
		if (part == "..")
			parts.pop_back();
		else if (part != "." && !part.empty())
			parts.push_back(part);
	}
	std::string joined;
	for (const std::string &part : parts)
		joined += (joined.empty() ? "" : "/") + part;
	return joined;
}

/* links are followed, as long as they stay below the directory */
bool is_inside(const std::string &dir, const std::string &path)
{
	char top[PATH_MAX], real[PATH_MAX];
	if (!realpath(dir.c_str(), top) || !realpath(path.c_str(), real))
		return false;
	size_t len = strlen(top);
	return strncmp(real, top, len) == 0 && real[len] == '/';
}

bool read_file(const std::string &dir, const std::string &path, std::string *ret)
{
	std::string whole = dir + "/" + path;
	struct stat stat;
	FILE *file = is_inside(dir, whole) ? fopen(whole.c_str(), "re") : nullptr;
	bool fine = file && fstat(fileno(file), &stat) == 0 && S_ISREG(stat.st_mode) &&
		stat.st_size <= FILE_MAX;
	if (fine) {
		ret->resize(static_cast<size_t>(stat.st_size));
		ret->resize(fread(&(*ret)[0], 1, ret->size(), file));
	}
	if (file)
		fclose(file);
	return fine;
}

v8::MaybeLocal<v8::Module> compiled(js_context *context, const std::string &path)
{
	v8::Isolate *isolate = js::isolate();
	std::string source;
	v8::Local<v8::String> text;
	v8::Local<v8::Module> module;
	for (js_module &known : context->modules)
		if (known.path == path)
			return known.module.Get(isolate);
	if (context->modules.size() >= MODULES_MAX) {
		raise("too many modules");
		return {};
	}
	if (!read_file(context->dir, path, &source)) {
		raise(path + " cannot be read");
		return {};
	}
	if (!v8::String::NewFromUtf8(isolate, source.data(), v8::NewStringType::kNormal,
		    static_cast<int>(source.size()))
			.ToLocal(&text)) {
		raise(path + " is too long");
		return {};
	}
	v8::ScriptOrigin origin(isolate, js::text(path.c_str()), 0, 0, false, -1,
		v8::Local<v8::Value>(), false, false, true);
	v8::ScriptCompiler::Source unit(text, origin);
	if (!v8::ScriptCompiler::CompileModule(isolate, &unit).ToLocal(&module))
		return {};
	context->modules.push_back({path, v8::Global<v8::Module>(isolate, module)});
	return module;
}

v8::MaybeLocal<v8::Module> imported(v8::Local<v8::Context> in, v8::Local<v8::String> specifier,
	v8::Local<v8::FixedArray>, v8::Local<v8::Module> referrer)
{
	js_context *context = js::of(in);
	v8::String::Utf8Value name(js::isolate(), specifier);
	std::string from;
	for (js_module &known : context->modules)
		if (known.module == referrer)
			from = known.path;
	std::string path = resolved(from, *name ? *name : "");
	if (path.empty()) {
		raise(std::string(*name ? *name : "") + " is not one of the application's files");
		return {};
	}
	return compiled(context, path);
}
} // namespace

v8::MaybeLocal<v8::Object> js::import(
	js_context *context, const std::string &path, struct js_failure *failure)
{
	v8::Isolate *isolate = js::isolate();
	v8::EscapableHandleScope scope(isolate);
	v8::Local<v8::Context> in = isolate->GetCurrentContext();
	v8::Local<v8::Module> module;
	v8::Local<v8::Value> value;
	std::string plain = resolved("", path);
	if (plain.empty()) {
		raise(path + " is not one of the application's files");
		return {};
	}
	if (!compiled(context, plain).ToLocal(&module) ||
		!module->InstantiateModule(in, imported).FromMaybe(false) ||
		!module->Evaluate(in).ToLocal(&value))
		return {};
	if (value->IsPromise() && !js::settle(context, value.As<v8::Promise>(), failure))
		return {};
	return scope.Escape(module->GetModuleNamespace().As<v8::Object>());
}
