/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded reader of ELF files written by strangers: 64-bit little-endian, this machine only. It
 * reads by pread (a file that shrinks under a mapping would kill the agent), never more than
 * ELF_READ_MAX bytes of one file, and trusts no offset, count or size it finds. It follows no
 * chain: every loop is over a table whose length was checked first.
 */
#ifndef TT_ELF_H
#define TT_ELF_H

#include "agent/discovery/sites.h"

#include <elf.h>

#define ELF_READ_MAX	 (128ULL << 20) /* bytes read of one file in all: the time budget */
#define ELF_SEGMENTS_MAX 128
#define ELF_SECTIONS_MAX 4096
#define ELF_NEEDLE_MAX	 32
#define ELF_NOTES_MAX	 (64u << 10) /* bytes of one note segment looked at */

struct elf {
	int fd; /* borrowed */
	uint64_t size;
	uint64_t budget; /* bytes that may still be read */
	Elf64_Ehdr head;
	Elf64_Phdr *segments;
	size_t segment_count;
	Elf64_Shdr *sections;
	size_t section_count;
};

/* Reads the headers. Anything but SITES_FOUND leaves *out untouched. */
enum sites_refusal elf_open(struct elf *out, int fd) TT_MUST_CHECK;
void elf_close(struct elf *elf);

/* False when the range leaves the file, the file shrank, or the budget is spent (elf_spent). */
bool elf_read(struct elf *elf, uint64_t offset, void *dst, size_t len) TT_MUST_CHECK;
bool elf_spent(const struct elf *elf);

/* The first section of that type or name; NULL = none. */
const Elf64_Shdr *elf_section(const struct elf *elf, uint32_t type);
const Elf64_Shdr *elf_section_named(struct elf *elf, const char *name);
/* The section that sh_link of another names, when it is of that type. */
const Elf64_Shdr *elf_linked(const struct elf *elf, const Elf64_Shdr *section, uint32_t type);

/* File offset of [address, address + size) when it lies whole in one executable segment. */
bool elf_code_offset(const struct elf *elf, uint64_t address, uint64_t size, uint64_t *offset);

/* A function as the unwind table (.eh_frame_hdr) knows it. */
struct elf_function {
	uint64_t start;
	uint64_t size; /* 0: its entry cannot be read */
	uint64_t next; /* where a later one starts; 0: none does */
};

/* The last function that starts at the address or before. False: none, or no readable table. */
bool elf_function_at(struct elf *elf, uint64_t address, struct elf_function *out) TT_MUST_CHECK;

/* Copies the description of a note (at most size bytes); its length, or 0 when there is none. */
size_t elf_note(struct elf *elf, const char *name, uint32_t type, void *dst, size_t size);

/* Hex of the GNU build id, "" when there is none. */
void elf_build_id(struct elf *elf, char *dst, size_t size);
/* DT_SONAME, "" when there is none. */
void elf_soname(struct elf *elf, char *dst, size_t size);
/* True for what the kernel can start: no soname, and fixed, interpreted or marked PIE. */
bool elf_executable(struct elf *elf);

/* True when the bytes of a section contain the needle (at most ELF_NEEDLE_MAX bytes). */
bool elf_contains(struct elf *elf, const Elf64_Shdr *section, struct slice needle);

#endif
