/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Replaces libc's look-ups: a system with these entries and a range that is partly taken. */
static uint32_t taken_first, taken_last;
static int lookup_errno;

static struct passwd users[] = {
	{.pw_name = "tolltap", .pw_uid = 991, .pw_gid = 990},
	{.pw_name = "toor", .pw_uid = 0, .pw_gid = 5},
	{.pw_name = "wheel", .pw_uid = 7, .pw_gid = 0},
};
static struct group groups[] = {
	{.gr_name = "readers", .gr_gid = 990},
	{.gr_name = "rootish", .gr_gid = 0},
};

struct passwd *getpwnam(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		if (!strcmp(users[i].pw_name, name))
			return &users[i];
	}
	errno = lookup_errno;
	return NULL;
}

struct passwd *getpwuid(uid_t uid)
{
	return uid >= taken_first && uid <= taken_last && uid % 2 == 0 ? &users[0] : NULL;
}

struct group *getgrnam(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		if (!strcmp(groups[i].gr_name, name))
			return &groups[i];
	}
	return NULL;
}

struct group *getgrgid(gid_t gid)
{
	return gid >= taken_first && gid <= taken_last && gid % 2 == 1 ? &groups[0] : NULL;
}

static int reset(void **state)
{
	(void)state;
	taken_first = 1;
	taken_last = 0;
	lookup_errno = 0;
	return 0;
}

static void takes_the_system_user(void **state)
{
	struct identity id;

	(void)state;
	assert_int_equal(identity_resolve(&id, "tolltap"), 0);
	assert_int_equal(id.uid, 991);
	assert_int_equal(id.gid, 990);
	assert_string_equal(id.name, "tolltap");
	assert_false(id.fallback);
}

static void falls_back_to_a_stable_number(void **state)
{
	struct identity first, again, other;

	(void)state;
	assert_int_equal(identity_resolve(&first, IDENTITY_BROKER), 0);
	assert_int_equal(identity_resolve(&again, IDENTITY_BROKER), 0);
	assert_int_equal(identity_resolve(&other, IDENTITY_COURIER), 0);
	assert_true(first.fallback);
	assert_in_range(first.uid, IDENTITY_FALLBACK_FIRST, IDENTITY_FALLBACK_LAST);
	assert_int_equal(first.gid, first.uid);
	assert_int_equal(again.uid, first.uid);
	assert_int_not_equal(other.uid, first.uid);
}

/* An installation that has the group but not yet the user keeps its readers. */
static void keeps_the_group_of_that_name(void **state)
{
	struct identity id;

	(void)state;
	assert_int_equal(identity_resolve(&id, "readers"), 0);
	assert_true(id.fallback);
	assert_int_equal(id.gid, 990);
	assert_int_equal(identity_resolve(&id, "rootish"), 0);
	assert_int_equal(id.gid, id.uid);
}

/* Even numbers have users, odd ones groups: both are skipped. */
static void skips_numbers_that_are_taken(void **state)
{
	struct identity free_id, id;

	(void)state;
	assert_int_equal(identity_resolve(&free_id, IDENTITY_BROKER), 0);
	taken_first = free_id.uid;
	taken_last = free_id.uid + 2;
	assert_int_equal(identity_resolve(&id, IDENTITY_BROKER), 0);
	assert_int_equal(id.uid, free_id.uid + 3);
	taken_last = IDENTITY_FALLBACK_LAST;
	assert_int_equal(identity_resolve(&id, IDENTITY_BROKER), 0);
	assert_int_equal(id.uid, IDENTITY_FALLBACK_FIRST);
	taken_first = IDENTITY_FALLBACK_FIRST;
	assert_int_equal(identity_resolve(&id, IDENTITY_BROKER), -ENOSPC);
}

static void refuses(void **state)
{
	struct identity id = {.uid = 77};

	(void)state;
	assert_int_equal(identity_resolve(&id, ""), -EINVAL);
	assert_int_equal(identity_resolve(&id, "a-name-of-thirty-two-characters-"), -EINVAL);
	assert_int_equal(identity_resolve(&id, "toor"), -EINVAL);
	assert_int_equal(identity_resolve(&id, "wheel"), -EINVAL);
	lookup_errno = EIO;
	assert_int_equal(identity_resolve(&id, IDENTITY_BROKER), -EIO);
	lookup_errno = ENOENT; /* no /etc/passwd: a bare container */
	assert_int_equal(id.uid, 77);
	assert_int_equal(identity_resolve(&id, IDENTITY_BROKER), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(takes_the_system_user, reset),
		cmocka_unit_test_setup(falls_back_to_a_stable_number, reset),
		cmocka_unit_test_setup(keeps_the_group_of_that_name, reset),
		cmocka_unit_test_setup(skips_numbers_that_are_taken, reset),
		cmocka_unit_test_setup(refuses, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
