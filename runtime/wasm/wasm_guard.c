/* Going into guest code, and out of it.
 *
 * Compiled code looks at nothing while it loops, so a deadline leaves it by siglongjmp() from the
 * signal's handler, and the process serves on. Why that is sound: between wasm_host_end() and
 * wasm_host_begin() the thread is in instructions of one module. Those write to its instance, its
 * memory, its tables and the stack below struct wasm_run, and to nothing else. They hold no lock:
 * what they call is libm, memcpy() and its like, which take none, and the objects are linked with
 * -z now, so no call goes through the dynamic linker. All else that they call (imports,
 * memory.grow, traps) is the engine's and is begun by wasm_host_begin(), after which a deadline
 * only counts; wasm_host_end() looks at the count. What is left half changed is the instance, and
 * that is never used again: it is marked spoilt, freed and made anew (wasm_isolate_make()).
 * Registers come back from the jump buffer; the kernel has cleared the direction flag for the
 * handler, and guest code cannot change rounding modes. */
#include "runtime/wasm/wasm_internal.h"

static struct ramet_engine *the_engine; /* of the process, while guest code runs */

_Noreturn void wasm_leave(struct ramet_engine *engine, enum wasm_end end)
{
	engine->guest = 0;
	siglongjmp(engine->run->out, (int)end);
}

struct wasm_isolate *wasm_running(void)
{
	return the_engine->running;
}

_Noreturn void wasm_trap(wasm_rt_trap_t trap)
{
	the_engine->trap = trap;
	wasm_leave(the_engine, WASM_TRAPPED);
}

void wasm_host_begin(struct ramet_engine *engine)
{
	engine->guest = 0;
}

void wasm_host_end(struct ramet_engine *engine)
{
	engine->guest = 1;
	if (engine->interrupts > 0)
		wasm_leave(engine, WASM_INTERRUPTED);
}

void wasm_interrupt(struct ramet_engine *engine)
{
	sigset_t ours;
	if (!engine->current)
		return;
	engine->interrupts = 1;
	if (!engine->guest)
		return;
	sigemptyset(&ours); /* it is blocked in its handler, and siglongjmp() leaves it so */
	sigaddset(&ours, engine->signal);
	engine->guest = 0;
	(void)sigprocmask(SIG_UNBLOCK, &ours, NULL);
	wasm_leave(engine, WASM_INTERRUPTED);
}

enum wasm_end wasm_run(struct wasm_isolate *isolate,
	void (*fn)(struct wasm_isolate *isolate, void *arg), void *arg)
{
	struct ramet_engine *engine = isolate->engine;
	struct wasm_isolate *outer = engine->running;
	struct wasm_run run = {.outer = engine->run};
	the_engine = engine;
	engine->running = isolate;
	engine->run = &run;
	int end = sigsetjmp(run.out, 0);
	if (end == WASM_RETURNED)
		fn(isolate, arg);
	engine->run = run.outer;
	engine->running = outer;
	if (end != WASM_RETURNED)
		isolate->spoilt = true;
	return (enum wasm_end)end;
}

void wasm_call_plain(struct wasm_isolate *isolate, const struct wasm_function *fn)
{
	wasm_host_end(isolate->engine);
	((void (*)(void *))fn->code)(isolate->instance);
	wasm_host_begin(isolate->engine);
}

uint32_t wasm_call_status(struct wasm_isolate *isolate, const struct wasm_function *fn)
{
	wasm_host_end(isolate->engine);
	uint32_t status = ((uint32_t(*)(void *))fn->code)(isolate->instance);
	wasm_host_begin(isolate->engine);
	return status;
}

uint32_t wasm_call_alloc(struct wasm_isolate *isolate, const struct wasm_function *fn, uint32_t len)
{
	wasm_host_end(isolate->engine);
	uint32_t ptr = ((uint32_t(*)(void *, uint32_t))fn->code)(isolate->instance, len);
	wasm_host_begin(isolate->engine);
	return ptr;
}

uint32_t wasm_call_handler(
	struct wasm_isolate *isolate, const struct wasm_function *fn, uint32_t input, uint32_t len)
{
	wasm_host_end(isolate->engine);
	uint32_t status =
		((uint32_t(*)(void *, uint32_t, uint32_t))fn->code)(isolate->instance, input, len);
	wasm_host_begin(isolate->engine);
	return status;
}

void wasm_call_instantiate(struct wasm_isolate *isolate)
{
	wasm_host_end(isolate->engine);
	isolate->file->module->instantiate(isolate->instance, isolate);
	wasm_host_begin(isolate->engine);
}

const char *wasm_trap_text(wasm_rt_trap_t trap)
{
	switch (trap) {
	case WASM_RT_TRAP_OOB:
		return "out of bounds memory access";
	case WASM_RT_TRAP_INT_OVERFLOW:
		return "integer overflow";
	case WASM_RT_TRAP_DIV_BY_ZERO:
		return "integer divide by zero";
	case WASM_RT_TRAP_INVALID_CONVERSION:
		return "invalid conversion";
	case WASM_RT_TRAP_UNREACHABLE:
		return "unreachable";
	case WASM_RT_TRAP_CALL_INDIRECT:
		return "indirect call type mismatch";
	case WASM_RT_TRAP_EXHAUSTION:
		return "call stack exhausted";
	default:
		return "trap";
	}
}
