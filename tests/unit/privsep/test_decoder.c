/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder as a process, on real and hostile files, and what its parent accepts of it. */
#include "agent/privsep/decoder.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_BYTES 4096

static struct ending ending;

static struct decoded good_decoded(void)
{
	struct decoded d = {.decision = DECISION_PROBE};

	d.sites.count = 2;
	for (size_t i = 0; i < 2; i++)
		d.sites.site[i] = (struct probe_site){.hook = HOOK_WRITE + (enum hook)i,
						      .entry = 100,
						      .function = 96,
						      .size = 40,
						      .return_count = 1,
						      .returns = {120}};
	return d;
}

#define REFUSED(change)                                      \
	do {                                                 \
		struct decoded d = good_decoded();           \
                                                             \
		change;                                      \
		assert_false(decoded_valid(&d, FILE_BYTES)); \
	} while (0)

static void accepts_what_is_in_range_only(void **state)
{
	struct decoded d = good_decoded();

	(void)state;
	assert_true(decoded_valid(&d, FILE_BYTES));
	REFUSED(d.decision = DECISION_BLIND + 1);
	REFUSED(memset(d.reason, 'x', sizeof(d.reason)));
	REFUSED(d.sites.count = 0);
	REFUSED(d.sites.count = SITES_MAX + 1);
	REFUSED(d.sites.site[1].hook = HOOKS);
	REFUSED(d.sites.site[1].class_ = SITE_CLASSES);
	REFUSED(d.sites.site[1].entry = FILE_BYTES);
	REFUSED(d.sites.site[1].function = UINT64_MAX);
	REFUSED(d.sites.site[1].size = FILE_BYTES);
	REFUSED(d.sites.site[1].return_count = SITE_RETURNS_MAX + 1);
	REFUSED(d.sites.site[1].returns[0] = FILE_BYTES);
	REFUSED(memset(d.sites.build_id, 'x', sizeof(d.sites.build_id)));
	REFUSED(memset(d.sites.soname, 'x', sizeof(d.sites.soname)));
	d.decision = DECISION_NOT_TLS;
	d.sites.count = SITES_MAX + 1; /* not looked at without a decision to probe */
	assert_true(decoded_valid(&d, FILE_BYTES));
}

static void finds_the_sites_of_a_library(void **state)
{
	const char *path = "/usr/lib/x86_64-linux-gnu/libssl.so.3";
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct decoded d, here;
	const char *reason;

	(void)state;
	if (fd < 0)
		skip();
	assert_int_equal(decoder_run(&ending, fd, path, false, &d), 0);
	assert_int_equal(d.decision, DECISION_PROBE);
	here.decision = decide_file(fd, slice_of(path), false, &here.sites, &reason);
	assert_int_equal(here.decision, d.decision);
	assert_int_equal(here.sites.count, d.sites.count);
	for (size_t i = 0; i < d.sites.count; i++)
		assert_int_equal(here.sites.site[i].entry, d.sites.site[i].entry);
	assert_string_equal(here.sites.build_id, d.sites.build_id);
}

static int file_of(const void *bytes, size_t len)
{
	int fd = memfd_create("hostile", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	return fd;
}

/* Sections beyond counting: bounded, and somebody else's process anyway. */
static void survives_hostile_files(void **state)
{
	Elf64_Ehdr head = {.e_type = ET_DYN,
			   .e_machine = EM_X86_64,
			   .e_version = EV_CURRENT,
			   .e_ehsize = sizeof(head),
			   .e_shoff = sizeof(head),
			   .e_shentsize = sizeof(Elf64_Shdr),
			   .e_shnum = 0xffff,
			   .e_phoff = UINT64_MAX - 3,
			   .e_phnum = 0xffff,
			   .e_phentsize = sizeof(Elf64_Phdr)};
	_cleanup_(closep) int none = file_of("", 0);
	_cleanup_(closep) int elf = -1;
	struct decoded d;

	(void)state;
	memcpy(head.e_ident, ELFMAG, SELFMAG);
	head.e_ident[EI_CLASS] = ELFCLASS64;
	head.e_ident[EI_DATA] = ELFDATA2LSB;
	head.e_ident[EI_VERSION] = EV_CURRENT;
	elf = file_of(&head, sizeof(head));
	assert_int_equal(decoder_run(&ending, none, "/empty", false, &d), 0);
	assert_int_equal(d.decision, DECISION_NOT_TLS);
	assert_int_equal(decoder_run(&ending, elf, "/usr/lib/libssl.so.3", true, &d), 0);
	assert_int_equal(d.decision, DECISION_BLIND);
	assert_true(d.reason[0] != '\0');
	assert_int_equal(decoder_run(&ending, -1, "/closed", false, &d), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_what_is_in_range_only),
		cmocka_unit_test(finds_the_sites_of_a_library),
		cmocka_unit_test(survives_hostile_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
