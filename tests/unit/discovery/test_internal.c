/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/internal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CODE(...)           \
	{                   \
		__VA_ARGS__ \
	}
#define CODE_MAX 48
#define PLAIN_AT 0x1000
#define EX_AT	 0x1100
#define WORKER	 0x2000
#define OTHER	 0x3000

/* call WORKER and call OTHER; the distance is filled in by place(). */
#define CALL_WORKER 0xe8, 'W', 0, 0, 0
#define CALL_OTHER  0xe8, 'O', 0, 0, 0

#define ENDBR	  0xf3, 0x0f, 0x1e, 0xfa
#define FRAME	  0x48, 0x83, 0xec, 0x18 /* sub $0x18,%rsp */
#define LEAVE	  0x48, 0x83, 0xc4, 0x18, 0xc3
#define TEST_LEN  0x85, 0xd2	   /* test %edx,%edx */
#define OUT_RCX	  0x48, 0x89, 0xe1 /* mov %rsp,%rcx */
#define OUT_R8	  0x49, 0x89, 0xe0 /* mov %rsp,%r8 */
#define WIDEN	  0x48, 0x63, 0xd2 /* movslq %edx,%rdx */
#define NO_FLAGS  0x31, 0xc9	   /* xor %ecx,%ecx */
#define SOUND_EX  CODE(FRAME, CALL_WORKER, LEAVE)
#define SOUND_LEN 14

struct pair {
	const char *name;
	uint8_t plain[CODE_MAX];
	size_t plain_len;
	uint8_t ex[CODE_MAX];
	size_t ex_len;
	uint32_t out_arg;
};

/* Points the calls in code at their functions. */
static void place(uint8_t *code, size_t len, uint64_t address)
{
	for (size_t i = 0; i + 5 <= len; i++) {
		bool call = code[i] == 0xe8 && code[i + 2] == 0 && code[i + 3] == 0;
		uint64_t target = code[i + 1] == 'W' ? WORKER : OTHER;
		uint32_t distance = (uint32_t)(target - (address + i + 5));

		if (call && (code[i + 1] == 'W' || code[i + 1] == 'O'))
			memcpy(code + i + 1, &distance, sizeof(distance));
	}
}

static uint64_t worker_of_pair(const struct pair *pair)
{
	struct pair p = *pair;
	struct cover plain = {p.plain, p.plain_len, PLAIN_AT}, ex = {p.ex, p.ex_len, EX_AT};

	place(p.plain, p.plain_len, PLAIN_AT);
	place(p.ex, p.ex_len, EX_AT);
	return worker_of(&plain, &ex, p.out_arg);
}

static void finds_the_worker(void **state)
{
	static const struct pair cases[] = {
		{"OpenSSL 1.1.1 to 3.0: js to the complaint behind",
		 CODE(FRAME, TEST_LEN, 0x78, 0x10, OUT_RCX, WIDEN, CALL_WORKER, LEAVE, CALL_OTHER,
		      0xc3),
		 30, SOUND_EX, SOUND_LEN, 3},
		{"OpenSSL 3.6: endbr64, the length is not signed",
		 CODE(ENDBR, FRAME, OUT_RCX, 0x89, 0xd2, CALL_WORKER, LEAVE), 23,
		 CODE(ENDBR, FRAME, CALL_WORKER, LEAVE), 18, 3},
		{"OpenSSL 3.3 and later: flags before the length's pointer",
		 CODE(FRAME, NO_FLAGS, WIDEN, OUT_R8, CALL_WORKER, LEAVE), 22, SOUND_EX, SOUND_LEN,
		 4},
		{"lea 8(%rsp),%rcx",
		 CODE(FRAME, WIDEN, 0x48, 0x8d, 0x4c, 0x24, 0x08, CALL_WORKER, LEAVE), 22, SOUND_EX,
		 SOUND_LEN, 3},
		{"push %rbp; mov %rsp,%rbp; lea -8(%rbp),%rcx",
		 CODE(0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x4d, 0xf8, WIDEN, CALL_WORKER, 0x5d,
		      0xc3),
		 18, SOUND_EX, SOUND_LEN, 3},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (worker_of_pair(&cases[i]) != WORKER)
			fail_msg("%s", cases[i].name);
	}
}

