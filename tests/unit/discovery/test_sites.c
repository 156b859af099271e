/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/elf.h"
#include "agent/discovery/sites.h"
#include "tests/unit/discovery/elf_builder.h"

#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

static const struct probe_site *site_of(const struct probe_sites *sites, enum hook hook)
{
	for (size_t i = 0; i < sites->count; i++) {
		if (sites->site[i].hook == hook)
			return &sites->site[i];
	}
	return NULL;
}

static enum sites_refusal find_built(const struct built_elf *b, size_t len, struct probe_sites *out)
{
	_cleanup_(closep) int fd = built_open(b, len);

	assert_true(fd >= 0);
	return sites_find(fd, true, out);
}

static void sound_file(uint32_t table_type)
{
	const uint64_t code = offsetof(struct built_elf, code);
	struct probe_sites sites;
	struct built_elf b;

	built_init(&b, table_type);
	assert_int_equal(find_built(&b, sizeof(b), &sites), SITES_FOUND);
	assert_int_equal(sites.count, 2);
	assert_int_equal(sites.site[0].hook, HOOK_WRITE);
	assert_int_equal(sites.site[0].entry, code);
	assert_int_equal(sites.site[0].class_, SITE_EMULATED);
	assert_int_equal(sites.site[0].size, 5);
	assert_int_equal(sites.site[0].return_count, 1);
	assert_int_equal(sites.site[0].returns[0], code + 4);
	assert_int_equal(sites.site[1].function, code + 32);
	assert_string_equal(sites.build_id, "abababababababababababababababababababab");
	assert_string_equal(sites.soname, "");
	assert_false(sites.executable);
}

static void finds_exported_symbols(void **state)
{
	(void)state;
	sound_file(SHT_DYNSYM);
}

static void finds_local_symbol_table(void **state)
{
	(void)state;
	sound_file(SHT_SYMTAB);
}

static void steps_over_endbr(void **state)
{
	static const uint8_t function[] = {0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x5d, 0xc3};
	const uint64_t code = offsetof(struct built_elf, code);
	struct probe_sites sites;
	struct built_elf b;

	(void)state;
	built_init(&b, SHT_DYNSYM);
	b.sym_count = 1;
	built_function(&b, "SSL_write", 0, function, sizeof(function));
	b.sym_count = 3;
	assert_int_equal(find_built(&b, sizeof(b), &sites), SITES_FOUND);
	assert_int_equal(sites.site[0].entry, code + 4);
	assert_int_equal(sites.site[0].function, code);
	assert_int_equal(sites.site[0].return_count, 1);
}

static void global_wins_over_local(void **state)
{
	struct probe_sites sites;
	struct built_elf b;

	(void)state;
	built_init(&b, SHT_SYMTAB);
	b.syms[1].st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC);
	built_function(&b, "SSL_write", 64, b.code, 5);
	assert_int_equal(find_built(&b, sizeof(b), &sites), SITES_FOUND);
	assert_int_equal(site_of(&sites, HOOK_WRITE)->function,
			 offsetof(struct built_elf, code) + 64);
}

static void drops_hooks_that_share_an_address(void **state)
{
	struct probe_sites sites;
	struct built_elf b;

	(void)state;
	built_init(&b, SHT_DYNSYM);
	built_function(&b, "SSL_free", 64, b.code, 5);
	built_function(&b, "SSL_clear", 64, b.code, 5);
	assert_int_equal(find_built(&b, sizeof(b), &sites), SITES_FOUND);
	assert_non_null(site_of(&sites, HOOK_FREE));
	assert_null(site_of(&sites, HOOK_CLEAR));
}

