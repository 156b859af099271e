/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/returns.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CODE(...)           \
	{                   \
		__VA_ARGS__ \
	}
#define CODE_MAX 24

static void classifies_entries(void **state)
{
	static const struct {
		const char *name;
		uint8_t code[CODE_MAX];
		enum site_class want;
		uint32_t skip;
	} cases[] = {
		{"push rbp", CODE(0x55, 0x48), SITE_EMULATED, 0},
		{"push r14", CODE(0x41, 0x56), SITE_EMULATED, 0},
		{"jmp rel32", CODE(0xe9, 0, 0, 0, 0), SITE_EMULATED, 0},
		{"call rel32", CODE(0xe8, 0, 0, 0, 0), SITE_EMULATED, 0},
		{"je rel8", CODE(0x74, 2), SITE_EMULATED, 0},
		{"jne rel32", CODE(0x0f, 0x85, 0, 0, 0, 0), SITE_EMULATED, 0},
		{"nop", CODE(0x90, 0x55), SITE_EMULATED, 0},
		{"sub rsp", CODE(0x48, 0x83, 0xec, 0x18), SITE_SINGLE_STEPPED, 0},
		{"5-byte nop", CODE(0x0f, 0x1f, 0x44, 0, 0), SITE_SINGLE_STEPPED, 0},
		{"mov r8d", CODE(0x41, 0x89, 0xc0), SITE_SINGLE_STEPPED, 0},
		{"operand-size call", CODE(0x66, 0xe8, 0, 0), SITE_SINGLE_STEPPED, 0},
		{"endbr64, push", CODE(0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48), SITE_EMULATED, 4},
		{"endbr64, push r15", CODE(0xf3, 0x0f, 0x1e, 0xfa, 0x41, 0x57), SITE_EMULATED, 4},
		{"endbr64, sub", CODE(0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x83), SITE_SINGLE_STEPPED, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t skip = 99;
		enum site_class got = site_classify(cases[i].code, 8, &skip);

		if (got != cases[i].want || skip != cases[i].skip)
			fail_msg("%s: class %d, skip %u", cases[i].name, got, skip);
	}
}

static void sweeps_sound_functions(void **state)
{
	static const struct {
		const char *name;
		uint8_t code[CODE_MAX];
		size_t len, count;
		uint32_t want[3];
	} cases[] = {
		{"one ret", CODE(0x55, 0x5d, 0xc3), 3, 1, {2}},
		{"c3 inside an immediate", CODE(0xb8, 0xc3, 0xc3, 0, 0, 0xc3), 6, 1, {5}},
		{"two rets", CODE(0x85, 0xff, 0x74, 0x01, 0xc3, 0x31, 0xc0, 0xc3), 8, 2, {4, 7}},
		{"rep ret", CODE(0x90, 0xf3, 0xc3), 3, 1, {1}},
		{"ret imm16", CODE(0xc2, 8, 0), 3, 1, {0}},
		{"loop back", CODE(0x90, 0x75, 0xfd, 0xc3), 4, 1, {3}},
		{"call at the end", CODE(0x74, 1, 0xc3, 0xe8, 0, 0, 0, 0), 8, 1, {2}},
		{"endbr64", CODE(0xf3, 0x0f, 0x1e, 0xfa, 0xc3), 5, 1, {4}},
		{"padding behind", CODE(0xc3, 0x66, 0x90, 0xcc), 4, 1, {0}},
		{"reached backwards", CODE(0xeb, 3, 0x31, 0xc0, 0xc3, 0xeb, 0xfb), 7, 1, {4}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t got[3] = {0};

		if (returns_sweep(cases[i].code, cases[i].len, got, 3) != cases[i].count ||
		    memcmp(got, cases[i].want, sizeof(got)) != 0)
			fail_msg("%s", cases[i].name);
	}
}

static void refuses_doubtful_functions(void **state)
{
	static const struct {
		const char *name;
		uint8_t code[CODE_MAX];
		size_t len;
	} cases[] = {
		{"empty", CODE(0), 0},
		{"ends inside an instruction", CODE(0xc3, 0xb8, 0, 0), 4},
		{"no ret at all", CODE(0x90, 0x90), 2},
		{"tail jump behind", CODE(0x74, 1, 0xc3, 0xe9, 0x10, 0, 0, 0), 8},
		{"tail jump before", CODE(0x74, 1, 0xc3, 0xe9, 0, 0xff, 0xff, 0xff), 8},
		{"jump to exactly the end", CODE(0xc3, 0xeb, 0), 3},
		{"conditional jump to a cold part", CODE(0x0f, 0x88, 0, 1, 0, 0, 0xc3), 7},
		{"computed jump", CODE(0xff, 0xe0, 0xc3), 3},
		{"jump through memory", CODE(0xff, 0x25, 0, 0, 0, 0, 0xc3), 7},
		{"jump into an instruction", CODE(0xeb, 1, 0xb8, 0xc3, 0, 0, 0, 0xc3), 8},
		{"far ret", CODE(0x90, 0xcb), 2},
		{"does not decode", CODE(0x06, 0xc3), 2},
		{"ret never reached", CODE(0xc3, 0x31, 0xc0, 0xc3), 4},
		{"ret behind a trap", CODE(0x74, 2, 0x0f, 0x0b, 0xc3, 0xc3), 6},
		{"more rets than room", CODE(0xc3, 0xc3, 0xc3, 0xc3), 4},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t got[3];

		if (returns_sweep(cases[i].code, cases[i].len, got, 3) != 0)
			fail_msg("%s", cases[i].name);
	}
}

static void decodes_whole_functions_only(void **state)
{
	static const struct {
		const char *name;
		uint8_t code[CODE_MAX];
		size_t len;
		bool want;
	} cases[] = {
		{"one ret", CODE(0x55, 0x5d, 0xc3), 3, true},
		{"tail jump", CODE(0xe9, 0, 1, 0, 0), 5, true},
		{"computed jump", CODE(0xff, 0xe0), 2, true},
		{"no ret", CODE(0x90, 0x0f, 0x0b), 3, true},
		{"call of itself", CODE(0xe8, 0xfb, 0xff, 0xff, 0xff, 0xc3), 6, true},
		{"empty", CODE(0), 0, false},
		{"ends inside an instruction", CODE(0xc3, 0xb8, 0, 0), 4, false},
		{"does not decode", CODE(0xc3, 0x06), 2, false},
		{"jump into an instruction", CODE(0xeb, 1, 0xb8, 0xc3, 0, 0, 0, 0xc3), 8, false},
		{"call into an instruction", CODE(0xe8, 1, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xc3), 11,
		 false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (code_decodes(cases[i].code, cases[i].len) != cases[i].want)
			fail_msg("%s", cases[i].name);
	}
}

static void bounds_the_function(void **state)
{
	static uint8_t code[RETURNS_FUNCTION_MAX + 1];
	uint32_t got[1];

	(void)state;
	memset(code, 0x90, sizeof(code));
	code[RETURNS_FUNCTION_MAX - 1] = 0xc3;
	assert_int_equal(returns_sweep(code, RETURNS_FUNCTION_MAX, got, 1), 1);
	assert_int_equal(got[0], RETURNS_FUNCTION_MAX - 1);
	assert_int_equal(returns_sweep(code, sizeof(code), got, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classifies_entries),
		cmocka_unit_test(sweeps_sound_functions),
		cmocka_unit_test(refuses_doubtful_functions),
		cmocka_unit_test(decodes_whole_functions_only),
		cmocka_unit_test(bounds_the_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
