/* The process's isolate of V8: one thread, no others beside it, and a limit for its memory.
 *
 * A deadline interrupts by TerminateExecution() from a signal handler. V8 sets a flag that
 * generated code, loops and regular expressions look at. It does so under a lock of its own, which
 * is recursive: the one thread there is may hold it already, and takes it again. Only within the
 * few instructions in which the lock is just being taken or given back would that wait for ever;
 * then the process is ended by force, as any that does not heed its deadline. */
#include "runtime/js/js_shared.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <libplatform/libplatform.h>
#include <sys/mman.h>

namespace
{
constexpr size_t YOUNG_BYTES = 4u << 20;
constexpr size_t CODE_BYTES = 32u << 20; /* reserved for machine code */
constexpr size_t LEAST_HEAP = 8u << 20; /* V8 itself needs some of it */
constexpr size_t LARGE = 256u << 10; /* an array buffer with a mapping of its own */
constexpr size_t SMALL = 1u << 20; /* of array buffers, together */
constexpr size_t SPARE = 4u << 20; /* beyond the limit, until what runs has ended */

std::unique_ptr<v8::Platform> platform;
v8::Isolate *the_isolate;
size_t heap_limit; /* 0: none of ours */
volatile sig_atomic_t interrupted;
bool full, refused;

/* memory of array buffers, which is not in V8's heap */
class Allocator final : public v8::ArrayBuffer::Allocator
{
      public:
	size_t used = 0;
	void *Allocate(size_t len) override
	{
		return take(len) ? given(get(len, true), len) : nullptr;
	}
	void *AllocateUninitialized(size_t len) override
	{
		return take(len) ? given(get(len, false), len) : nullptr;
	}
	void Free(void *data, size_t len) override
	{
		used -= len;
		if (len >= LARGE)
			munmap(data, len);
		else
			free(data);
	}

      private:
	/* What is large goes back to the kernel when it is freed: malloc() might keep it. */
	static void *get(size_t len, bool zeros)
	{
		if (len < LARGE)
			return zeros ? calloc(1, len ? len : 1) : malloc(len ? len : 1);
		void *data = mmap(
			nullptr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		return data == MAP_FAILED ? nullptr : data;
	}
	/* small ones are not worth a look at the heap */
	bool take(size_t len)
	{
		size_t all = used + len < SMALL ? used : js_vm_used();
		refused = heap_limit > 0 && (len > heap_limit || all > heap_limit - len);
		used += refused ? 0 : len;
		return !refused;
	}
	void *given(void *data, size_t len)
	{
		used -= data ? 0 : len;
		return data;
	}
};
Allocator allocator;

size_t near_limit(void *, size_t current, size_t)
{
	full = true;
	the_isolate->TerminateExecution();
	return current + SPARE;
}

void out_of_memory(const char *, bool)
{
	js_vm_abandon();
}

void fatal(const char *location, const char *message)
{
	fprintf(stderr, "V8: %s: %s\n", location, message);
	abort();
}
} // namespace

v8::Isolate *js::isolate()
{
	return the_isolate;
}

void js_vm_init(const char *flags)
{
	/* nothing that was compiled is given up, for it is what seeds are made for */
	v8::V8::SetFlagsFromString("--single-threaded --no-flush-bytecode --stack-size=512");
	if (flags)
		v8::V8::SetFlagsFromString(flags);
	platform = v8::platform::NewSingleThreadedDefaultPlatform();
	v8::V8::InitializePlatform(platform.get());
	v8::V8::Initialize();
}

const char *js_vm_version()
{
	return v8::V8::GetVersion();
}

int js_vm_create(uint64_t heap)
{
	v8::Isolate::CreateParams params;
	heap_limit = heap > 0 && heap < LEAST_HEAP ? LEAST_HEAP : heap;
	params.array_buffer_allocator = &allocator;
	if (heap_limit > 0)
		params.constraints.set_max_old_generation_size_in_bytes(heap_limit);
	params.constraints.set_max_young_generation_size_in_bytes(YOUNG_BYTES);
	params.constraints.set_code_range_size_in_bytes(CODE_BYTES);
	the_isolate = v8::Isolate::New(params);
	if (!the_isolate)
		return RAMET_ENOMEM;
	the_isolate->Enter(); /* for good */
	the_isolate->SetMicrotasksPolicy(v8::MicrotasksPolicy::kExplicit);
	the_isolate->SetOOMErrorHandler(out_of_memory);
	the_isolate->SetFatalErrorHandler(fatal);
	the_isolate->SetCaptureStackTraceForUncaughtExceptions(false);
	if (heap_limit > 0)
		the_isolate->AddNearHeapLimitCallback(near_limit, nullptr);
	return 0;
}

void js_vm_interrupt()
{
	interrupted = 1;
	the_isolate->TerminateExecution();
}

bool js_vm_interrupted()
{
	return interrupted != 0;
}

bool js_vm_refused()
{
	return refused;
}

bool js_vm_is_full()
{
	return full;
}

void js_vm_calm()
{
	interrupted = 0;
	refused = false;
	the_isolate->CancelTerminateExecution();
	if (!full)
		return;
	full = false;
	the_isolate->RemoveNearHeapLimitCallback(near_limit, heap_limit);
	the_isolate->AddNearHeapLimitCallback(near_limit, nullptr);
}

void js_vm_collect()
{
	the_isolate->LowMemoryNotification();
}

size_t js_vm_used()
{
	v8::HeapStatistics stats;
	the_isolate->GetHeapStatistics(&stats);
	return stats.used_heap_size() + allocator.used;
}