/* What strangers may do to a file, and what it must be called. */
static void harm_magic(struct built_elf *b)
{
	b->head.e_ident[0] = 'M';
}
static void harm_class(struct built_elf *b)
{
	b->head.e_ident[EI_CLASS] = ELFCLASS32;
}
static void harm_machine(struct built_elf *b)
{
	b->head.e_machine = EM_S390;
}
static void harm_object(struct built_elf *b)
{
	b->head.e_type = ET_REL;
}
static void harm_section_count(struct built_elf *b)
{
	b->head.e_shnum = 0xfeff;
}
static void harm_section_table_offset(struct built_elf *b)
{
	b->head.e_shoff = UINT64_MAX - 8;
}
static void harm_section_row(struct built_elf *b)
{
	b->head.e_shentsize = 1;
}
static void harm_segment_count(struct built_elf *b)
{
	b->head.e_phnum = PN_XNUM;
}
static void harm_symbols_size(struct built_elf *b)
{
	b->sections[BUILT_SYMS].sh_size = UINT64_MAX;
}
static void harm_symbols_offset(struct built_elf *b)
{
	b->sections[BUILT_SYMS].sh_offset = UINT64_MAX - 100;
}
static void harm_symbols_row(struct built_elf *b)
{
	b->sections[BUILT_SYMS].sh_entsize = 0;
}
static void harm_link(struct built_elf *b)
{
	b->sections[BUILT_SYMS].sh_link = 0xffffffff;
}
static void harm_link_to_itself(struct built_elf *b)
{
	b->sections[BUILT_SYMS].sh_link = BUILT_SYMS;
}
static void harm_strings_size(struct built_elf *b)
{
	b->sections[BUILT_STRINGS].sh_size = 1ULL << 60;
}
static void harm_strings_past_end(struct built_elf *b)
{
	b->sections[BUILT_STRINGS].sh_offset = sizeof(*b) - 4;
}
static void harm_undefined(struct built_elf *b)
{
	b->syms[1].st_shndx = SHN_UNDEF;
}
static void harm_ifunc(struct built_elf *b)
{
	b->syms[2].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_GNU_IFUNC);
}
static void harm_object_symbol(struct built_elf *b)
{
	b->syms[2].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
}
static void harm_address(struct built_elf *b)
{
	b->syms[1].st_value = 0x10;
}
static void harm_function_size(struct built_elf *b)
{
	b->syms[1].st_size = BUILT_CODE_BYTES + 1;
}
static void harm_segment_not_executable(struct built_elf *b)
{
	b->segments[0].p_flags = PF_R;
}
static void harm_segment_past_end(struct built_elf *b)
{
	b->segments[0].p_filesz = 1ULL << 40;
}
static void harm_segment_wraps(struct built_elf *b)
{
	b->segments[0].p_offset = UINT64_MAX - 16;
}
static void harm_names(struct built_elf *b)
{
	for (size_t at = 64; at + 9 < sizeof(b->strings); at += 5)
		memcpy(b->strings + at, "SSL_read", 9);
	for (size_t at = 64; at + 9 < sizeof(b->strings); at += 9)
		memcpy(b->strings + at, "SSL_read", 9);
}

