/* Named fault points: places where a test can make the product fail on purpose.
 *
 *	if (fault_hit("capture.read")) return err_set(err, RAMET_EIO, "injected");
 *
 * Switched on by RAMET_FAULT="name[:skip[:count]],…" in the environment or fault_set(). Costs one relaxed load when
 * nothing is set; compiled out without RAMET_FAULT_POINTS. Every name is listed in docs/fault-points.md (a test greps). */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>

#ifdef RAMET_FAULT_POINTS
extern atomic_bool fault_any;
bool fault_hit_slow(const char *name);
static inline bool fault_hit(const char *name)
{
	return atomic_load_explicit(&fault_any, memory_order_relaxed) && fault_hit_slow(name);
}
#else
#define fault_hit(name) false
#endif

void fault_init(void); /* reads RAMET_FAULT; also called lazily by fault_set */
void fault_set(const char *name, unsigned skip, unsigned count); /* count 0 switches it off */

#endif
