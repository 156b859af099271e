/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/hex.h"
#include "agent/discovery/elf.h"

#include <endian.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_NONE
#endif

#define DYNAMIC_MAX  512 /* entries of the dynamic section */
#define WINDOW_BYTES (64u << 10)

static bool in_file(const struct elf *elf, uint64_t offset, uint64_t len)
{
	return offset <= elf->size && len <= elf->size - offset;
}

bool elf_spent(const struct elf *elf)
{
	return elf->budget == 0;
}

bool elf_read(struct elf *elf, uint64_t offset, void *dst, size_t len)
{
	size_t done = 0;

	if (!in_file(elf, offset, len))
		return false;
	if (len > elf->budget) {
		elf->budget = 0;
		return false;
	}
	elf->budget -= len;
	while (done < len) {
		ssize_t n = pread(elf->fd, (char *)dst + done, len - done, (off_t)(offset + done));

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static enum sites_refusal check_head(const Elf64_Ehdr *head)
{
	if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
		return SITES_NOT_ELF;
	if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELFDATA2LSB ||
	    head->e_machine != MACHINE)
		return SITES_WRONG_MACHINE;
	if (head->e_type != ET_EXEC && head->e_type != ET_DYN)
		return SITES_NOT_ELF;
	if (head->e_phnum > ELF_SEGMENTS_MAX || head->e_shnum > ELF_SECTIONS_MAX)
		return SITES_TOO_LARGE;
	if ((head->e_phnum && head->e_phentsize != sizeof(Elf64_Phdr)) ||
	    (head->e_shnum && head->e_shentsize != sizeof(Elf64_Shdr)))
		return SITES_MALFORMED;
	return SITES_FOUND;
}

/* Reads a table of count rows; NULL and true when it is empty. */
static bool read_table(struct elf *elf, uint64_t offset, size_t count, size_t row, void **out)
{
	void *table;

	if (count == 0)
		return true;
	table = calloc(count, row);
	if (!table || !elf_read(elf, offset, table, count * row)) {
		free(table);
		return false;
	}
	*out = table;
	return true;
}

enum sites_refusal elf_open(struct elf *out, int fd)
{
	struct elf elf = {.fd = fd, .budget = ELF_READ_MAX};
	enum sites_refusal refusal;
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return SITES_NOT_ELF;
	elf.size = (uint64_t)st.st_size;
	if (!elf_read(&elf, 0, &elf.head, sizeof(elf.head)))
		return SITES_NOT_ELF;
	refusal = check_head(&elf.head);
	if (refusal != SITES_FOUND)
		return refusal;
	elf.segment_count = elf.head.e_phnum;
	elf.section_count = elf.head.e_shnum;
	if (!read_table(&elf, elf.head.e_phoff, elf.segment_count, sizeof(*elf.segments),
			(void **)&elf.segments) ||
	    !read_table(&elf, elf.head.e_shoff, elf.section_count, sizeof(*elf.sections),
			(void **)&elf.sections)) {
		elf_close(&elf);
		return SITES_MALFORMED;
	}
	*out = elf;
	return SITES_FOUND;
}

void elf_close(struct elf *elf)
{
	free(elf->segments);
	free(elf->sections);
	elf->segments = NULL;
	elf->sections = NULL;
}

const Elf64_Shdr *elf_section(const struct elf *elf, uint32_t type)
{
	for (size_t i = 0; i < elf->section_count; i++) {
		if (elf->sections[i].sh_type == type)
			return &elf->sections[i];
	}
	return NULL;
}

const Elf64_Shdr *elf_linked(const struct elf *elf, const Elf64_Shdr *section, uint32_t type)
{
	if (section->sh_link >= elf->section_count)
		return NULL;
	section = &elf->sections[section->sh_link];
	return section->sh_type == type ? section : NULL;
}

const Elf64_Shdr *elf_section_named(struct elf *elf, const char *name)
{
	_cleanup_(freep) char *names = NULL;
	size_t len = strlen(name) + 1;
	const Elf64_Shdr *table;

	if (elf->head.e_shstrndx >= elf->section_count)
		return NULL;
	table = &elf->sections[elf->head.e_shstrndx];
	if (table->sh_size > WINDOW_BYTES)
		return NULL;
	names = malloc(table->sh_size + 1);
	if (!names || !elf_read(elf, table->sh_offset, names, table->sh_size))
		return NULL;
	for (size_t i = 0; i < elf->section_count; i++) {
		uint64_t at = elf->sections[i].sh_name;

		if (at < table->sh_size && table->sh_size - at >= len &&
		    memcmp(names + at, name, len) == 0)
			return &elf->sections[i];
	}
	return NULL;
}

/* As elf_code_offset, for a segment with these flags. */
static bool segment_offset(const struct elf *elf, uint64_t address, uint64_t size, uint32_t flags,
			   uint64_t *offset)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *seg = &elf->segments[i];
		uint64_t delta = address - seg->p_vaddr;

		if (seg->p_type != PT_LOAD || !(seg->p_flags & flags) || address < seg->p_vaddr ||
		    delta >= seg->p_filesz || size > seg->p_filesz - delta)
			continue;
		if (!in_file(elf, seg->p_offset, seg->p_filesz))
			return false;
		*offset = seg->p_offset + delta;
		return true;
	}
	return false;
}