static void refuses_hostile_files(void **state)
{
	static const struct {
		const char *name;
		void (*harm)(struct built_elf *b);
		enum sites_refusal want;
	} cases[] = {
		{"magic", harm_magic, SITES_NOT_ELF},
		{"32 bit", harm_class, SITES_WRONG_MACHINE},
		{"machine", harm_machine, SITES_WRONG_MACHINE},
		{"relocatable object", harm_object, SITES_NOT_ELF},
		{"huge section count", harm_section_count, SITES_TOO_LARGE},
		{"section table wraps", harm_section_table_offset, SITES_MALFORMED},
		{"section row size", harm_section_row, SITES_MALFORMED},
		{"huge segment count", harm_segment_count, SITES_TOO_LARGE},
		{"symbols larger than the file", harm_symbols_size, SITES_MALFORMED},
		{"symbols outside", harm_symbols_offset, SITES_MALFORMED},
		{"symbol row size", harm_symbols_row, SITES_MALFORMED},
		{"link outside", harm_link, SITES_NO_SYMBOLS},
		{"link to itself", harm_link_to_itself, SITES_NO_SYMBOLS},
		{"strings larger than the file", harm_strings_size, SITES_MALFORMED},
		{"strings past the end", harm_strings_past_end, SITES_MALFORMED},
		{"undefined symbol", harm_undefined, SITES_NO_SYMBOLS},
		{"indirect function", harm_ifunc, SITES_INDIRECT},
		{"data symbol", harm_object_symbol, SITES_NO_SYMBOLS},
		{"function outside segments", harm_address, SITES_MALFORMED},
		{"function leaves its segment", harm_function_size, SITES_MALFORMED},
		{"function not executable", harm_segment_not_executable, SITES_MALFORMED},
		{"segment past the end", harm_segment_past_end, SITES_MALFORMED},
		{"segment wraps", harm_segment_wraps, SITES_MALFORMED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct probe_sites sites = {.count = 77};
		struct built_elf b;

		built_init(&b, SHT_DYNSYM);
		cases[i].harm(&b);
		if (find_built(&b, sizeof(b), &sites) != cases[i].want)
			fail_msg("%s: not %s", cases[i].name, sites_refusal_names[cases[i].want]);
		assert_int_equal(sites.count, 77);
	}
}

/* ---- never inside an instruction ------------------------------------------------------------- */

#define READ_AT	   (BUILT_CODE_ADDRESS + 32)
#define READ_BYTES 5

/* No unwind table: the symbols alone speak. */
static void without_unwind(struct built_elf *b)
{
	b->segments[2].p_type = PT_NULL;
}
static void harm_size_0(struct built_elf *b)
{
	b->syms[2].st_size = 0;
	without_unwind(b);
}
static void harm_size_0_other_start(struct built_elf *b)
{
	b->syms[2].st_size = 0;
	b->unwind.rows[1].start++;
}
static void harm_size_0_entry_unreadable(struct built_elf *b)
{
	b->syms[2].st_size = 0;
	built_unwind(b, READ_AT, 0);
}
static void harm_size_short(struct built_elf *b)
{
	b->syms[2].st_size = READ_BYTES - 1;
}
static void harm_size_long(struct built_elf *b)
{
	b->syms[2].st_size = READ_BYTES + 1;
}
static void harm_size_cuts_instruction(struct built_elf *b)
{
	b->syms[2].st_size = 2; /* push; half of xor eax, eax */
	without_unwind(b);
}
static void harm_size_into_next(struct built_elf *b)
{
	built_unwind(b, READ_AT, 0);
	b->syms[2].st_size = BUILT_FUNCTION_BYTES + 1;
}
static void harm_symbol_inside_unwind(struct built_elf *b)
{
	b->syms[2].st_value += 2; /* inside xor eax, eax */
	b->syms[2].st_size -= 2;
}
static void harm_symbol_inside_symbol(struct built_elf *b)
{
	without_unwind(b);
	built_symbol(b, "SSL_other", READ_AT - 3, 12);
}
static void harm_symbol_around_symbol(struct built_elf *b)
{
	without_unwind(b);
	built_symbol(b, "SSL_other", READ_AT + 1, 2);
}
static void harm_alias_of_other_size(struct built_elf *b)
{
	without_unwind(b);
	built_symbol(b, "SSL_other", READ_AT, READ_BYTES + 3);
}
static void harm_two_versions(struct built_elf *b)
{
	built_function(b, "SSL_read", 64, b->code, READ_BYTES);
}
static void harm_two_versions_of_optional(struct built_elf *b)
{
	built_function(b, "SSL_free", 64, b->code, READ_BYTES);
	built_function(b, "SSL_free", 96, b->code, READ_BYTES);
}
static void put_read(struct built_elf *b, const char *code, size_t size)
{
	memcpy(b->code + 32, code, size);
	b->syms[2].st_size = size;
	built_unwind(b, READ_AT, (uint32_t)size);
}
static void harm_data_in_text(struct built_elf *b)
{
	put_read(b, "\x31\xc0\xc3\x06\x07\xc3", 6); /* after the ret: no instructions */
}
static void harm_last_cut(struct built_elf *b)
{
	put_read(b, "\x31\xc0\xc3\xb8\x00\x00", 6);
}
static void harm_jump_inside(struct built_elf *b)
{
	put_read(b, "\xeb\x01\xb8\xc3\x00\x00\x00\xc3", 8);
}
static void harm_call_inside(struct built_elf *b)
{
	put_read(b, "\xe8\x01\x00\x00\x00\xb8\xc3\x00\x00\x00\xc3", 11);
}
static void harm_optional_code(struct built_elf *b)
{
	built_function(b, "SSL_free", 64, (const uint8_t *)"\x06\xc3", 2);
}

static void refuses_what_may_not_be_an_instruction(void **state)
{
	static const struct {
		const char *name;
		void (*harm)(struct built_elf *b);
		enum sites_refusal want;
	} cases[] = {
		{"size 0 and no unwind table", harm_size_0, SITES_BOUNDS_UNKNOWN},
		{"size 0, a function a byte on", harm_size_0_other_start, SITES_BOUNDS_UNKNOWN},
		{"size 0, entry unreadable", harm_size_0_entry_unreadable, SITES_BOUNDS_UNKNOWN},
		{"size too short", harm_size_short, SITES_BOUNDS_DISAGREE},
		{"size too long", harm_size_long, SITES_BOUNDS_DISAGREE},
		{"size ends inside an instruction", harm_size_cuts_instruction,
		 SITES_CODE_NOT_DECODED},
		{"size reaches the next function", harm_size_into_next, SITES_BOUNDS_DISAGREE},
		{"symbol inside a function", harm_symbol_inside_unwind, SITES_BOUNDS_DISAGREE},
		{"symbol inside a symbol", harm_symbol_inside_symbol, SITES_BOUNDS_DISAGREE},
		{"symbol around a symbol", harm_symbol_around_symbol, SITES_BOUNDS_DISAGREE},
		{"alias of other size", harm_alias_of_other_size, SITES_BOUNDS_DISAGREE},
		{"two versions", harm_two_versions, SITES_AMBIGUOUS},
		{"two versions of an optional one", harm_two_versions_of_optional, SITES_AMBIGUOUS},
		{"data in the text", harm_data_in_text, SITES_CODE_NOT_DECODED},
		{"last instruction is cut", harm_last_cut, SITES_CODE_NOT_DECODED},
		{"jump into an instruction", harm_jump_inside, SITES_CODE_NOT_DECODED},
		{"call into an instruction", harm_call_inside, SITES_CODE_NOT_DECODED},
		{"an optional function", harm_optional_code, SITES_CODE_NOT_DECODED},
	};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		struct probe_sites sites = {.count = 77};
		enum sites_refusal got;
		struct built_elf b;

		built_init(&b, SHT_DYNSYM);
		cases[i / 2].harm(&b);
		_cleanup_(closep) int fd = built_open(&b, sizeof(b));
		got = sites_find(fd, i % 2, &sites);
		if (got != cases[i / 2].want || sites.count != 77)
			fail_msg("%s: %s", cases[i / 2].name, sites_refusal_names[got]);
	}
}

