/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/sites.h"

#include "agent/discovery/elf.h"
#include "agent/discovery/returns.h"
#include "agent/discovery/internal.h"

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
	[SITES_INDIRECT] = "function_is_indirect",
	[SITES_AMBIGUOUS] = "function_defined_twice",
	[SITES_BOUNDS_UNKNOWN] = "function_bounds_unknown",
	[SITES_BOUNDS_DISAGREE] = "function_bounds_disagree",
	[SITES_CODE_NOT_DECODED] = "code_not_decoded",
};

#define NAME_PREFIX    "SSL_" /* what all hook symbols start with */
#define NAME_MAX_BYTES 16     /* the longest hook symbol with its 0 fits */
#define NAME_HITS_MAX  64     /* places of hook names in one string table */
#define NAME_LOOKS_MAX 65536  /* places of NAME_PREFIX in it: each costs a look */
#define SCAN_BYTES     (96u << 10)

/* Where a string table holds the hooks' names. Linkers merge tails, so a name may have any prefix.
 */
struct names {
	size_t count, looks;
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
	bool indirect, ambiguous;
};

/* Looks at a batch of a symbol table. False: enough was seen. */
typedef bool symbols_look(void *user, const Elf64_Sym *sym, size_t count);

static enum sites_refusal spent_or(const struct elf *elf, enum sites_refusal refusal)
{
	return elf_spent(elf) ? SITES_TOO_LARGE : refusal;
}