static void refuses_doubtful_plain(void **state)
{
	static const struct {
		const char *name;
		uint8_t code[CODE_MAX];
		size_t len;
		uint32_t out_arg;
	} cases[] = {
		{"empty", CODE(0), 0, 3},
		{"calls another", CODE(FRAME, OUT_RCX, WIDEN, CALL_OTHER, LEAVE), 20, 3},
		{"calls another first", CODE(FRAME, CALL_OTHER, OUT_RCX, WIDEN, CALL_WORKER, LEAVE),
		 25, 3},
		{"calls it twice", CODE(FRAME, OUT_RCX, WIDEN, CALL_WORKER, CALL_WORKER, LEAVE), 25,
		 3},
		{"calls by a pointer first",
		 CODE(FRAME, 0xff, 0xd0, OUT_RCX, WIDEN, CALL_WORKER, LEAVE), 22, 3},
		{"calls itself", CODE(FRAME, OUT_RCX, WIDEN, 0xe8, 0xf1, 0xff, 0xff, 0xff, LEAVE),
		 20, 3},
		{"another connection", CODE(FRAME, 0x31, 0xff, OUT_RCX, WIDEN, CALL_WORKER, LEAVE),
		 22, 3},
		{"another buffer",
		 CODE(FRAME, 0x48, 0x8d, 0x74, 0x24, 8, OUT_RCX, WIDEN, CALL_WORKER, LEAVE), 25, 3},
		{"a shorter length",
		 CODE(FRAME, 0x83, 0xea, 0x01, OUT_RCX, WIDEN, CALL_WORKER, LEAVE), 23, 3},
		{"a shorter length, widened before",
		 CODE(FRAME, WIDEN, 0x83, 0xea, 0x01, OUT_RCX, CALL_WORKER, LEAVE), 23, 3},
		{"low byte of the length", CODE(FRAME, 0xb2, 0x01, OUT_RCX, CALL_WORKER, LEAVE), 19,
		 3},
		{"length from elsewhere", CODE(FRAME, 0x89, 0xc2, OUT_RCX, CALL_WORKER, LEAVE), 19,
		 3},
		{"no place for the length", CODE(FRAME, WIDEN, CALL_WORKER, LEAVE), 17, 3},
		{"place in static memory",
		 CODE(FRAME, WIDEN, 0x48, 0x8d, 0x0d, 0, 1, 0, 0, CALL_WORKER, LEAVE), 24, 3},
		{"place overwritten", CODE(FRAME, OUT_RCX, NO_FLAGS, WIDEN, CALL_WORKER, LEAVE), 22,
		 3},
		{"place in the wrong argument",
		 CODE(FRAME, NO_FLAGS, WIDEN, OUT_R8, CALL_WORKER, LEAVE), 22, 3},
		{"flags missing", CODE(FRAME, OUT_RCX, WIDEN, CALL_WORKER, LEAVE), 20, 4},
		{"jump over the call", CODE(FRAME, OUT_RCX, WIDEN, 0xeb, 5, CALL_WORKER, LEAVE), 22,
		 3},
		{"jump back before the call",
		 CODE(FRAME, OUT_RCX, WIDEN, CALL_WORKER, 0x74, 0xef, LEAVE), 22, 3},
		{"jump to the call", CODE(FRAME, 0x74, 6, OUT_RCX, WIDEN, CALL_WORKER, LEAVE), 22,
		 3},
		{"jump out of the function",
		 CODE(FRAME, 0x0f, 0x88, 0, 1, 0, 0, OUT_RCX, WIDEN, CALL_WORKER, LEAVE), 26, 3},
		{"computed jump", CODE(FRAME, OUT_RCX, WIDEN, CALL_WORKER, 0xff, 0xe0), 17, 3},
		{"tail jump", CODE(OUT_RCX, WIDEN, 0xe9, 0xf5, 0x0f, 0, 0), 11, 3},
		{"returns before the call", CODE(0xc3, FRAME, OUT_RCX, WIDEN, CALL_WORKER, LEAVE),
		 21, 3},
		{"does not decode", CODE(FRAME, OUT_RCX, WIDEN, CALL_WORKER, 0x06, LEAVE), 21, 3},
		{"cut off", CODE(FRAME, OUT_RCX, WIDEN, CALL_WORKER, LEAVE), 18, 3},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pair pair = {.ex = SOUND_EX,
				    .ex_len = SOUND_LEN,
				    .plain_len = cases[i].len,
				    .out_arg = cases[i].out_arg};

		memcpy(pair.plain, cases[i].code, sizeof(pair.plain));
		if (worker_of_pair(&pair) != 0)
			fail_msg("%s", cases[i].name);
	}
}

