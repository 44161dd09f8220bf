/* What tests ask memory_host. Its modes:
 *   fill       every page has its number + 1 in its first word
 *   zeros      all pages written with zeros, but MEMORY_ZEROS_EXCEPT: MEMORY_VALUE
 *   file       a private mapping of the program's file, with two pages written
 *   dontfork, wipe, hidden
 *              as fill, then MADV_DONTFORK of one page, MADV_WIPEONFORK, PROT_NONE
 *   droppable  as fill, MAP_DROPPABLE */
#ifndef TESTS_RFORK_MEMORY_HOST_H
#define TESTS_RFORK_MEMORY_HOST_H

#include <stdint.h>

#define MEMORY_VALUE 55
#define MEMORY_ZEROS_EXCEPT 5
#define MEMORY_FILE_PAGES 4
#define MEMORY_FILE_ZERO 0
#define MEMORY_FILE_WRITTEN 2
#define MEMORY_STATICS_SUM 528
#define MEMORY_NOT_HERE 77 /* exit status: the kernel lacks what the mode needs */

enum memory_op {
	MEMORY_ADDR, /* of the area */
	MEMORY_READ, /* the first word of a page */
	MEMORY_WRITE, /* MEMORY_VALUE to it */
	MEMORY_SUM, /* of all first words */
	MEMORY_CHILD, /* the first word of a page, as a forked child sees it */
	MEMORY_UNMAP, /* a page: munmap()'s result */
	MEMORY_SHOW, /* make the area accessible: mprotect()'s result */
	MEMORY_GROW, /* by as much again, with mremap(): the sum of the first words of what is new
		      */
	MEMORY_STATICS, /* the sum of MEMORY_STATICS_SUM, kept in the program's .rodata, .data and
			   .bss */
	MEMORY_DATA, /* address of the last of .data */
	MEMORY_BSS, /* address of the first of .bss */
	MEMORY_HALVE, /* the area's second half is cut off: mremap() */
	MEMORY_CAPTURE, /* another shadow is sent, as at the start; no answer */
};

struct memory_question {
	uint64_t op, page;
};

#endif
