/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that some process maps: what is found lies inside it, in executable segments, and is the
 * same when asked again. The last byte says whether returns are wanted and under which path.
 */
#include "agent/discovery/decide.h"
#include "agent/discovery/elf.h"
#include "tests/fuzz/fuzz.h"

static const char *const paths[] = {"/lib/libssl.so.3", "/usr/bin/node", "/lib/libgnutls.so.30",
				    "/tmp/x (deleted)"};

static bool executable_at(const struct elf *elf, uint64_t offset)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const Elf64_Phdr *s = &elf->segments[i];

		if (s->p_type == PT_LOAD && s->p_flags & PF_X && offset >= s->p_offset &&
		    offset - s->p_offset < s->p_filesz)
			return true;
	}
	return false;
}

static void must_be_sound(const struct elf *elf, const struct probe_site *site)
{
	must_hold(site->hook < HOOKS && site->class_ < SITE_CLASSES);
	must_hold(site->size && site->function < elf->size &&
		  site->size <= elf->size - site->function);
	must_hold(executable_at(elf, site->entry) && executable_at(elf, site->function));
	must_hold(executable_at(elf, site->function + site->size - 1));
	must_hold(site->return_count <= SITE_RETURNS_MAX);
	for (uint32_t i = 0; i < site->return_count; i++) {
		must_hold(site->returns[i] >= site->function &&
			  site->returns[i] - site->function < site->size);
		must_hold(i == 0 || site->returns[i] > site->returns[i - 1]);
	}
}

static void must_be_text(const char *text, size_t size)
{
	must_hold(memchr(text, '\0', size));
}

static void check_sites(int fd, bool want_returns)
{
	struct probe_sites sites = {0}, again = {0};
	enum sites_refusal refusal = sites_find(fd, want_returns, &sites);
	unsigned int hooks = 0;
	struct elf elf;

	must_hold(refusal < SITES_REFUSALS && sites_find(fd, want_returns, &again) == refusal);
	if (refusal != SITES_FOUND)
		return;
	must_hold(memcmp(&sites, &again, sizeof(sites)) == 0);
	must_hold(sites.count && sites.count <= SITES_MAX);
	must_be_text(sites.build_id, sizeof(sites.build_id));
	must_be_text(sites.soname, sizeof(sites.soname));
	must_hold(slice_is_hex(slice_of(sites.build_id), strlen(sites.build_id)));
	must_hold(elf_open(&elf, fd) == SITES_FOUND);
	for (size_t i = 0; i < sites.count; i++) {
		must_be_sound(&elf, &sites.site[i]);
		must_hold(!(hooks & 1u << sites.site[i].hook));
		hooks |= 1u << sites.site[i].hook;
	}
	elf_close(&elf);
}

static void check_decision(int fd, const char *path, bool want_returns)
{
	struct probe_sites sites = {0};
	const char *reason = NULL;
	enum decision decision = decide_file(fd, slice_of(path), want_returns, &sites, &reason);

	must_hold(decision <= DECISION_BLIND);
	must_hold((decision == DECISION_BLIND) == (reason != NULL));
	must_hold(decision != DECISION_PROBE || sites.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t mode;
	int fd;

	if (size < 1)
		return 0;
	mode = data[size - 1];
	fd = fuzz_file(data, size - 1);
	check_sites(fd, mode & 1);
	check_decision(fd, paths[(mode >> 1) % ARRAY_LEN(paths)], mode & 1);
	return 0;
}
