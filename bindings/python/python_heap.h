/* The interpreter's heap of small objects, before a base is captured. */
#ifndef BINDINGS_PYTHON_HEAP_H
#define BINDINGS_PYTHON_HEAP_H

/* python_heap_seal - fills the gaps between objects that are there, for good, so that new objects
 * come to lie side by side, and not on all the pages of old ones: those stay as they are in the
 * base, and what an app adds to it is small. Where the allocator is not the one that it knows,
 * nothing is done. The GIL is held. */
void python_heap_seal(void);

#endif