bool elf_code_offset(const struct elf *elf, uint64_t address, uint64_t size, uint64_t *offset)
{
	return segment_offset(elf, address, size, PF_X, offset);
}

/* .eh_frame_hdr (Linux Standard Base Core 5.0, 10.6.2), in the encodings that all linkers write. */
struct unwind_table {
	uint8_t version, frame_encoding, count_encoding, table_encoding;
	int32_t frame;
	uint32_t count;
};

struct unwind_row {
	int32_t start, entry; /* relative to the table's own address; sorted by start */
};

#define UNWIND_VERSION	      1
#define UNWIND_FRAME_ENCODING 0x1b /* DW_EH_PE_pcrel | DW_EH_PE_sdata4 */
#define UNWIND_COUNT_ENCODING 0x03 /* DW_EH_PE_udata4 */
#define UNWIND_TABLE_ENCODING 0x3b /* DW_EH_PE_datarel | DW_EH_PE_sdata4 */

static bool unwind_readable(const struct unwind_table *table, uint64_t size)
{
	return table->version == UNWIND_VERSION && table->frame_encoding == UNWIND_FRAME_ENCODING &&
	       table->count_encoding == UNWIND_COUNT_ENCODING &&
	       table->table_encoding == UNWIND_TABLE_ENCODING &&
	       table->count <= (size - sizeof(*table)) / sizeof(struct unwind_row);
}

static const Elf64_Phdr *unwind_segment(struct elf *elf, struct unwind_table *table)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *seg = &elf->segments[i];

		if (seg->p_type == PT_GNU_EH_FRAME)
			return seg->p_filesz >= sizeof(*table) &&
					       in_file(elf, seg->p_offset, seg->p_filesz) &&
					       elf_read(elf, seg->p_offset, table,
							sizeof(*table)) &&
					       unwind_readable(table, seg->p_filesz)
				       ? seg
				       : NULL;
	}
	return NULL;
}

static bool unwind_row(struct elf *elf, const Elf64_Phdr *seg, uint32_t index, uint64_t *start,
		       uint64_t *entry)
{
	struct unwind_row row;
	uint64_t at = seg->p_offset + sizeof(struct unwind_table) + (uint64_t)index * sizeof(row);

	if (!elf_read(elf, at, &row, sizeof(row)))
		return false;
	*start = seg->p_vaddr + (uint64_t)(int64_t)row.start;
	*entry = seg->p_vaddr + (uint64_t)(int64_t)row.entry;
	return true;
}

/* A frame description entry up to its range, in the encoding that all compilers choose. */
struct unwind_entry {
	uint32_t bytes;
	uint32_t common;
	int32_t start; /* relative to its own address */
	uint32_t size;
};

/* The function's size by its entry; 0 when that is not in the form above: it names its start. */
static uint64_t unwind_size(struct elf *elf, uint64_t address, uint64_t start)
{
	struct unwind_entry entry;
	uint64_t offset;

	if (!segment_offset(elf, address, sizeof(entry), PF_R, &offset) ||
	    !elf_read(elf, offset, &entry, sizeof(entry)))
		return 0;
	address += offsetof(struct unwind_entry, start);
	return address + (uint64_t)(int64_t)entry.start == start ? entry.size : 0;
}

bool elf_function_at(struct elf *elf, uint64_t address, struct elf_function *out)
{
	struct elf_function found = {0};
	struct unwind_table table;
	const Elf64_Phdr *seg = unwind_segment(elf, &table);
	uint64_t start, entry, found_entry = 0;
	uint32_t low = 0, high = seg ? table.count : 0;
	bool any = false;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (!unwind_row(elf, seg, middle, &start, &entry))
			return false;
		if (start <= address) {
			low = middle + 1;
			found.start = start;
			found_entry = entry;
			any = true;
		} else {
			high = middle;
			found.next = start;
		}
	}
	if (!any)
		return false;
	found.size = unwind_size(elf, found_entry, found.start);
	*out = found;
	return true;
}

