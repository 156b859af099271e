/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/secret.h"

#include "ledger_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"

static const char raw[LEDGER_KEY_BYTES] = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d"
					  "\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b"
					  "\x1c\x1d\x1e\x1f";

/* DIR/shared with these bytes. */
static const char *shared(const void *bytes, size_t len, mode_t mode)
{
	static char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/shared", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static void test_forms(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		mode_t mode;
	} rows[] = {
		{raw, sizeof(raw), 0400}, {raw, sizeof(raw), 0640}, {HEX, 64, 0600},
		{HEX "\n", 65, 0440},	  {HEX "\r\n", 66, 0600},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *path = shared(rows[i].bytes, rows[i].len, rows[i].mode);
		uint8_t key[LEDGER_KEY_BYTES] = {0xff};

		assert_int_equal(secret_load(key, path, dir, err, sizeof(err)), 0);
		assert_memory_equal(key, raw, sizeof(raw));
		unlink(path);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		mode_t mode;
		const char *says;
	} rows[] = {
		{raw, sizeof(raw), 0404, "others can read it; chmod 0400"},
		{raw, sizeof(raw), 0620, "others can write it"},
		{raw, sizeof(raw), 0602, "others can write it"},
		{raw, 31, 0600, "neither 32 bytes nor 64 hex digits"},
		{raw, 0, 0600, "neither 32 bytes nor 64 hex digits"},
		{HEX "0", 65, 0600, "neither 32 bytes nor 64 hex digits"},
		{HEX "\n\n\n", 67, 0600, "neither 32 bytes nor 64 hex digits"},
		{"g" HEX, 64, 0600, "neither 32 bytes nor 64 hex digits"},
	};
	uint8_t key[LEDGER_KEY_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *path = shared(rows[i].bytes, rows[i].len, rows[i].mode);

		assert_true(secret_load(key, path, dir, err, sizeof(err)) < 0);
		if (!strstr(err, rows[i].says) || !strstr(err, path))
			fail_msg("'%s' lacks '%s'", err, rows[i].says);
		unlink(path);
	}
	assert_int_equal(secret_load(key, "/nonexistent", dir, err, sizeof(err)), -ENOENT);
	assert_true(secret_load(key, dir, dir, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "it is not a file"));
}

static void test_credential(void **state)
{
	uint8_t key[LEDGER_KEY_BYTES];
	char path[PATH_MAX];

	(void)state;
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_int_equal(secret_path(path, "credential:shared", err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "LoadCredential=shared:FILE"));
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	shared(HEX, 64, 0400);
	assert_int_equal(secret_load(key, "credential:shared", dir, err, sizeof(err)), 0);
	assert_memory_equal(key, raw, sizeof(raw));
	assert_int_equal(secret_path(path, "credential:../x", err, sizeof(err)), -EINVAL);
	assert_int_equal(secret_path(path, "credential:", err, sizeof(err)), -EINVAL);
	unsetenv("CREDENTIALS_DIRECTORY");
}

/* Who looks makes nothing; who records does. */
static void test_own(void **state)
{
	uint8_t made[LEDGER_KEY_BYTES], found[LEDGER_KEY_BYTES];

	(void)state;
	assert_int_equal(secret_find(found, NULL, dir, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "start `tolltap run` once"));
	assert_int_equal(secret_load(made, NULL, dir, err, sizeof(err)), 0);
	assert_int_equal(secret_find(found, NULL, dir, err, sizeof(err)), 0);
	assert_memory_equal(made, found, sizeof(made));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_forms),
		TEST(test_refused),
		TEST(test_credential),
		TEST(test_own),
	};

	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
