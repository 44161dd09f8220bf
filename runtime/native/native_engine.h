/* The engine for shared objects with the C interface of include/ramet/function.h. Part of
 * ramet-host. */
#ifndef RUNTIME_NATIVE_NATIVE_ENGINE_H
#define RUNTIME_NATIVE_NATIVE_ENGINE_H

#include "ramet/engine.h"

extern const struct ramet_engine_ops native_engine;

#endif