/* Where the symbol has no size, the unwind table's counts. */
static void unwind_table_stands_in_for_size(void **state)
{
	struct probe_sites sites;
	struct built_elf b;

	(void)state;
	built_init(&b, SHT_DYNSYM);
	b.syms[2].st_size = 0;
	assert_int_equal(find_built(&b, sizeof(b), &sites), SITES_FOUND);
	assert_int_equal(site_of(&sites, HOOK_READ)->size, READ_BYTES);
	assert_int_equal(site_of(&sites, HOOK_READ)->return_count, 1);
}

/* Sound to enter, but returns are no plain ret alone: no return site is named. */
static void names_no_return_in_doubt(void **state)
{
	static const struct {
		const char *name, *code;
		size_t size;
	} cases[] = {
		{"tail jump", "\x31\xc0\xe9\x00\x01\x00\x00", 7},
		{"jump table", "\x85\xff\x74\x02\xff\xe0\xc3", 7},
		{"data that looks like a return", "\x31\xc0\xc3\x05\x01\x00\x00\x00\xc3", 9},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct probe_sites sites;
		struct built_elf b;

		built_init(&b, SHT_DYNSYM);
		put_read(&b, cases[i].code, cases[i].size);
		assert_int_equal(find_built(&b, sizeof(b), &sites), SITES_FOUND);
		if (site_of(&sites, HOOK_READ)->return_count != 0)
			fail_msg("%s", cases[i].name);
	}
}

