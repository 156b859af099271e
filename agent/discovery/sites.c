/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/sites.h"

#include "agent/discovery/elf.h"
#include "agent/discovery/returns.h"
#include "agent/discovery/worker.h"

const char *const hook_symbols[HOOKS] = {
	[HOOK_WRITE] = "SSL_write",	  [HOOK_READ] = "SSL_read",
	[HOOK_WRITE_EX] = "SSL_write_ex", [HOOK_READ_EX] = "SSL_read_ex",
	[HOOK_FREE] = "SSL_free",	  [HOOK_CLEAR] = "SSL_clear",
	[HOOK_CTRL] = "SSL_ctrl",	  [HOOK_WRITE_EX2] = "SSL_write_ex2",
};

const char *const site_class_names[SITE_CLASSES] = {
	[SITE_EMULATED] = "emulated",
	[SITE_SINGLE_STEPPED] = "single-stepped",
};

const char *const sites_refusal_names[SITES_REFUSALS] = {
	[SITES_FOUND] = "found",
	[SITES_NOT_ELF] = "not_elf",
	[SITES_WRONG_MACHINE] = "wrong_machine",
	[SITES_NO_SYMBOLS] = "no_symbols",
	[SITES_MALFORMED] = "malformed",
	[SITES_TOO_LARGE] = "too_large",
};

#define NAME_PREFIX    "SSL_" /* what all hook symbols start with */
#define NAME_MAX_BYTES 16     /* the longest hook symbol with its 0 fits */
#define NAME_HITS_MAX  64     /* places of hook names in one string table */
#define SCAN_BYTES     (96u << 10)

/* Where a string table holds the hooks' names. Linkers merge tails, so a name may have any prefix.
 */
struct names {
	size_t count;
	struct {
		uint64_t offset;
		enum hook hook;
	} hit[NAME_HITS_MAX];
};

struct symbol {
	uint64_t address;
	uint64_t size;
	bool global;
};

struct symbols {
	struct symbol of[HOOKS]; /* address 0: none */
};

static enum sites_refusal spent_or(const struct elf *elf, enum sites_refusal refusal)
{
	return elf_spent(elf) ? SITES_TOO_LARGE : refusal;
}

/* Notes the hook whose whole name starts at p. False when the table of hits is full. */
static bool names_add(struct names *names, const char *p, size_t left, uint64_t offset)
{
	for (int hook = 0; hook < HOOKS; hook++) {
		size_t len = strlen(hook_symbols[hook]) + 1;

		if (len > left || memcmp(p, hook_symbols[hook], len) != 0)
			continue;
		if (names->count == NAME_HITS_MAX)
			return false;
		names->hit[names->count].offset = offset;
		names->hit[names->count++].hook = (enum hook)hook;
	}
	return true;
}

/* Hits that start in the first `fresh` bytes of window, which is table[at..]. */
static bool names_scan(struct names *names, const char *window, size_t len, size_t fresh,
		       uint64_t at)
{
	const char *p = window;

	while ((p = memmem(p, len - (size_t)(p - window), NAME_PREFIX, 4)) != NULL) {
		size_t pos = (size_t)(p - window);

		if (pos >= fresh)
			return true;
		if (!names_add(names, p, len - pos, at + pos))
			return false;
		p++;
	}
	return true;
}

static enum sites_refusal names_find(struct elf *elf, const Elf64_Shdr *table, char *scratch,
				     struct names *out)
{
	struct names names = {0};

	if (table->sh_size > elf->size || table->sh_offset > elf->size)
		return SITES_MALFORMED;
	for (uint64_t at = 0; at < table->sh_size; at += SCAN_BYTES - NAME_MAX_BYTES) {
		uint64_t left = table->sh_size - at;
		size_t len = left < SCAN_BYTES ? left : SCAN_BYTES;

		if (!elf_read(elf, table->sh_offset + at, scratch, len))
			return spent_or(elf, SITES_MALFORMED);
		if (!names_scan(&names, scratch, len, SCAN_BYTES - NAME_MAX_BYTES, at))
			return SITES_MALFORMED;
	}
	*out = names;
	return SITES_FOUND;
}

/* The first global definition of a name wins over local ones, the first local over later ones. */
static void symbols_add(struct symbols *symbols, enum hook hook, const Elf64_Sym *sym)
{
	bool global = ELF64_ST_BIND(sym->st_info) != STB_LOCAL;
	struct symbol *have = &symbols->of[hook];

	if (have->address && (have->global || !global))
		return;
	*have = (struct symbol){.address = sym->st_value, .size = sym->st_size, .global = global};
}

