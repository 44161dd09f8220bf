/* Seeding the generators of a clone anew; ramet_host/randomness.py finds them before the capture.
 */
#ifndef BINDINGS_PYTHON_RANDOM_H
#define BINDINGS_PYTHON_RANDOM_H

#include "ramet/engine.h"

/* python_random_prepare - in the host, before each capture. -1 with a Python exception set. */
int python_random_prepare(void);
/* python_random_seed - in a clone; -1 with a Python exception set */
int python_random_seed(const unsigned char seed[RAMET_ENGINE_SEED_BYTES]);

#endif
