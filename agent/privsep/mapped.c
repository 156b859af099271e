/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/mapped.h"

bool mapped_same(const struct mapped_file *a, const struct mapped_file *b)
{
	return a->inode == b->inode && a->major == b->major && a->minor == b->minor;
}

static bool next_code(struct proc_lines *lines, struct proc_mapping *m, struct mapped_file *file)
{
	struct slice line;

	while (proc_lines_next(lines, &line)) {
		if (!proc_mapping_parse(line, m) || !m->exec || !m->inode)
			continue;
		*file = (struct mapped_file){m->major, m->minor, m->inode};
		return true;
	}
	return false;
}

bool mapped_next(struct proc_lines *lines, struct mapped_file *out)
{
	struct proc_mapping m;

	return next_code(lines, &m, out);
}

bool mapped_find(int maps, uint64_t start, uint64_t end, uint64_t inode, const char *path,
		 struct mapped_file *out)
{
	struct proc_mapping m;
	struct proc_lines lines;

	proc_lines_init(&lines, maps);
	while (next_code(&lines, &m, out)) {
		if (m.start == start && m.end == end)
			return m.inode == inode || slice_eq(m.path, slice_of(path));
	}
	return false;
}

/* True when every offset to be written to lies in [offset, offset + len) of the file. */
static bool site_within(const struct probe_site *site, uint64_t offset, uint64_t len)
{
	if (site->entry - offset >= len || site->function - offset >= len)
		return false;
	for (uint32_t i = 0; i < site->return_count; i++) {
		if (site->returns[i] - offset >= len)
			return false;
	}
	return true;
}

bool mapped_covers(int maps, const struct mapped_file *file, const struct probe_sites *sites)
{
	bool within[SITES_MAX] = {false};
	struct mapped_file this;
	struct proc_mapping m;
	struct proc_lines lines;

	proc_lines_init(&lines, maps);
	while (next_code(&lines, &m, &this)) {
		for (size_t i = 0; i < sites->count && mapped_same(&this, file); i++)
			within[i] |= site_within(&sites->site[i], m.offset, m.end - m.start);
	}
	for (size_t i = 0; i < sites->count; i++) {
		if (!within[i])
			return false;
	}
	return true;
}