/* Notes the hook whose whole name starts at p. False when there are too many. */
static bool names_add(struct names *names, const char *p, size_t left, uint64_t offset)
{
	if (names->looks++ == NAME_LOOKS_MAX)
		return false;
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

/* A global definition wins over local ones. Two of the same kind leave open which one is called. */
static void symbols_add(struct symbols *symbols, enum hook hook, const Elf64_Sym *sym)
{
	bool global = ELF64_ST_BIND(sym->st_info) != STB_LOCAL;
	struct symbol *have = &symbols->of[hook];

	if (ELF64_ST_TYPE(sym->st_info) == STT_GNU_IFUNC) {
		symbols->indirect = true;
		return;
	}
	if (have->address && have->global == global)
		symbols->ambiguous |= have->address != sym->st_value;
	if (have->address && (have->global || !global))
		return;
	*have = (struct symbol){.address = sym->st_value, .size = sym->st_size, .global = global};
}

static bool is_function(const Elf64_Sym *sym)
{
	unsigned type = ELF64_ST_TYPE(sym->st_info);

	return (type == STT_FUNC || type == STT_GNU_IFUNC) && sym->st_shndx != SHN_UNDEF &&
	       sym->st_value != 0;
}

struct search {
	const struct names *names;
	struct symbols *symbols;
};

static bool search_batch(void *user, const Elf64_Sym *sym, size_t count)
{
	const struct search *search = user;

	for (; count; sym++, count--) {
		for (size_t i = 0; i < search->names->count && is_function(sym); i++) {
			if (search->names->hit[i].offset == sym->st_name)
				symbols_add(search->symbols, search->names->hit[i].hook, sym);
		}
	}
	return true;
}

/* Another function that begins inside this one, or this one inside another. */
static bool overlap(const struct symbol *symbol, const Elf64_Sym *sym)
{
	uint64_t before = symbol->address - sym->st_value, after = sym->st_value - symbol->address;

	if (sym->st_value == symbol->address)
		return sym->st_size && sym->st_size != symbol->size;
	return sym->st_value < symbol->address ? before < sym->st_size : after < symbol->size;
}

static bool overlap_batch(void *user, const Elf64_Sym *sym, size_t count)
{
	const struct symbols *symbols = user;

	for (; count; sym++, count--) {
		for (int hook = 0; hook < HOOKS && is_function(sym); hook++) {
			if (symbols->of[hook].address && overlap(&symbols->of[hook], sym))
				return false;
		}
	}
	return true;
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

/* Shows a symbol table to look, batch by batch. SITES_BOUNDS_DISAGREE: it had seen enough. */
static enum sites_refusal symbols_each(struct elf *elf, const Elf64_Shdr *table, char *scratch,
				       symbols_look *look, void *user)
{
	const size_t batch = SCAN_BYTES / sizeof(Elf64_Sym);
	uint64_t count = table->sh_size / sizeof(Elf64_Sym);

	for (uint64_t at = 0; at < count; at += batch) {
		size_t n = count - at < batch ? count - at : batch;

		if (!elf_read(elf, table->sh_offset + at * sizeof(Elf64_Sym), scratch,
			      n * sizeof(Elf64_Sym)))
			return spent_or(elf, SITES_MALFORMED);
		if (!look(user, (const Elf64_Sym *)scratch, n))
			return SITES_BOUNDS_DISAGREE;
	}
	return SITES_FOUND;
}

/* Fills *out from one symbol table; SITES_NO_SYMBOLS when it does not define the main pair. */
static enum sites_refusal symbols_find(struct elf *elf, const Elf64_Shdr *table, char *scratch,
				       struct symbols *out)
{
	const Elf64_Shdr *strings = table ? elf_linked(elf, table, SHT_STRTAB) : NULL;
	struct symbols symbols = {0};
	enum sites_refusal refusal;
	struct names names;
	struct search search = {&names, &symbols};

	if (!strings)
		return SITES_NO_SYMBOLS;
	if (table->sh_entsize != sizeof(Elf64_Sym) || table->sh_size > elf->size ||
	    table->sh_offset > elf->size)
		return SITES_MALFORMED;
	refusal = names_find(elf, strings, scratch, &names);
	if (refusal != SITES_FOUND || names.count == 0)
		return refusal != SITES_FOUND ? refusal : SITES_NO_SYMBOLS;
	refusal = symbols_each(elf, table, scratch, search_batch, &search);
	if (refusal != SITES_FOUND)
		return refusal;
	if (symbols.indirect || symbols.ambiguous)
		return symbols.indirect ? SITES_INDIRECT : SITES_AMBIGUOUS;
	symbols_drop_aliases(&symbols);
	if (!symbols.of[HOOK_READ].address || !symbols.of[HOOK_WRITE].address)
		return SITES_NO_SYMBOLS;
	*out = symbols;
	return SITES_FOUND;
}

/* What the unwind table says must agree with the symbol; it also stands in for a missing size. */
static enum sites_refusal bounds_of(struct elf *elf, struct symbol *symbol)
{
	uint64_t offset, inside;
	struct elf_function f;

	if (!elf_code_offset(elf, symbol->address, symbol->size, &offset))
		return SITES_MALFORMED;
	if (!elf_function_at(elf, symbol->address, &f))
		return symbol->size ? SITES_FOUND : SITES_BOUNDS_UNKNOWN;
	inside = symbol->address - f.start;
	if (inside ? inside < f.size : symbol->size && f.size && symbol->size != f.size)
		return SITES_BOUNDS_DISAGREE;
	if (!inside && !symbol->size)
		symbol->size = f.size;
	if (f.next && f.next - symbol->address < symbol->size)
		return SITES_BOUNDS_DISAGREE;
	return symbol->size ? SITES_FOUND : SITES_BOUNDS_UNKNOWN;
}

static enum sites_refusal bounds_find(struct elf *elf, const Elf64_Shdr *table, char *scratch,
				      struct symbols *symbols)
{
	for (int hook = 0; hook < HOOKS; hook++) {
		enum sites_refusal refusal;

		if (!symbols->of[hook].address)
			continue;
		refusal = bounds_of(elf, &symbols->of[hook]);
		if (refusal != SITES_FOUND)
			return refusal;
	}
	return symbols_each(elf, table, scratch, overlap_batch, symbols);
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

/* A function as the file holds it. */
struct function {
	uint64_t offset;
	uint8_t *code;
	uint32_t size;
};

static void function_end(struct function *f)
{
	free(f->code);
}

/* Reads a function of known bounds and asks the decoder about it. */
static enum sites_refusal function_read(struct elf *elf, const struct symbol *symbol,
					struct function *out)
{
	struct function f = {0};

	if (!elf_code_offset(elf, symbol->address, symbol->size, &f.offset))
		return SITES_MALFORMED;
	if (symbol->size > RETURNS_FUNCTION_MAX)
		return SITES_CODE_NOT_DECODED;
	f.size = (uint32_t)symbol->size;
	f.code = malloc(f.size);
	if (!f.code || !elf_read(elf, f.offset, f.code, f.size)) {
		function_end(&f);
		return spent_or(elf, SITES_MALFORMED);
	}
	if (!code_decodes(f.code, f.size)) {
		function_end(&f);
		return SITES_CODE_NOT_DECODED;
	}
	*out = f;
	return SITES_FOUND;
}

static bool is_cheap(struct elf *elf, const struct symbol *symbol)
{
	struct function f;
	uint32_t skip;
	bool cheap;

	if (function_read(elf, symbol, &f) != SITES_FOUND)
		return false;
	cheap = site_classify(f.code, f.size, &skip) == SITE_EMULATED;
	function_end(&f);
	return cheap;
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
	struct symbol worker = {0};
	struct elf_function f;

	if (!read_cover(elf, plain, plain_code, &plain_cover) ||
	    !read_cover(elf, ex, ex_code, &ex_cover) || is_cheap(elf, plain))
		return;
	worker.address = worker_of(&plain_cover, &ex_cover, pair->out_arg);
	if (!worker.address || !elf_function_at(elf, worker.address, &f) ||
	    f.start != worker.address)
		return;
	worker.size = f.size;
	if (!worker.size || !is_cheap(elf, &worker))
		return;
	*plain = (struct symbol){0};
	*ex = worker;
}

static enum sites_refusal resolve(struct elf *elf, enum hook hook, const struct symbol *symbol,
				  bool want_returns, struct probe_site *out)
{
	struct probe_site site = {.hook = hook};
	uint32_t skip, offsets[SITE_RETURNS_MAX];
	enum sites_refusal refusal;
	struct function f;

	refusal = function_read(elf, symbol, &f);
	if (refusal != SITES_FOUND)
		return refusal;
	site.function = f.offset;
	site.size = f.size;
	site.class_ = site_classify(f.code, f.size, &skip);
	site.entry = f.offset + skip;
	if (want_returns)
		site.return_count =
			(uint32_t)returns_sweep(f.code, f.size, offsets, SITE_RETURNS_MAX);
	for (uint32_t i = 0; i < site.return_count; i++)
		site.returns[i] = f.offset + offsets[i];
	function_end(&f);
	*out = site;
	return SITES_FOUND;
}

static enum sites_refusal resolve_all(struct elf *elf, const struct symbols *symbols,
				      bool want_returns, struct probe_sites *sites)
{
	for (int hook = 0; hook < HOOKS; hook++) {
		enum sites_refusal refusal;

		if (!symbols->of[hook].address)
			continue;
		refusal = resolve(elf, (enum hook)hook, &symbols->of[hook], want_returns,
				  &sites->site[sites->count]);
		if (refusal != SITES_FOUND)
			return refusal;
		sites->count++;
	}
	return SITES_FOUND;
}

static enum sites_refusal sites_of(struct elf *elf, bool want_returns, struct probe_sites *out)
{
	_cleanup_(freep) char *scratch = malloc(SCAN_BYTES);
	const Elf64_Shdr *table = elf_section(elf, SHT_DYNSYM);
	enum sites_refusal refusal;
	struct probe_sites sites = {0};
	struct symbols symbols;

	if (!scratch)
		return SITES_TOO_LARGE;
	refusal = symbols_find(elf, table, scratch, &symbols);
	if (refusal == SITES_NO_SYMBOLS) {
		table = elf_section(elf, SHT_SYMTAB);
		refusal = symbols_find(elf, table, scratch, &symbols);
	}
	if (refusal == SITES_FOUND)
		refusal = bounds_find(elf, table, scratch, &symbols);
	if (refusal != SITES_FOUND)
		return refusal;
	for (size_t i = 0; i < ARRAY_LEN(cover_pairs) && !want_returns; i++)
		use_worker(elf, &cover_pairs[i], &symbols);
	refusal = resolve_all(elf, &symbols, want_returns, &sites);
	if (refusal != SITES_FOUND)
		return refusal;
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