static void symbols_scan(struct symbols *symbols, const struct names *names, const Elf64_Sym *sym,
			 size_t count)
{
	for (; count; sym++, count--) {
		if (ELF64_ST_TYPE(sym->st_info) != STT_FUNC || sym->st_shndx == SHN_UNDEF ||
		    sym->st_value == 0)
			continue;
		for (size_t i = 0; i < names->count; i++) {
			if (names->hit[i].offset == sym->st_name)
				symbols_add(symbols, names->hit[i].hook, sym);
		}
	}
}

/* Two hooks on one address mean something else than their names say: the later one is dropped. */
static void symbols_drop_aliases(struct symbols *symbols)
{
	for (int i = 0; i < HOOKS; i++) {
		for (int k = i + 1; k < HOOKS; k++) {
			if (symbols->of[k].address == symbols->of[i].address)
				symbols->of[k].address = 0;
		}
	}
}

/* Fills *out from one symbol table; SITES_NO_SYMBOLS when it does not define the main pair. */
static enum sites_refusal symbols_find(struct elf *elf, uint32_t table_type, char *scratch,
				       struct symbols *out)
{
	const Elf64_Shdr *table = elf_section(elf, table_type);
	const Elf64_Shdr *strings = table ? elf_linked(elf, table, SHT_STRTAB) : NULL;
	const size_t batch = SCAN_BYTES / sizeof(Elf64_Sym);
	struct symbols symbols = {0};
	enum sites_refusal refusal;
	struct names names;
	uint64_t count;

	if (!strings)
		return SITES_NO_SYMBOLS;
	if (table->sh_entsize != sizeof(Elf64_Sym) || table->sh_size > elf->size ||
	    table->sh_offset > elf->size)
		return SITES_MALFORMED;
	refusal = names_find(elf, strings, scratch, &names);
	if (refusal != SITES_FOUND || names.count == 0)
		return refusal != SITES_FOUND ? refusal : SITES_NO_SYMBOLS;
	count = table->sh_size / sizeof(Elf64_Sym);
	for (uint64_t at = 0; at < count; at += batch) {
		size_t n = count - at < batch ? count - at : batch;

		if (!elf_read(elf, table->sh_offset + at * sizeof(Elf64_Sym), scratch,
			      n * sizeof(Elf64_Sym)))
			return spent_or(elf, SITES_MALFORMED);
		symbols_scan(&symbols, &names, (const Elf64_Sym *)scratch, n);
	}
	symbols_drop_aliases(&symbols);
	if (!symbols.of[HOOK_READ].address || !symbols.of[HOOK_WRITE].address)
		return SITES_NO_SYMBOLS;
	*out = symbols;
	return SITES_FOUND;
}

/* Covers that may share a worker; it has the arguments of ex. */
static const struct cover_pair {
	enum hook plain, ex;
	uint32_t out_arg; /* the argument of ex, from 0, that points to the length moved */
} cover_pairs[] = {
	{HOOK_READ, HOOK_READ_EX, 3},
	{HOOK_WRITE, HOOK_WRITE_EX, 3},
	{HOOK_WRITE, HOOK_WRITE_EX2, 4},
};

/* How the function at an address starts; *skip as site_classify. False: not in executable bytes. */
static bool classify(struct elf *elf, uint64_t address, uint64_t size, uint64_t *offset,
		     enum site_class *class_, uint32_t *skip)
{
	uint8_t head[8];

	if (!elf_code_offset(elf, address, size > sizeof(head) ? size : sizeof(head), offset) ||
	    !elf_read(elf, *offset, head, sizeof(head)))
		return false;
	*class_ = site_classify(head, sizeof(head), skip);
	return true;
}

static bool is_cheap(struct elf *elf, uint64_t address)
{
	enum site_class class_;
	uint64_t offset;
	uint32_t skip;

	return classify(elf, address, 0, &offset, &class_, &skip) && class_ == SITE_EMULATED;
}

/* Reads a cover's code into bytes. */
static bool read_cover(struct elf *elf, const struct symbol *symbol, uint8_t *bytes,
		       struct cover *out)
{
	uint64_t offset;

	if (!symbol->address || symbol->size == 0 || symbol->size > COVER_BYTES_MAX ||
	    !elf_code_offset(elf, symbol->address, symbol->size, &offset) ||
	    !elf_read(elf, offset, bytes, symbol->size))
		return false;
	*out = (struct cover){bytes, symbol->size, symbol->address};
	return true;
}