static void bounds_repeated_names(void **state)
{
	struct probe_sites sites;
	struct built_elf b;

	(void)state;
	built_init(&b, SHT_DYNSYM);
	harm_names(&b);
	assert_int_equal(find_built(&b, sizeof(b), &sites), SITES_FOUND);
	b.sections[BUILT_STRINGS].sh_offset = 0;
	b.sections[BUILT_STRINGS].sh_size = sizeof(b);
	memset(b.code, 0, sizeof(b.code));
	assert_int_equal(find_built(&b, sizeof(b), &sites), SITES_NO_SYMBOLS);
}

static void survives_every_truncation(void **state)
{
	struct probe_sites sites;
	struct built_elf b;

	(void)state;
	built_init(&b, SHT_DYNSYM);
	for (size_t len = 0; len < offsetof(struct built_elf, code) + BUILT_CODE_BYTES; len += 7)
		assert_int_not_equal(find_built(&b, len, &sites), SITES_FOUND);
}

/* Every byte of the headers set to 0, 0xff and flipped: any answer, no crash, no endless loop. */
static void survives_every_byte(void **state)
{
	static const uint8_t masks[] = {0x00, 0xff, 0x80, 0x01};
	struct probe_sites sites;
	struct built_elf b;
	uint32_t answers = 0;

	(void)state;
	for (size_t at = 0; at < offsetof(struct built_elf, strings); at++) {
		for (size_t m = 0; m < ARRAY_LEN(masks); m++) {
			uint8_t *bytes = (uint8_t *)&b;

			built_init(&b, SHT_DYNSYM);
			bytes[at] = masks[m] == 0 ? 0 : bytes[at] ^ masks[m];
			answers |= 1u << find_built(&b, sizeof(b), &sites);
		}
	}
	assert_true(answers & (1u << SITES_FOUND));
	assert_true(answers & (1u << SITES_MALFORMED));
}

/* A sparse file of 1 TB whose string table is all of it: the budget ends the work. */
static void bounds_the_time_of_huge_tables(void **state)
{
	struct timespec begin, end;
	struct probe_sites sites;
	struct built_elf b;

	(void)state;
	built_init(&b, SHT_DYNSYM);
	b.sections[BUILT_STRINGS].sh_size = 1ULL << 39;
	_cleanup_(closep) int fd = built_open(&b, sizeof(b));
	assert_int_equal(ftruncate(fd, 1LL << 40), 0);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	assert_int_equal(sites_find(fd, true, &sites), SITES_TOO_LARGE);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - begin.tv_sec < 5);
}

/* As many starts of names as a table can hold: no more are looked at than any library has. */
static void bounds_starts_of_names(void **state)
{
	const size_t bytes = 4 << 20;
	struct probe_sites sites;
	struct built_elf b;
	char *table = malloc(bytes);

	(void)state;
	assert_non_null(table);
	for (size_t i = 0; i < bytes; i += 4)
		memcpy(table + i, "SSL_", 4);
	built_init(&b, SHT_DYNSYM);
	b.sections[BUILT_STRINGS].sh_offset = sizeof(b);
	b.sections[BUILT_STRINGS].sh_size = bytes;
	_cleanup_(closep) int fd = built_open(&b, sizeof(b));
	assert_int_equal(pwrite(fd, table, bytes, sizeof(b)), bytes);
	assert_int_equal(sites_find(fd, true, &sites), SITES_MALFORMED);
	b.sections[BUILT_STRINGS].sh_size = bytes / 64;
	assert_int_equal(pwrite(fd, &b, sizeof(b), 0), sizeof(b));
	assert_int_equal(sites_find(fd, true, &sites), SITES_NO_SYMBOLS);
	free(table);
}

