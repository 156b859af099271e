/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/returns.h"

#include <capstone/capstone.h>

static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};

/* Instructions that x86 Linux emulates under a uprobe (arch/x86/kernel/uprobes.c), by first bytes.
 */
static const struct emulated {
	uint8_t first, last;   /* range of the first byte */
	uint8_t first2, last2; /* range of the second byte; 0, 0xff = any */
} emulated[] = {
	{0x50, 0x57, 0, 0xff},	  /* push r */
	{0x41, 0x41, 0x50, 0x57}, /* push r8..r15 */
	{0x70, 0x7f, 0, 0xff},	  /* jcc rel8 */
	{0x0f, 0x0f, 0x80, 0x8f}, /* jcc rel32 */
	{0x90, 0x90, 0, 0xff},	  /* nop */
	{0xe8, 0xe9, 0, 0xff},	  /* call, jmp rel32 */
	{0xeb, 0xeb, 0, 0xff},	  /* jmp rel8 */
};

static bool is_emulated(const uint8_t *code, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(emulated); i++) {
		const struct emulated *e = &emulated[i];

		if (len >= 2 && code[0] >= e->first && code[0] <= e->last && code[1] >= e->first2 &&
		    code[1] <= e->last2)
			return true;
	}
	return false;
}

enum site_class site_classify(const uint8_t *code, size_t len, uint32_t *skip)
{
	*skip = 0;
	if (is_emulated(code, len))
		return SITE_EMULATED;
	if (len > sizeof(endbr64) && memcmp(code, endbr64, sizeof(endbr64)) == 0 &&
	    is_emulated(code + sizeof(endbr64), len - sizeof(endbr64))) {
		*skip = sizeof(endbr64);
		return SITE_EMULATED;
	}
	return SITE_SINGLE_STEPPED;
}

#if defined(__x86_64__)

struct sweep {
	size_t len;
	uint32_t *offsets;
	size_t max, count;
	uint8_t starts[RETURNS_FUNCTION_MAX / 8];  /* bit per byte: an instruction starts here */
	uint8_t targets[RETURNS_FUNCTION_MAX / 8]; /* bit per byte: a jump lands here */
};

static void set_bit(uint8_t *bits, size_t at)
{
	bits[at / 8] |= (uint8_t)(1u << (at % 8));
}

/* A jump must name its target, and the target must lie inside the function. */
static bool sweep_jump(struct sweep *s, const cs_insn *insn)
{
	const cs_x86 *x86 = &insn->detail->x86;

	if (x86->op_count != 1 || x86->operands[0].type != X86_OP_IMM ||
	    (uint64_t)x86->operands[0].imm >= s->len)
		return false;
	set_bit(s->targets, (size_t)x86->operands[0].imm);
	return true;
}

/* False: the function cannot be swept safely. */
static bool sweep_insn(struct sweep *s, const cs_insn *insn)
{
	set_bit(s->starts, insn->address);
	if (insn->id == X86_INS_RET) {
		if (s->count == s->max)
			return false;
		s->offsets[s->count++] = (uint32_t)insn->address;
		return true;
	}
	for (uint8_t i = 0; i < insn->detail->groups_count; i++) {
		switch (insn->detail->groups[i]) {
		case X86_GRP_RET:
		case X86_GRP_IRET:
			return false;
		case X86_GRP_JUMP:
			return sweep_jump(s, insn);
		default:
			break;
		}
	}
	return true;
}

static bool sweep_targets_start_instructions(const struct sweep *s)
{
	for (size_t i = 0; i < sizeof(s->starts); i++) {
		if (s->targets[i] & ~s->starts[i])
			return false;
	}
	return true;
}

static bool sweep_run(struct sweep *s, csh decoder, const uint8_t *code)
{
	cs_insn *insn = cs_malloc(decoder);
	uint64_t address = 0;
	size_t left = s->len;
	bool ok = insn != NULL;

	while (ok && left)
		ok = cs_disasm_iter(decoder, &code, &left, &address, insn) && sweep_insn(s, insn);
	if (insn)
		cs_free(insn, 1);
	return ok && sweep_targets_start_instructions(s);
}

size_t returns_sweep(const uint8_t *code, size_t len, uint32_t *offsets, size_t max)
{
	struct sweep s = {.len = len, .offsets = offsets, .max = max};
	csh decoder;
	bool ok;

	if (len == 0 || len > RETURNS_FUNCTION_MAX ||
	    cs_open(CS_ARCH_X86, CS_MODE_64, &decoder) != CS_ERR_OK)
		return 0;
	ok = cs_option(decoder, CS_OPT_DETAIL, CS_OPT_ON) == CS_ERR_OK &&
	     sweep_run(&s, decoder, code);
	cs_close(&decoder);
	return ok ? s.count : 0;
}

#else

/* No decoder for this machine: return sites are never offered. */
size_t returns_sweep(const uint8_t *code, size_t len, uint32_t *offsets, size_t max)
{
	(void)code;
	(void)len;
	(void)offsets;
	(void)max;
	return 0;
}

#endif
