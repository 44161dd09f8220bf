/* Which mappings may be joined: see capture_libraries.h. Only what a dynamic linker mapped, and
 * what follows it directly (.bss): nobody resizes that by mremap(), which would show a neighbour's
 * bytes.
 */
#include "rfork/capture_libraries.h"

#include "rfork/descriptor.h"

#include <stdbool.h>
#include <sys/mman.h>

#define SMALL_PAGES 32 /* of constants, that travel with the image to save a mapping */

static bool mergeable(const struct capture_vma *vma)
{
	return !vma->shared && !vma->wipe && !vma->huge && !vma->deleted;
}

void capture_libraries_join(struct capture_vma *vmas, uint32_t count)
{
	uint64_t library = 0; /* inode of the last code that was passed */
	for (uint32_t i = 0; i < count; i++) {
		struct capture_vma *vma = &vmas[i];
		if (vma->inode && (vma->prot & PROT_EXEC))
			library = vma->inode;
		vma->library = mergeable(vma) && vma->inode && vma->inode == library &&
			!(vma->prot & PROT_EXEC);
		if (i + 1 == count)
			break;
		struct capture_vma *next = &vmas[i + 1];
		if (!vma->library || !mergeable(next) || vma->end != next->start ||
			vma->prot != next->prot || (next->inode && next->inode != library))
			continue;
		next->joins = true;
		/* .rodata, before what was relocated and then protected */
		vma->whole = !(vma->prot & PROT_WRITE) && next->inode &&
			vma->end - vma->start <= SMALL_PAGES * RFORK_PAGE;
	}
}
