/* The engine for shared objects with the C interface of include/ramet/function.h. Part of
 * ramet-host, and a shared object (engine_native.so) for hosts that are interpreters. */
#ifndef RUNTIME_NATIVE_NATIVE_ENGINE_H
#define RUNTIME_NATIVE_NATIVE_ENGINE_H

#include "ramet/engine.h"

__attribute__((visibility("default"))) extern const struct ramet_engine_ops ramet_engine;

#endif
