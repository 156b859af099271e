/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/signs.h"

#include "agent/base/procfs.h"
#include "agent/discovery/elf.h"

const char *const blind_names[BLINDS] = {
	[BLIND_NOT] = "",
	[BLIND_GNUTLS] = "gnutls",
	[BLIND_NSS] = "nss",
	[BLIND_MBEDTLS] = "mbedtls",
	[BLIND_WOLFSSL] = "wolfssl",
	[BLIND_S2N] = "s2n",
	[BLIND_JAVA] = "java_jsse",
	[BLIND_ERLANG] = "erlang_tls",
	[BLIND_GO] = "go_crypto_tls",
	[BLIND_OPENSSL] = "openssl_without_symbols",
	[BLIND_BORINGSSL] = "boringssl_without_symbols",
	[BLIND_RUSTLS] = "rustls",
};

/* Names of shared libraries, by how they start. */
static const struct {
	struct slice prefix;
	enum blind blind;
} libraries[] = {
	{SLICE("libgnutls.so"), BLIND_GNUTLS},	 {SLICE("libssl3.so"), BLIND_NSS},
	{SLICE("libmbedtls.so"), BLIND_MBEDTLS}, {SLICE("libwolfssl.so"), BLIND_WOLFSSL},
	{SLICE("libs2n.so"), BLIND_S2N},	 {SLICE("libjvm.so"), BLIND_JAVA},
};

/* Programs whose own TLS has no symbols, by whole name; asked only after symbols were not found. */
static const struct {
	struct slice name;
	enum blind blind;
} programs[] = {
	{SLICE("beam.smp"), BLIND_ERLANG},    {SLICE("bun"), BLIND_BORINGSSL},
	{SLICE("claude"), BLIND_BORINGSSL},   {SLICE("opencode"), BLIND_BORINGSSL},
	{SLICE("chrome"), BLIND_BORINGSSL},   {SLICE("chromium"), BLIND_BORINGSSL},
	{SLICE("electron"), BLIND_BORINGSSL}, {SLICE("code"), BLIND_BORINGSSL},
	{SLICE("cursor"), BLIND_BORINGSSL},   {SLICE("envoy"), BLIND_BORINGSSL},
	{SLICE("deno"), BLIND_RUSTLS},	      {SLICE("codex"), BLIND_RUSTLS},
};

/*
 * Sections whose presence, or whose bytes, tell the stack. Stripped code keeps the names of its
 * sources in .rodata, for its own error messages; "ssl_lib.c" starts "ssl_lib.cc", so that comes
 * first. The needle is cut behind its first byte: this program's own .rodata must not hold it.
 */
static const struct {
	const char *section;
	char first;
	struct slice rest; /* empty: the section alone is the sign */
	enum blind blind;
	bool library; /* a sign in libraries too, not in executables alone */
} contents[] = {
	{".gopclntab", 'c', SLICE("rypto/tls.(*Conn).Write"), BLIND_GO, false},
	{".data.rel.ro.gopclntab", 'c', SLICE("rypto/tls.(*Conn).Write"), BLIND_GO, false},
	{".bun", '\0', {NULL, 0}, BLIND_BORINGSSL, false},
	{".strtab", '6', SLICE("rustls"), BLIND_RUSTLS, false},
	{".rodata", '/', SLICE("rustls-0."), BLIND_RUSTLS, true},
	{".rodata", 's', SLICE("sl/ssl_lib.cc"), BLIND_BORINGSSL, true},
	{".rodata", 's', SLICE("sl/ssl_lib.c"), BLIND_OPENSSL, true},
};

/* What `bun build --compile` leaves at the end of the file, before an 8-byte length. */
#define BUN_TRAILER    SLICE("\n---- Bun! ----\n")
#define TRAILER_WINDOW 256

enum blind blind_by_library(struct slice path)
{
	struct slice name = path_base(path_without_deleted(path));

	for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
		if (slice_starts(name, libraries[i].prefix))
			return libraries[i].blind;
	}
	return BLIND_NOT;
}

enum blind blind_by_program(struct slice path)
{
	struct slice name = path_base(path_without_deleted(path));

	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		if (slice_eq(name, programs[i].name))
			return programs[i].blind;
	}
	return BLIND_NOT;
}

static bool has_bun_trailer(struct elf *elf)
{
	char end[TRAILER_WINDOW];

	return elf->size > sizeof(end) &&
	       elf_read(elf, elf->size - sizeof(end), end, sizeof(end)) &&
	       memmem(end, sizeof(end), BUN_TRAILER.ptr, BUN_TRAILER.len);
}

static bool has_content(struct elf *elf, size_t row)
{
	const Elf64_Shdr *section = elf_section_named(elf, contents[row].section);
	struct slice rest = contents[row].rest;
	char needle[ELF_NEEDLE_MAX];

	if (!section || rest.len == 0 || rest.len >= sizeof(needle))
		return section && rest.len == 0;
	needle[0] = contents[row].first;
	memcpy(needle + 1, rest.ptr, rest.len);
	return elf_contains(elf, section, (struct slice){needle, rest.len + 1});
}

enum blind blind_by_content(int fd)
{
	enum blind blind = BLIND_NOT;
	struct elf elf;
	bool executable;

	if (elf_open(&elf, fd) != SITES_FOUND)
		return BLIND_NOT;
	executable = elf_executable(&elf);
	for (size_t i = 0; i < ARRAY_LEN(contents) && !blind; i++) {
		if ((executable || contents[i].library) && has_content(&elf, i))
			blind = contents[i].blind;
	}
	if (!blind && executable && has_bun_trailer(&elf))
		blind = BLIND_BORINGSSL;
	elf_close(&elf);
	return blind;
}
