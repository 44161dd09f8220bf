/* The pages that a call of a handler will touch, and touching them ahead of it. */
#ifndef RUNTIME_NATIVE_NATIVE_PAGES_H
#define RUNTIME_NATIVE_NATIVE_PAGES_H

#include <stddef.h>

#define NATIVE_RANGES 8

struct native_range {
	void *begin; /* whole pages */
	size_t len;
};

/* native_find_ranges - where the object with this handle of dlopen()'s lies; returns how many
 * ranges, 0 if it is not known */
unsigned native_find_ranges(void *handle, struct native_range ranges[NATIVE_RANGES]);
/* native_populate - has them in the page tables, as far as they are small. Which of them a call
 * writes is known better by what calls before it wrote (rfork/working_set.h). */
void native_populate(const struct native_range *ranges, unsigned count);

#endif
