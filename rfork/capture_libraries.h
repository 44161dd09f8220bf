/* Loaded libraries: each is five mappings and more, and every mapping costs each clone a
 * microsecond. Neighbours become one where nobody can tell the difference. */
#ifndef RFORK_CAPTURE_LIBRARIES_H
#define RFORK_CAPTURE_LIBRARIES_H

#include "rfork/capture_maps.h"

#include <stdint.h>

/* capture_libraries_join - sets `whole`, `library` and `joins` of all mappings of a process, which
 * are in order of address */
void capture_libraries_join(struct capture_vma *vmas, uint32_t count);

#endif