/* Puts one site at the worker of a pair in place of two, where that is cheaper. */
static void use_worker(struct elf *elf, const struct cover_pair *pair, struct symbols *symbols)
{
	struct symbol *plain = &symbols->of[pair->plain], *ex = &symbols->of[pair->ex];
	uint8_t plain_code[COVER_BYTES_MAX], ex_code[COVER_BYTES_MAX];
	struct cover plain_cover, ex_cover;
	uint64_t worker;

	if (!read_cover(elf, plain, plain_code, &plain_cover) ||
	    !read_cover(elf, ex, ex_code, &ex_cover) || is_cheap(elf, plain->address))
		return;
	worker = worker_of(&plain_cover, &ex_cover, pair->out_arg);
	if (!worker || !is_cheap(elf, worker) || !elf_function_starts(elf, worker))
		return;
	*plain = (struct symbol){0};
	*ex = (struct symbol){.address = worker};
}

static void find_returns(struct elf *elf, struct probe_site *site)
{
	_cleanup_(freep) uint8_t *code = NULL;
	uint32_t offsets[SITE_RETURNS_MAX];

	if (site->size == 0 || site->size > RETURNS_FUNCTION_MAX)
		return;
	code = malloc(site->size);
	if (!code || !elf_read(elf, site->function, code, site->size))
		return;
	site->return_count = (uint32_t)returns_sweep(code, site->size, offsets, SITE_RETURNS_MAX);
	for (uint32_t i = 0; i < site->return_count; i++)
		site->returns[i] = site->function + offsets[i];
}

/* Where a symbol's function is in the file and how it starts. False: not in executable bytes. */
static bool resolve(struct elf *elf, enum hook hook, const struct symbol *symbol, bool want_returns,
		    struct probe_site *out)
{
	struct probe_site site = {.hook = hook};
	uint32_t skip;

	if (symbol->size > UINT32_MAX ||
	    !classify(elf, symbol->address, symbol->size, &site.function, &site.class_, &skip))
		return false;
	site.size = (uint32_t)symbol->size;
	if (site.size && skip >= site.size)
		skip = 0;
	site.entry = site.function + skip;
	if (want_returns)
		find_returns(elf, &site);
	*out = site;
	return true;
}

static enum sites_refusal sites_of(struct elf *elf, bool want_returns, struct probe_sites *out)
{
	_cleanup_(freep) char *scratch = malloc(SCAN_BYTES);
	enum sites_refusal refusal;
	struct probe_sites sites = {0};
	struct symbols symbols;

	if (!scratch)
		return SITES_TOO_LARGE;
	refusal = symbols_find(elf, SHT_DYNSYM, scratch, &symbols);
	if (refusal == SITES_NO_SYMBOLS)
		refusal = symbols_find(elf, SHT_SYMTAB, scratch, &symbols);
	if (refusal != SITES_FOUND)
		return refusal;
	for (size_t i = 0; i < ARRAY_LEN(cover_pairs) && !want_returns; i++)
		use_worker(elf, &cover_pairs[i], &symbols);
	for (int hook = 0; hook < HOOKS; hook++) {
		const struct symbol *symbol = &symbols.of[hook];

		if (!symbol->address)
			continue;
		if (resolve(elf, (enum hook)hook, symbol, want_returns, &sites.site[sites.count]))
			sites.count++;
		else if (hook == HOOK_READ || hook == HOOK_WRITE)
			return SITES_MALFORMED;
	}
	elf_build_id(elf, sites.build_id, sizeof(sites.build_id));
	elf_soname(elf, sites.soname, sizeof(sites.soname));
	sites.executable = elf_executable(elf);
	*out = sites;
	return SITES_FOUND;
}

enum sites_refusal sites_find(int fd, bool want_returns, struct probe_sites *out)
{
	enum sites_refusal refusal;
	struct elf elf;

	refusal = elf_open(&elf, fd);
	if (refusal != SITES_FOUND)
		return refusal;
	refusal = sites_of(&elf, want_returns, out);
	elf_close(&elf);
	return refusal;
}

enum site_class sites_class(const struct probe_sites *sites)
{
	enum site_class dearest = SITE_EMULATED;

	for (size_t i = 0; i < sites->count; i++) {
		const struct probe_site *site = &sites->site[i];

		if (site->hook != HOOK_FREE && site->hook != HOOK_CLEAR &&
		    site->hook != HOOK_CTRL && site->class_ > dearest)
			dearest = site->class_;
	}
	return dearest;
}