/* Covers of one worker: SSL_read 32 bytes into the code, SSL_read_ex at 64, the worker at 96. */
static void built_covers(struct built_elf *b)
{
	static const uint8_t plain[] = {0x48, 0x83, 0xec, 0x18, 0x48, 0x89, 0xe1, 0x48, 0x63, 0xd2,
					0xe8, 0x31, 0,	  0,	0,    0x48, 0x83, 0xc4, 0x18, 0xc3};
	static const uint8_t ex[] = {0x48, 0x83, 0xec, 0x08, 0xe8, 0x17, 0,
				     0,	   0,	 0x48, 0x83, 0xc4, 0x08, 0xc3};
	static const uint8_t worker[] = {0xf3, 0x0f, 0x1e, 0xfa, 0x41, 0x55, 0x41, 0x5d, 0xc3};

	built_init(b, SHT_DYNSYM);
	b->sym_count = 2;
	built_function(b, "SSL_read", 32, plain, sizeof(plain));
	built_function(b, "SSL_read_ex", 64, ex, sizeof(ex));
	memcpy(b->code + 96, worker, sizeof(worker));
	built_unwind(b, BUILT_CODE_ADDRESS + 96, sizeof(worker));
}

static enum sites_refusal find_cheap(const struct built_elf *b, struct probe_sites *out)
{
	_cleanup_(closep) int fd = built_open(b, sizeof(*b));

	assert_true(fd >= 0);
	return sites_find(fd, false, out);
}

static void one_worker_stands_for_its_covers(void **state)
{
	const uint64_t code = offsetof(struct built_elf, code);
	const struct probe_site *site;
	struct probe_sites sites;
	struct built_elf b;

	(void)state;
	built_covers(&b);
	assert_int_equal(find_cheap(&b, &sites), SITES_FOUND);
	assert_int_equal(sites.count, 2);
	assert_null(site_of(&sites, HOOK_READ));
	site = site_of(&sites, HOOK_READ_EX);
	assert_non_null(site);
	assert_int_equal(site->function, code + 96);
	assert_int_equal(site->entry, code + 100);
	assert_int_equal(site->class_, SITE_EMULATED);
	assert_int_equal(sites_class(&sites), SITE_EMULATED);
	assert_non_null(site_of(&sites, HOOK_WRITE));
}

static void harm_worker_class(struct built_elf *b)
{
	memcpy(b->code + 96, "\x48\x83\xec\x08", 4);
}
static void harm_worker_address(struct built_elf *b)
{
	b->code[43] += 4;
	b->code[69] += 4;
}
static void harm_worker_outside(struct built_elf *b)
{
	b->code[45] = b->code[71] = 1;
}
static void harm_cheap_cover(struct built_elf *b)
{
	memmove(b->code + 33, b->code + 32, 20);
	b->code[32] = 0x55;
	b->code[44]--;
	b->syms[2].st_size++;
	built_unwind(b, BUILT_CODE_ADDRESS + 32, 21);
}
static void harm_worker_code(struct built_elf *b)
{
	b->code[96 + 8] = 0xe8;
}
static void harm_worker_size(struct built_elf *b)
{
	built_unwind(b, BUILT_CODE_ADDRESS + 96, 0);
}
static void harm_unwind_row(struct built_elf *b)
{
	b->unwind.rows[3].start++;
}
static void harm_unwind_version(struct built_elf *b)
{
	b->unwind.encodings[0]++;
}
static void harm_unwind_encoding(struct built_elf *b)
{
	b->unwind.encodings[3] = 0x1b;
}
static void harm_unwind_count(struct built_elf *b)
{
	b->unwind.count = UINT32_MAX;
}
static void harm_unwind_empty(struct built_elf *b)
{
	b->unwind.count = 0;
}
static void harm_unwind_outside(struct built_elf *b)
{
	b->segments[2].p_offset = UINT64_MAX - 64;
}
static void harm_unwind_short(struct built_elf *b)
{
	b->segments[2].p_filesz = 8;
}
static void harm_unwind_none(struct built_elf *b)
{
	b->segments[2].p_type = PT_NULL;
}

