/* The vdso's build-id: which kernel's vdso a process has had mapped into it, and has called into.
 */
#include "base/cleanup.h"
#include "base/topo_cpu.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static size_t align4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

static size_t find_note(
	const unsigned char *notes, size_t len, unsigned char dst[TOPO_BUILD_ID_MAX])
{
	Elf64_Nhdr note;
	for (size_t at = 0; len - at >= sizeof(note);) {
		memcpy(&note, notes + at, sizeof(note));
		at += sizeof(note);
		size_t name = align4(note.n_namesz), desc = align4(note.n_descsz);
		if (name > len - at || desc > len - at - name)
			return 0;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			memcmp(notes + at, "GNU", 4) == 0) {
			size_t n = MIN(note.n_descsz, TOPO_BUILD_ID_MAX);
			memcpy(dst, notes + at + name, n);
			return n;
		}
		at += name + desc;
	}
	return 0;
}

size_t topo_elf_build_id(const void *image, size_t len, unsigned char dst[TOPO_BUILD_ID_MAX])
{
	const unsigned char *bytes = image;
	Elf64_Ehdr header;
	if (len < sizeof(header))
		return 0;
	memcpy(&header, bytes, sizeof(header));
	if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
		header.e_ident[EI_CLASS] != ELFCLASS64 ||
		header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phoff > len ||
		header.e_phnum > (len - header.e_phoff) / sizeof(Elf64_Phdr))
		return 0;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr segment;
		memcpy(&segment, bytes + header.e_phoff + i * sizeof(segment), sizeof(segment));
		if (segment.p_type != PT_NOTE || segment.p_offset > len ||
			segment.p_filesz > len - segment.p_offset)
			continue;
		size_t n = find_note(bytes + segment.p_offset, segment.p_filesz, dst);
		if (n)
			return n;
	}
	return 0;
}

size_t topo_vdso_build_id(unsigned char dst[TOPO_BUILD_ID_MAX])
{
	const void *vdso = (const void *)getauxval(AT_SYSINFO_EHDR);
	/* notes lie in its first page, which is all that is sure to be mapped */
	return vdso ? topo_elf_build_id(vdso, (size_t)sysconf(_SC_PAGESIZE), dst) : 0;
}
