/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/decide.h"
#include "agent/discovery/elf.h"
#include "tests/unit/discovery/elf_builder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static void decides_by_evidence(void **state)
{
	static const struct {
		const char *path;
		enum sites_refusal sites;
		enum blind library, program, content;
		enum decision want;
		const char *reason;
	} cases[] = {
		{"/lib/libssl.so.3", SITES_FOUND, 0, 0, 0, DECISION_PROBE, NULL},
		{"/usr/bin/node", SITES_FOUND, 0, 0, 0, DECISION_PROBE, NULL},
		{"/opt/x.node", SITES_FOUND, 0, 0, 0, DECISION_PROBE, NULL},
		{"/lib/libc.so.6", SITES_NO_SYMBOLS, 0, 0, 0, DECISION_NOT_TLS, NULL},
		{"/lib/libx.so", SITES_MALFORMED, 0, 0, 0, DECISION_NOT_TLS, NULL},
		{"/lib/libssl.so.1.1", SITES_NO_SYMBOLS, 0, 0, 0, DECISION_BLIND, "no_symbols"},
		{"/lib/libssl.so.3 (deleted)", SITES_MALFORMED, 0, 0, 0, DECISION_BLIND,
		 "malformed"},
		{"/w/libssl-9ffdfc5c.so.1.1", SITES_WRONG_MACHINE, 0, 0, 0, DECISION_BLIND,
		 "wrong_machine"},
		{"/lib/libgnutls.so.30", SITES_NO_SYMBOLS, BLIND_GNUTLS, 0, 0, DECISION_BLIND,
		 "gnutls"},
		{"/usr/bin/deno", SITES_NO_SYMBOLS, 0, BLIND_RUSTLS, 0, DECISION_BLIND, "rustls"},
		{"/usr/bin/caddy", SITES_NO_SYMBOLS, 0, 0, BLIND_GO, DECISION_BLIND,
		 "go_crypto_tls"},
		{"/usr/bin/deno", SITES_FOUND, 0, BLIND_RUSTLS, 0, DECISION_PROBE, NULL},
		{"/usr/bin/node", SITES_BOUNDS_UNKNOWN, 0, 0, 0, DECISION_BLIND,
		 "function_bounds_unknown"},
		{"/usr/bin/bun", SITES_CODE_NOT_DECODED, 0, BLIND_BORINGSSL, 0, DECISION_BLIND,
		 "code_not_decoded"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct evidence evidence = {
			.path = slice_of(cases[i].path),
			.sites = cases[i].sites,
			.library = cases[i].library,
			.program = cases[i].program,
			.content = cases[i].content,
		};
		const char *reason = NULL;

		if (decide(&evidence, &reason) != cases[i].want)
			fail_msg("%s", cases[i].path);
		if (cases[i].reason)
			assert_string_equal(reason, cases[i].reason);
		else
			assert_null(reason);
	}
}

static void knows_names(void **state)
{
	static const struct {
		const char *path;
		enum blind library, program;
	} cases[] = {
		{"/usr/lib/x86_64-linux-gnu/libgnutls.so.30.34.3", BLIND_GNUTLS, BLIND_NOT},
		{"/usr/lib/x86_64-linux-gnu/libgnutls.so.30 (deleted)", BLIND_GNUTLS, BLIND_NOT},
		{"/usr/lib/firefox/libssl3.so", BLIND_NSS, BLIND_NOT},
		{"/usr/lib/jvm/java-17/lib/server/libjvm.so", BLIND_JAVA, BLIND_NOT},
		{"/usr/lib/x86_64-linux-gnu/libssl.so.3", BLIND_NOT, BLIND_NOT},
		{"/home/u/.bun/bin/bun", BLIND_NOT, BLIND_BORINGSSL},
		{"/home/u/bunny", BLIND_NOT, BLIND_NOT},
		{"deno", BLIND_NOT, BLIND_RUSTLS},
		{"", BLIND_NOT, BLIND_NOT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(blind_by_library(slice_of(cases[i].path)), cases[i].library);
		assert_int_equal(blind_by_program(slice_of(cases[i].path)), cases[i].program);
	}
}

/* An executable without TLS symbols whose string section is named and filled by the test. */
static enum blind content_of(const char *section, const char *bytes, const char *trailer)
{
	struct built_elf b;

	built_init(&b, SHT_DYNSYM);
	b.head.e_type = ET_EXEC;
	memset(b.strings, 0, sizeof(b.strings));
	memcpy(b.strings + 300, bytes, strlen(bytes));
	memset(b.names, 0, sizeof(b.names));
	memcpy(b.names + 7, section, strlen(section));
	memset(b.code, 0, sizeof(b.code));
	memcpy(b.code + sizeof(b.code) - 64, trailer, strlen(trailer));
	_cleanup_(closep) int fd = built_open(&b, sizeof(b));
	return blind_by_content(fd);
}

static void knows_contents(void **state)
{
	static const char go[] = "crypto/tls.(*Conn).Write";

	(void)state;
	assert_int_equal(content_of(".gopclntab", go, ""), BLIND_GO);
	assert_int_equal(content_of(".data.rel.ro.gopclntab", go, ""), BLIND_GO);
	assert_int_equal(content_of(".gopclntab", "net.(*conn).Write", ""), BLIND_NOT);
	assert_int_equal(content_of(".rodata", go, ""), BLIND_NOT);
	assert_int_equal(content_of(".bun", "", ""), BLIND_BORINGSSL);
	assert_int_equal(content_of(".strtab", "_ZN6rustls4conn", ""), BLIND_RUSTLS);
	assert_int_equal(content_of(".rodata", "", "\n---- Bun! ----\n"), BLIND_BORINGSSL);
	assert_int_equal(content_of(".rodata", "../ssl/ssl_lib.c", ""), BLIND_OPENSSL);
	assert_int_equal(content_of(".rodata", "src/ssl/ssl_lib.cc", ""), BLIND_BORINGSSL);
	assert_int_equal(content_of(".rodata", "/src/rustls-0.23.5/src/conn.rs", ""), BLIND_RUSTLS);
	assert_int_equal(content_of(".rodata", "", ""), BLIND_NOT);
}

/* The needle is found wherever it lies to the windows a section is read in. */
static void finds_needles_across_windows(void **state)
{
	const struct slice needle = SLICE("crypto/tls.(*Conn).Write");
	const size_t bytes = 3 * (64 << 10);
	_cleanup_(freep) char *text = calloc(1, bytes);
	int fd = memfd_create("needle", MFD_CLOEXEC);
	Elf64_Shdr section = {.sh_size = bytes};

	(void)state;
	for (size_t at = (64 << 10) - 40; at < (64 << 10) + 40; at += 3) {
		struct elf elf = {.fd = fd, .size = bytes, .budget = ELF_READ_MAX};

		memset(text, 0, bytes);
		memcpy(text + at, needle.ptr, needle.len);
		assert_int_equal(pwrite(fd, text, bytes, 0), bytes);
		assert_true(elf_contains(&elf, &section, needle));
		section.sh_size = at + needle.len - 1;
		assert_false(elf_contains(&elf, &section, needle));
		section.sh_size = bytes;
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decides_by_evidence),
		cmocka_unit_test(knows_names),
		cmocka_unit_test(knows_contents),
		cmocka_unit_test(finds_needles_across_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