static void doubt_about_a_worker_leaves_the_covers(void **state)
{
	static const struct {
		const char *name;
		void (*harm)(struct built_elf *b);
	} cases[] = {
		{"worker is no cheaper", harm_worker_class},
		{"callee is no function's start", harm_worker_address},
		{"callee outside the code", harm_worker_outside},
		{"the cover is cheap itself", harm_cheap_cover},
		{"the decoder does not go through the worker", harm_worker_code},
		{"worker of unknown size", harm_worker_size},
		{"not in the unwind table", harm_unwind_row},
		{"unwind table of another version", harm_unwind_version},
		{"unwind table in another encoding", harm_unwind_encoding},
		{"unwind table longer than its segment", harm_unwind_count},
		{"empty unwind table", harm_unwind_empty},
		{"unwind table outside the file", harm_unwind_outside},
		{"unwind table too short", harm_unwind_short},
		{"no unwind table", harm_unwind_none},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct probe_sites sites;
		struct built_elf b;

		built_covers(&b);
		cases[i].harm(&b);
		assert_int_equal(find_cheap(&b, &sites), SITES_FOUND);
		if (sites.count != 3 ||
		    site_of(&sites, HOOK_READ)->function != offsetof(struct built_elf, code) + 32)
			fail_msg("%s", cases[i].name);
	}
}

/* Where returns must be found, each public function is probed at its own entry. */
static void returns_keep_the_covers(void **state)
{
	struct probe_sites sites;
	struct built_elf b;

	(void)state;
	built_covers(&b);
	assert_int_equal(find_built(&b, sizeof(b), &sites), SITES_FOUND);
	assert_int_equal(sites.count, 3);
	assert_int_equal(site_of(&sites, HOOK_READ)->return_count, 1);
	assert_int_equal(sites_class(&sites), SITE_SINGLE_STEPPED);
}

/* The first existing path of a pattern, or skips the test. */
static int open_real(const char *pattern)
{
	glob_t found;
	int fd = -1;

	if (glob(pattern, 0, NULL, &found) == 0)
		fd = open(found.gl_pathv[0], O_RDONLY | O_CLOEXEC);
	globfree(&found);
	if (fd < 0)
		skip();
	return fd;
}

struct expected_site {
	enum hook hook;
	uint32_t size, returns;
};

static void assert_sites(const struct probe_sites *sites, const struct expected_site *want,
			 size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct probe_site *site = site_of(sites, want[i].hook);

		assert_non_null(site);
		assert_int_equal(site->return_count, want[i].returns);
		if (want[i].size)
			assert_int_equal(site->size, want[i].size);
	}
}

/* Each return offset holds a ret instruction. */
static void assert_rets(int fd, const struct probe_sites *sites)
{
	uint8_t byte;

	for (size_t i = 0; i < sites->count; i++) {
		for (uint32_t k = 0; k < sites->site[i].return_count; k++) {
			assert_int_equal(pread(fd, &byte, 1, (off_t)sites->site[i].returns[k]), 1);
			assert_int_equal(byte, 0xc3);
		}
	}
}

static void assert_starts_with_push(int fd, const struct probe_site *site)
{
	uint8_t code[2];

	assert_non_null(site);
	assert_int_equal(pread(fd, code, sizeof(code), (off_t)site->entry), sizeof(code));
	assert_int_equal(code[0] == 0x41 ? code[1] & 0xf8 : code[0] & 0xf8, 0x50);
}