static void refuses_doubtful_ex(void **state)
{
	static const struct {
		const char *name;
		uint8_t code[CODE_MAX];
		size_t len;
	} cases[] = {
		{"empty", CODE(0), 0},
		{"calls another", CODE(FRAME, CALL_OTHER, LEAVE), 14},
		{"calls more", CODE(FRAME, CALL_WORKER, CALL_OTHER, LEAVE), 19},
		{"place of its own", CODE(FRAME, OUT_RCX, CALL_WORKER, LEAVE), 17},
		{"widens the length", CODE(FRAME, WIDEN, CALL_WORKER, LEAVE), 17},
		{"swaps arguments", CODE(FRAME, 0x48, 0x87, 0xfe, CALL_WORKER, LEAVE), 17},
		{"moves the place, adds flags",
		 CODE(FRAME, 0x49, 0x89, 0xc8, NO_FLAGS, CALL_WORKER, LEAVE), 19},
		{"tail jump", CODE(0xe9, 0xfb, 0x0e, 0, 0), 5},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pair pair = {.plain = CODE(FRAME, OUT_RCX, WIDEN, CALL_WORKER, LEAVE),
				    .plain_len = 20,
				    .ex_len = cases[i].len,
				    .out_arg = 3};

		memcpy(pair.ex, cases[i].code, sizeof(pair.ex));
		if (worker_of_pair(&pair) != 0)
			fail_msg("%s", cases[i].name);
	}
}

/* The sound pair with each byte changed in turn: another answer or the same, never a third. */
static void survives_every_byte(void **state)
{
	static const struct pair sound = {
		"sound",
		CODE(FRAME, TEST_LEN, 0x78, 0x10, OUT_RCX, WIDEN, CALL_WORKER, LEAVE, CALL_OTHER, 0xc3),
		30,
		SOUND_EX,
		SOUND_LEN,
		3};

	(void)state;
	for (size_t at = 0; at < sound.plain_len; at++) {
		for (int value = 0; value < 256; value++) {
			struct pair pair = sound;
			uint64_t got;

			pair.plain[at] = (uint8_t)value;
			got = worker_of_pair(&pair);
			assert_true(got == 0 || got == WORKER);
		}
	}
}

static void bounds_the_covers(void **state)
{
	static uint8_t code[COVER_BYTES_MAX + 1];
	static const uint8_t sound[] = CODE(FRAME, OUT_RCX, WIDEN, CALL_WORKER, LEAVE);
	uint8_t ex_code[] = SOUND_EX;
	struct cover plain = {code, COVER_BYTES_MAX, PLAIN_AT}, ex = {ex_code, SOUND_LEN, EX_AT};

	(void)state;
	memset(code, 0x90, sizeof(code));
	memcpy(code, sound, sizeof(sound));
	place(code, sizeof(sound), PLAIN_AT);
	place(ex_code, SOUND_LEN, EX_AT);
	assert_int_equal(worker_of(&plain, &ex, 3), WORKER);
	plain.len++;
	assert_int_equal(worker_of(&plain, &ex, 3), 0);
	assert_int_equal(worker_of(&plain, &ex, 99), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_worker),    cmocka_unit_test(refuses_doubtful_plain),
		cmocka_unit_test(refuses_doubtful_ex), cmocka_unit_test(survives_every_byte),
		cmocka_unit_test(bounds_the_covers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
