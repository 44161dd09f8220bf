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

/* a part of the file that has this code, behind it in memory as in the file: as linkers lay it out
 */
static bool follows(const struct capture_vma *vma, const struct capture_vma *code)
{
	return code && mergeable(vma) && vma->inode == code->inode && vma->offset > code->offset &&
		!(vma->prot & PROT_EXEC);
}

void capture_libraries_join(struct capture_vma *vmas, uint32_t count)
{
	const struct capture_vma *code = NULL; /* the last that was passed */
	for (uint32_t i = 0; i < count; i++) {
		struct capture_vma *vma = &vmas[i];
		if (vma->inode && (vma->prot & PROT_EXEC))
			code = vma;
		vma->library = follows(vma, code);
		if (i + 1 == count)
			break;
		struct capture_vma *next = &vmas[i + 1];
		if (!vma->library || !mergeable(next) || vma->end != next->start ||
			vma->prot != next->prot || (next->inode && !follows(next, code)))
			continue;
		next->joins = true;
		/* .rodata, before what was relocated and then protected */
		vma->whole = !(vma->prot & PROT_WRITE) && next->inode &&
			vma->end - vma->start <= SMALL_PAGES * RFORK_PAGE;
	}
}
