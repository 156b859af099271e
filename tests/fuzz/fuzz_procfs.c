/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts of /proc that a process or its owner shapes; the first byte picks the parser. Each runs
 * on a block of its own size and against a slow reading of the same text where there is one.
 */
#include <inttypes.h>

#include "agent/attribution/attribution.h"
#include "agent/base/procfs.h"
#include "tests/fuzz/fuzz.h"

static bool within(struct slice outer, struct slice inner)
{
	return !inner.len ||
	       (inner.ptr >= outer.ptr && inner.len <= (size_t)(outer.ptr + outer.len - inner.ptr));
}

static void must_be_clean(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	must_hold(len < size);
	for (size_t i = 0; i < len; i++)
		must_hold((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

/* sscanf takes more than the kernel writes (signs, blanks, 0x): what we take it must take too. */
static void check_mapping(struct slice line)
{
	struct proc_mapping m;
	uint64_t start, end, offset, inode;
	unsigned int major, minor;
	char text[1024], perms[8];

	if (!proc_mapping_parse(line, &m) || line.len >= sizeof(text))
		return;
	must_hold(within(line, m.path));
	memcpy(text, line.ptr, line.len);
	text[line.len] = '\0';
	if (memchr(line.ptr, '\0', line.len))
		return;
	if (sscanf(text, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %" SCNu64, &start, &end,
		   perms, &offset, &major, &minor, &inode) != 7 ||
	    strlen(perms) != 4)
		return; /* permissions that hold a blank */
	must_hold(start == m.start && end == m.end && major == m.major && minor == m.minor);
	must_hold(inode == m.inode && m.exec == (perms[2] == 'x'));
}

static void on_maps(struct slice text)
{
	static struct proc_lines lines;
	struct slice rest = text, line;

	proc_lines_init(&lines, fuzz_file((const uint8_t *)text.ptr, text.len));
	while (proc_lines_next(&lines, &line)) {
		const char *newline;
		size_t len;

		/* The same by hand: lines that are too long are left out, an unended one too. */
		while ((newline = memchr(rest.ptr, '\n', rest.len)) &&
		       (size_t)(newline - rest.ptr) >= PROC_LINE_MAX) {
			rest.len -= (size_t)(newline + 1 - rest.ptr);
			rest.ptr = newline + 1;
		}
		must_hold(newline);
		len = (size_t)(newline - rest.ptr);
		must_hold(slice_eq(line, (struct slice){rest.ptr, len}));
		rest.ptr += len + 1;
		rest.len -= len + 1;
		check_mapping(line);
	}
	must_hold(rest.len >= PROC_LINE_MAX || !memchr(rest.ptr, '\n', rest.len));
}

static void on_stat(struct slice text)
{
	struct proc_stat stat;

	if (!proc_stat_parse(text, &stat))
		return;
	must_be_clean(stat.comm, sizeof(stat.comm));
	must_hold(memchr(text.ptr, '(', text.len) && memrchr(text.ptr, ')', text.len));
}

static void on_cgroup(struct slice text)
{
	bool unified;
	struct slice path = cgroup_path(text, &unified);
	struct cgroup_facts facts;
	const char *id = facts.container_id;

	must_hold(within(text, path) || slice_eq(path, SLICE("/")));
	must_hold(path.len && !memchr(path.ptr, '\n', path.len));
	cgroup_read(path, &facts);
	must_hold(!id[0] || slice_is_hex(slice_of(id), 64));
	must_hold(!id[0] || memmem(path.ptr, path.len, id, 64));
	must_be_clean(facts.unit, sizeof(facts.unit));
	must_be_clean(facts.slice, sizeof(facts.slice));
	must_be_clean(facts.container, sizeof(facts.container));
	must_be_clean(facts.login_session, sizeof(facts.login_session));
	must_hold(strspn(facts.pod_uid, "0123456789abcdef-") == strlen(facts.pod_uid));
}

static void on_environ(struct slice text)
{
	struct tags tags = {0};

	environment_tags(text, &tags);
	must_hold(tags.count <= CALL_TAGS_MAX);
	for (uint32_t i = 0; i < tags.count; i++) {
		must_hold(tags.item[i].key[0] && tags.item[i].source == TAG_ENV);
		must_be_clean(tags.item[i].key, TAG_KEY_MAX);
		must_be_clean(tags.item[i].value, TAG_VALUE_MAX);
		for (uint32_t k = 0; k < i; k++)
			must_hold(strcmp(tags.item[i].key, tags.item[k].key) != 0);
	}
}

static void (*const parsers[])(struct slice text) = {on_maps, on_stat, on_cgroup, on_environ};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *block;

	if (size < 1)
		return 0;
	block = malloc(size);
	if (!block)
		abort();
	memcpy(block, data, size);
	parsers[data[0] % ARRAY_LEN(parsers)]((struct slice){block + 1, size - 1});
	free(block);
	return 0;
}
