/* SPDX-License-Identifier: Apache-2.0 */
/* Small ELF files for tests: one code segment, .dynsym or .symtab, and every header open to harm.
 */
#ifndef TT_ELF_BUILDER_H
#define TT_ELF_BUILDER_H

#include "agent/base/base.h"

#include <elf.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUILT_CODE_ADDRESS   0x401000
#define BUILT_CODE_BYTES     256
#define BUILT_FUNCTION_BYTES 32 /* the unwind table has a function at each multiple */
#define BUILT_SYMBOLS_MAX    16
#define BUILT_UNWIND_ROWS    (BUILT_CODE_BYTES / BUILT_FUNCTION_BYTES)
#define BUILT_UNWIND_AT	     0x500000

enum built_section { BUILT_NULL, BUILT_SYMS, BUILT_STRINGS, BUILT_NAMES, BUILT_SECTIONS };

struct built_elf {
	Elf64_Ehdr head;
	Elf64_Phdr segments[4];
	Elf64_Shdr sections[BUILT_SECTIONS];
	Elf64_Sym syms[BUILT_SYMBOLS_MAX];
	size_t sym_count;
	char strings[512];
	size_t strings_len;
	char names[64];
	struct {
		Elf64_Nhdr head;
		char name[4];
		uint8_t desc[20];
	} note;
	struct {
		uint8_t encodings[4];
		int32_t frame;
		uint32_t count;
		struct {
			int32_t start, entry;
		} rows[BUILT_UNWIND_ROWS];
		struct {
			uint32_t bytes, common;
			int32_t start;
			uint32_t size;
		} entries[BUILT_UNWIND_ROWS];
	} unwind;
	uint8_t code[BUILT_CODE_BYTES];
};

/* What the unwind table says of the function at an address; size 0: that it cannot be read. */
static inline void built_unwind(struct built_elf *b, uint64_t address, uint32_t size)
{
	size_t row = (address - BUILT_CODE_ADDRESS) / BUILT_FUNCTION_BYTES;
	uint64_t at = BUILT_UNWIND_AT +
		      (uint64_t)((char *)&b->unwind.entries[row].start - (char *)&b->unwind);

	b->unwind.entries[row].start = size ? (int32_t)(address - at) : 0;
	b->unwind.entries[row].size = size;
}

static inline void built_symbol(struct built_elf *b, const char *name, uint64_t address,
				uint64_t size)
{
	Elf64_Sym *sym = &b->syms[b->sym_count++];

	sym->st_name = (uint32_t)b->strings_len;
	sym->st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
	sym->st_shndx = 1;
	sym->st_value = address;
	sym->st_size = size;
	strncpy(b->strings + b->strings_len, name, sizeof(b->strings) - b->strings_len - 1);
	b->strings_len += strlen(name) + 1;
}

/* A function of these bytes at an offset of the code, a multiple of BUILT_FUNCTION_BYTES. */
static inline void built_function(struct built_elf *b, const char *name, size_t at,
				  const uint8_t *code, size_t size)
{
	memcpy(b->code + at, code, size);
	built_symbol(b, name, BUILT_CODE_ADDRESS + at, size);
	built_unwind(b, BUILT_CODE_ADDRESS + at, (uint32_t)size);
}

/* A sound library with SSL_write at the code's start and SSL_read 32 bytes on. */
static inline void built_init(struct built_elf *b, uint32_t symbol_table_type)
{
	static const uint8_t function[] = {0x55, 0x31, 0xc0, 0x5d, 0xc3};

	*b = (struct built_elf){.strings_len = 1, .sym_count = 1};
	memcpy(b->head.e_ident, ELFMAG, SELFMAG);
	b->head.e_ident[EI_CLASS] = ELFCLASS64;
	b->head.e_ident[EI_DATA] = ELFDATA2LSB;
	b->head.e_type = ET_DYN;
	b->head.e_machine = EM_X86_64;
	b->head.e_phoff = offsetof(struct built_elf, segments);
	b->head.e_phentsize = sizeof(Elf64_Phdr);
	b->head.e_phnum = ARRAY_LEN(b->segments);
	b->head.e_shoff = offsetof(struct built_elf, sections);
	b->head.e_shentsize = sizeof(Elf64_Shdr);
	b->head.e_shnum = BUILT_SECTIONS;
	b->head.e_shstrndx = BUILT_NAMES;
	b->segments[0] = (Elf64_Phdr){.p_type = PT_LOAD,
				      .p_flags = PF_R | PF_X,
				      .p_offset = offsetof(struct built_elf, code),
				      .p_vaddr = BUILT_CODE_ADDRESS,
				      .p_filesz = BUILT_CODE_BYTES,
				      .p_memsz = BUILT_CODE_BYTES};
	b->segments[1] = (Elf64_Phdr){.p_type = PT_NOTE,
				      .p_offset = offsetof(struct built_elf, note),
				      .p_filesz = sizeof(b->note)};
	b->segments[2] = (Elf64_Phdr){.p_type = PT_GNU_EH_FRAME,
				      .p_offset = offsetof(struct built_elf, unwind),
				      .p_vaddr = BUILT_UNWIND_AT,
				      .p_filesz = sizeof(b->unwind)};
	b->segments[3] = (Elf64_Phdr){.p_type = PT_LOAD,
				      .p_flags = PF_R,
				      .p_offset = offsetof(struct built_elf, unwind),
				      .p_vaddr = BUILT_UNWIND_AT,
				      .p_filesz = sizeof(b->unwind)};
	memcpy(b->unwind.encodings, "\x01\x1b\x03\x3b", 4);
	b->unwind.count = BUILT_UNWIND_ROWS;
	for (size_t i = 0; i < BUILT_UNWIND_ROWS; i++) {
		b->unwind.rows[i].start =
			BUILT_CODE_ADDRESS + (int)i * BUILT_FUNCTION_BYTES - BUILT_UNWIND_AT;
		b->unwind.rows[i].entry =
			(int32_t)((char *)&b->unwind.entries[i] - (char *)&b->unwind);
	}
	b->note.head = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 20, .n_type = NT_GNU_BUILD_ID};
	memcpy(b->note.name, "GNU", 4);
	memset(b->note.desc, 0xab, sizeof(b->note.desc));
	memcpy(b->names, "\0.syms\0.strings", 15);
	built_function(b, "SSL_write", 0, function, sizeof(function));
	built_function(b, "SSL_read", 32, function, sizeof(function));
	b->sections[BUILT_SYMS] = (Elf64_Shdr){.sh_type = symbol_table_type,
					       .sh_name = 1,
					       .sh_offset = offsetof(struct built_elf, syms),
					       .sh_link = BUILT_STRINGS,
					       .sh_entsize = sizeof(Elf64_Sym)};
	b->sections[BUILT_STRINGS] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
						  .sh_name = 7,
						  .sh_offset = offsetof(struct built_elf, strings),
						  .sh_size = sizeof(b->strings)};
	b->sections[BUILT_NAMES] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
						.sh_offset = offsetof(struct built_elf, names),
						.sh_size = sizeof(b->names)};
	b->sections[BUILT_SYMS].sh_size = sizeof(b->syms);
}

/* The file in memory; the caller closes it. */
static inline int built_open(const struct built_elf *b, size_t len)
{
	int fd = memfd_create("built", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, b, len) != (ssize_t)len) {
		close(fd);
		return -1;
	}
	return fd;
}

#endif