/* Debian 12's libssl: facts of the shipped build, told apart by its sizes. */
static void reads_real_libssl(void **state)
{
	static const struct expected_site want[] = {
		{HOOK_READ, 131, 1},	{HOOK_WRITE, 131, 1}, {HOOK_READ_EX, 29, 1},
		{HOOK_WRITE_EX, 29, 1}, {HOOK_FREE, 0, 0},    {HOOK_CTRL, 0, 0},
	};
	_cleanup_(closep) int fd = open_real("/usr/lib/x86_64-linux-gnu/libssl.so.3");
	struct probe_sites sites;

	(void)state;
	assert_int_equal(sites_find(fd, true, &sites), SITES_FOUND);
	assert_int_equal(sites.count, HOOKS - !site_of(&sites, HOOK_WRITE_EX2));
	assert_string_equal(sites.soname, "libssl.so.3");
	assert_int_equal(strlen(sites.build_id), 40);
	assert_false(sites.executable);
	if (site_of(&sites, HOOK_READ)->size != 131)
		skip();
	assert_sites(&sites, want, ARRAY_LEN(want));
	assert_int_equal(site_of(&sites, HOOK_READ)->class_, SITE_SINGLE_STEPPED);
	assert_rets(fd, &sites);
	assert_int_equal(sites_find(fd, false, &sites), SITES_FOUND);
	assert_int_equal(sites.count, 5);
	assert_int_equal(sites_class(&sites), SITE_EMULATED);
	assert_starts_with_push(fd, site_of(&sites, HOOK_READ_EX));
	assert_starts_with_push(fd, site_of(&sites, HOOK_WRITE_EX));
}

/* Node's official build of version 20: static OpenSSL 3.0, endbr64 + push, exported from .dynsym.
 */
static void reads_real_node(void **state)
{
	static const struct expected_site want[] = {
		{HOOK_READ, 443, 3},
		{HOOK_WRITE, 479, 2},
		{HOOK_READ_EX, 357, 1},
		{HOOK_WRITE_EX, 416, 1},
	};
	_cleanup_(closep) int fd = open_real("/usr/bin/node");
	struct probe_sites sites;
	const struct probe_site *read;

	(void)state;
	if (sites_find(fd, true, &sites) == SITES_NO_SYMBOLS)
		skip(); /* a node that links the shared libssl */
	read = site_of(&sites, HOOK_READ);
	assert_int_equal(sites.count, HOOKS - !site_of(&sites, HOOK_WRITE_EX2));
	assert_true(sites.executable);
	assert_string_equal(sites.soname, "");
	if (read->size != 443)
		skip();
	assert_sites(&sites, want, ARRAY_LEN(want));
	assert_int_equal(read->class_, SITE_EMULATED);
	assert_rets(fd, &sites);
	assert_int_equal(sites_find(fd, false, &sites), SITES_FOUND);
	assert_sites(&sites, (const struct expected_site[]){{HOOK_READ, 443, 0}}, 1);
	assert_int_equal(sites_class(&sites), SITE_EMULATED);
}

static void refuses_files_without_tls(void **state)
{
	struct probe_sites sites;
	_cleanup_(closep) int fd = open_real("/proc/self/exe");
	_cleanup_(closep) int dir = open_real("/tmp");

	(void)state;
	assert_int_equal(sites_find(dir, true, &sites), SITES_NOT_ELF);
	assert_int_not_equal(sites_find(fd, true, &sites), SITES_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_exported_symbols),
		cmocka_unit_test(finds_local_symbol_table),
		cmocka_unit_test(steps_over_endbr),
		cmocka_unit_test(global_wins_over_local),
		cmocka_unit_test(drops_hooks_that_share_an_address),
		cmocka_unit_test(refuses_hostile_files),
		cmocka_unit_test(refuses_what_may_not_be_an_instruction),
		cmocka_unit_test(unwind_table_stands_in_for_size),
		cmocka_unit_test(names_no_return_in_doubt),
		cmocka_unit_test(bounds_repeated_names),
		cmocka_unit_test(survives_every_truncation),
		cmocka_unit_test(survives_every_byte),
		cmocka_unit_test(bounds_the_time_of_huge_tables),
		cmocka_unit_test(bounds_starts_of_names),
		cmocka_unit_test(one_worker_stands_for_its_covers),
		cmocka_unit_test(doubt_about_a_worker_leaves_the_covers),
		cmocka_unit_test(returns_keep_the_covers),
		cmocka_unit_test(reads_real_libssl),
		cmocka_unit_test(reads_real_node),
		cmocka_unit_test(refuses_files_without_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