/* A size rounded up to the alignment of notes; the caller has bounded it by ELF_NOTES_MAX. */
static size_t note_padded(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* Looks for a note in the bytes of one segment; the description's length, or 0. */
static size_t find_note(const uint8_t *p, size_t len, const char *name, uint32_t type, void *dst,
			size_t size)
{
	while (len >= sizeof(Elf64_Nhdr)) {
		size_t name_size, desc_size;
		Elf64_Nhdr note;

		memcpy(&note, p, sizeof(note));
		p += sizeof(note);
		len -= sizeof(note);
		if (note.n_namesz > len || note.n_descsz > len)
			return 0;
		name_size = note_padded(note.n_namesz);
		desc_size = note_padded(note.n_descsz);
		if (name_size > len || note.n_descsz > len - name_size)
			return 0;
		if (note.n_type == type && note.n_namesz == strlen(name) + 1 &&
		    memcmp(p, name, note.n_namesz) == 0) {
			size = note.n_descsz < size ? note.n_descsz : size;
			memcpy(dst, p + name_size, size);
			return size;
		}
		if (desc_size > len - name_size)
			return 0;
		p += name_size + desc_size;
		len -= name_size + desc_size;
	}
	return 0;
}

size_t elf_note(struct elf *elf, const char *name, uint32_t type, void *dst, size_t size)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *seg = &elf->segments[i];
		_cleanup_(freep) uint8_t *bytes = NULL;
		size_t found;

		if (seg->p_type != PT_NOTE || seg->p_filesz > ELF_NOTES_MAX)
			continue;
		bytes = malloc(seg->p_filesz + 1);
		if (!bytes || !elf_read(elf, seg->p_offset, bytes, seg->p_filesz))
			return 0;
		found = find_note(bytes, seg->p_filesz, name, type, dst, size);
		if (found)
			return found;
	}
	return 0;
}

void elf_build_id(struct elf *elf, char *dst, size_t size)
{
	uint8_t id[20];
	size_t len = elf_note(elf, "GNU", NT_GNU_BUILD_ID, id, sizeof(id));

	if (len > (size - 1) / 2)
		len = (size - 1) / 2;
	hex_of(dst, id, len);
}

/* The value of the first dynamic entry with that tag; false when there is none. */
static bool dynamic_value(struct elf *elf, int64_t tag, uint64_t *value)
{
	const Elf64_Shdr *section = elf_section(elf, SHT_DYNAMIC);
	Elf64_Dyn entries[DYNAMIC_MAX];
	size_t count;

	if (!section)
		return false;
	count = section->sh_size / sizeof(entries[0]);
	count = count < DYNAMIC_MAX ? count : DYNAMIC_MAX;
	if (!elf_read(elf, section->sh_offset, entries, count * sizeof(entries[0])))
		return false;
	for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; i++) {
		if (entries[i].d_tag == tag) {
			*value = entries[i].d_un.d_val;
			return true;
		}
	}
	return false;
}

void elf_soname(struct elf *elf, char *dst, size_t size)
{
	const Elf64_Shdr *section = elf_section(elf, SHT_DYNAMIC);
	const Elf64_Shdr *strings = section ? elf_linked(elf, section, SHT_STRTAB) : NULL;
	char name[256] = "";
	uint64_t at, len;

	dst[0] = '\0';
	if (!strings || !dynamic_value(elf, DT_SONAME, &at) || at >= strings->sh_size ||
	    at > UINT64_MAX - strings->sh_offset)
		return;
	len = strings->sh_size - at;
	len = len < sizeof(name) - 1 ? len : sizeof(name) - 1;
	if (elf_read(elf, strings->sh_offset + at, name, len))
		slice_copy(dst, size, slice_of(name));
}

bool elf_executable(struct elf *elf)
{
	uint64_t value;

	if (elf->head.e_type == ET_EXEC)
		return true;
	if (dynamic_value(elf, DT_SONAME, &value))
		return false;
	for (size_t i = 0; i < elf->segment_count; i++) {
		if (elf->segments[i].p_type == PT_INTERP)
			return true;
	}
	return dynamic_value(elf, DT_FLAGS_1, &value) && (value & DF_1_PIE);
}

bool elf_contains(struct elf *elf, const Elf64_Shdr *section, struct slice needle)
{
	_cleanup_(freep) char *window = malloc(WINDOW_BYTES + ELF_NEEDLE_MAX);
	size_t kept = 0;

	if (!window || section->sh_type == SHT_NOBITS || needle.len == 0 ||
	    needle.len > ELF_NEEDLE_MAX)
		return false;
	for (uint64_t at = 0; at < section->sh_size;) {
		uint64_t left = section->sh_size - at;
		size_t n = left < WINDOW_BYTES ? left : WINDOW_BYTES;

		if (at > UINT64_MAX - section->sh_offset ||
		    !elf_read(elf, section->sh_offset + at, window + kept, n))
			return false;
		if (memmem(window, kept + n, needle.ptr, needle.len))
			return true;
		at += n;
		n += kept;
		kept = n < needle.len - 1 ? n : needle.len - 1;
		memmove(window, window + n - kept, kept);
	}
	return false;
}
