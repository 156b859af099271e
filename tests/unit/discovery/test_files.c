/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/files.h"
#include "agent/discovery/processes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void tells_files_apart(void **state)
{
	const struct file_identity base = {1, 77, 1000, 5, false};
	struct file_identity other = base;

	(void)state;
	assert_true(file_same(&base, &other));
	other.device = 2;
	assert_false(file_same(&base, &other));
	/* Two devices, no overlay: a copy of the file system, other bytes in memory. */
	assert_false(file_same_lower(&base, "ab", &other, "ab"));
	other.overlay = true;
	assert_true(file_same_lower(&base, "ab", &other, "ab"));
	assert_true(file_same_lower(&other, "ab", &base, "ab"));
	assert_false(file_same_lower(&base, "ab", &other, "cd"));
	assert_false(file_same_lower(&base, "", &other, ""));
	other.mtime_ns++;
	assert_false(file_same_lower(&base, "ab", &other, "ab"));
	other = base;
	other.size++;
	assert_false(file_same(&base, &other));
}

static void remembers_decisions(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	struct seen_key key = {.inode = 9, .generation = 3, .major = 8, .minor = 1};
	struct seen_key reused = key, unknown = key;
	struct tls_file file = {.state = FILE_ATTACHED}, *got = &file;

	(void)state;
	reused.generation = 4;
	unknown.generation = 0;
	assert_false(seen_get(seen, &key, 100, &got));
	seen_put(seen, &key, 7, 100, NULL);
	assert_true(seen_get(seen, &key, 100 + SEEN_FOR_S - 1, &got));
	assert_null(got);
	assert_true(seen_get(seen, &unknown, 101, &got));
	assert_false(seen_get(seen, &reused, 101, &got));
	assert_false(seen_get(seen, &key, 100 + SEEN_FOR_S, &got));
	got = &file;
	assert_true(seen_same(seen, &key, 7, &got));
	assert_null(got);
	assert_false(seen_same(seen, &key, 8, &got));
	seen_put(seen, &unknown, 7, 100, NULL);
	assert_true(seen_get(seen, &key, 101, &got));
	seen_put(seen, &unknown, 9, 100, NULL);
	assert_true(seen_get(seen, &unknown, 101, &got));
	assert_false(seen_get(seen, &key, 101, &got));
	seen_put(seen, &reused, 8, 101, &file);
	assert_true(seen_get(seen, &reused, 101 + 10 * SEEN_FOR_S, &got));
	assert_ptr_equal(got, &file);
	file.state = FILE_REFUSED;
	assert_false(seen_get(seen, &reused, 101 + SEEN_FOR_S, &got));
	assert_false(seen_get(seen, &key, 101, &got));
	seen_forget(seen, &file);
	assert_false(seen_get(seen, &reused, 101, &got));
	free(seen);
}

/* Many more inodes than room: no growth, and the newest is always known. */
static void forgets_when_full(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	struct tls_file *got;
	size_t known = 0;

	(void)state;
	for (uint64_t inode = 1; inode < 4ULL * SEEN_SETS * SEEN_WAYS; inode++) {
		struct seen_key key = {.inode = inode, .major = 8};

		seen_put(seen, &key, 1, 1, NULL);
		assert_true(seen_get(seen, &key, 1, &got));
	}
	for (uint64_t inode = 1; inode < 4ULL * SEEN_SETS * SEEN_WAYS; inode++) {
		struct seen_key key = {.inode = inode, .major = 8};

		known += seen_get(seen, &key, 1, &got);
	}
	assert_true(known > SEEN_SETS * SEEN_WAYS / 2);
	assert_true(known <= SEEN_SETS * SEEN_WAYS);
	free(seen);
}

static void bounds_the_files(void **state)
{
	struct files *files = calloc(1, sizeof(*files));
	struct file_identity id = {1, 5, 0, 0, false};

	(void)state;
	for (uint64_t i = 0; i < DISCOVERY_FILES_MAX; i++) {
		struct tls_file *file = files_add(files);

		assert_non_null(file);
		assert_int_equal(file->handle, -1);
		file->id = (struct file_identity){1, i, 0, 0, false};
	}
	assert_null(files_add(files));
	assert_non_null(files_find(files, &id));
	files_remove(files, files_find(files, &id));
	assert_null(files_find(files, &id));
	assert_non_null(files_add(files));
	files_free(files);
	free(files);
}

static void who_is_unused_gives_way(void **state)
{
	struct files files = {0};
	struct tls_file *first = files_add(&files), *second = files_add(&files),
			*third = files_add(&files);

	(void)state;
	third->users = 1;
	assert_ptr_equal(files_unused(&files), second);
	second->users = 1;
	assert_ptr_equal(files_unused(&files), first);
	first->users = 1;
	assert_null(files_unused(&files));
	files_free(&files);
}

static void counts_users(void **state)
{
	struct processes *processes = calloc(1, sizeof(*processes));
	struct tls_file files[PROCESS_FILES_MAX + 1] = {0};
	struct process *a = processes_add(processes, 10);
	struct process *b = processes_add(processes, 10 + PROCESS_BUCKETS);

	(void)state;
	assert_ptr_equal(processes_find(processes, 10), a);
	assert_ptr_equal(processes_find(processes, 10 + PROCESS_BUCKETS), b);
	assert_null(processes_find(processes, 11));
	assert_true(process_link(a, &files[0]));
	assert_false(process_link(a, &files[0]));
	assert_true(process_link(b, &files[0]));
	assert_int_equal(files[0].users, 2);
	files[0].state = FILE_REFUSED;
	assert_false(process_readable(a));
	for (int i = 1; i < PROCESS_FILES_MAX; i++)
		assert_true(process_link(a, &files[i]));
	assert_false(process_link(a, &files[PROCESS_FILES_MAX]));
	assert_int_equal(files[PROCESS_FILES_MAX].users, 0);
	assert_true(process_readable(a));
	processes_unlink(processes, &files[0]);
	assert_int_equal(files[0].users, 0);
	assert_int_equal(b->file_count, 0);
	processes_remove(processes, a);
	assert_int_equal(files[1].users, 0);
	assert_null(processes_find(processes, 10));
	processes_free(processes);
	assert_int_equal(processes->count, 0);
	free(processes);
}

static void bounds_the_processes(void **state)
{
	struct processes *processes = calloc(1, sizeof(*processes));

	(void)state;
	for (uint32_t pid = 1; pid <= DISCOVERY_PROCESSES_MAX; pid++)
		assert_non_null(processes_add(processes, pid));
	assert_null(processes_add(processes, DISCOVERY_PROCESSES_MAX + 1));
	processes_free(processes);
	free(processes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_files_apart),	   cmocka_unit_test(remembers_decisions),
		cmocka_unit_test(forgets_when_full),	   cmocka_unit_test(bounds_the_files),
		cmocka_unit_test(who_is_unused_gives_way), cmocka_unit_test(counts_users),
		cmocka_unit_test(bounds_the_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
