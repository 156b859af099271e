/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/returns.h"

#include <capstone/capstone.h>

#if defined(__x86_64__)

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

/* What is known of the byte at an offset. */
struct step {
	uint32_t jump;	/* where the instruction may go on besides the next one; its own: nowhere */
	uint8_t bytes;	/* of the instruction that starts here; 0: none does */
	bool goes_on;	/* to the next instruction; a call is taken to come back */
	bool is_return; /* a plain one */
	bool target;	/* a jump or call lands here */
	bool reached;
};

struct sweep {
	struct step *steps;
	uint32_t len;
	uint32_t *stack; /* of steps reached and not followed yet */
	bool leaves;	 /* by more than plain returns: a tail jump, a computed jump */
};

/* A direct jump or call. Inside the function, it must land on an instruction. */
static void sweep_target(struct sweep *s, const cs_insn *insn, bool jumps)
{
	const cs_x86 *x86 = &insn->detail->x86;
	bool direct = x86->op_count == 1 && x86->operands[0].type == X86_OP_IMM;
	uint64_t target = direct ? (uint64_t)x86->operands[0].imm : UINT64_MAX;

	if (target < s->len) {
		s->steps[target].target = true;
		if (jumps)
			s->steps[insn->address].jump = (uint32_t)target;
	} else if (jumps) {
		s->leaves = true;
	}
}

static void sweep_insn(struct sweep *s, const cs_insn *insn)
{
	struct step *step = &s->steps[insn->address];

	step->bytes = (uint8_t)insn->size;
	step->jump = (uint32_t)insn->address;
	step->is_return = insn->id == X86_INS_RET;
	step->goes_on = !step->is_return && insn->id != X86_INS_JMP && insn->id != X86_INS_UD2;
	for (uint8_t i = 0; i < insn->detail->groups_count; i++) {
		switch (insn->detail->groups[i]) {
		case X86_GRP_RET:
		case X86_GRP_IRET:
			s->leaves |= !step->is_return;
			break;
		case X86_GRP_JUMP:
		case X86_GRP_CALL:
			sweep_target(s, insn, insn->detail->groups[i] == X86_GRP_JUMP);
			break;
		default:
			break;
		}
	}
}

static bool sweep_targets_start_instructions(const struct sweep *s)
{
	for (uint32_t i = 0; i < s->len; i++) {
		if (s->steps[i].target && !s->steps[i].bytes)
			return false;
	}
	return true;
}

static bool sweep_decode(struct sweep *s, csh decoder, const uint8_t *code)
{
	cs_insn *insn = cs_malloc(decoder);
	uint64_t address = 0;
	size_t left = s->len;
	bool ok = insn != NULL;

	while (ok && left) {
		ok = cs_disasm_iter(decoder, &code, &left, &address, insn);
		if (ok)
			sweep_insn(s, insn);
	}
	if (insn)
		cs_free(insn, 1);
	return ok && sweep_targets_start_instructions(s);
}

static void sweep_reach(struct sweep *s, uint32_t at, uint32_t *depth)
{
	if (at < s->len && s->steps[at].bytes && !s->steps[at].reached) {
		s->steps[at].reached = true;
		s->stack[(*depth)++] = at;
	}
}

/* Marks what control reaches from the start. Each step is stacked once. */
static void sweep_follow(struct sweep *s)
{
	uint32_t depth = 0;

	sweep_reach(s, 0, &depth);
	while (depth) {
		uint32_t at = s->stack[--depth];
		const struct step *step = &s->steps[at];

		if (step->goes_on)
			sweep_reach(s, at + step->bytes, &depth);
		sweep_reach(s, step->jump, &depth);
	}
}

static void sweep_end(struct sweep *s)
{
	free(s->steps);
	free(s->stack);
}

/* True with *out to be ended: every byte of the function belongs to one instruction. */
static bool sweep_begin(struct sweep *out, const uint8_t *code, size_t len)
{
	struct sweep s = {.len = (uint32_t)len};
	bool ok = false;
	csh decoder;

	if (len == 0 || len > RETURNS_FUNCTION_MAX ||
	    cs_open(CS_ARCH_X86, CS_MODE_64, &decoder) != CS_ERR_OK)
		return false;
	s.steps = calloc(len, sizeof(*s.steps));
	s.stack = calloc(len, sizeof(*s.stack));
	if (s.steps && s.stack && cs_option(decoder, CS_OPT_DETAIL, CS_OPT_ON) == CS_ERR_OK)
		ok = sweep_decode(&s, decoder, code);
	cs_close(&decoder);
	if (ok)
		*out = s;
	else
		sweep_end(&s);
	return ok;
}

bool code_decodes(const uint8_t *code, size_t len)
{
	struct sweep s;

	if (!sweep_begin(&s, code, len))
		return false;
	sweep_end(&s);
	return true;
}

/* What looks like a return and is never reached may be data. */
static size_t list_returns(const struct sweep *s, uint32_t *offsets, size_t max)
{
	size_t count = 0;

	for (uint32_t at = 0; at < s->len; at++) {
		if (!s->steps[at].is_return)
			continue;
		if (!s->steps[at].reached || count == max)
			return 0;
		offsets[count++] = at;
	}
	return count;
}

size_t returns_sweep(const uint8_t *code, size_t len, uint32_t *offsets, size_t max)
{
	size_t count = 0;
	struct sweep s;

	if (!sweep_begin(&s, code, len))
		return 0;
	if (!s.leaves) {
		sweep_follow(&s);
		count = list_returns(&s, offsets, max);
	}
	sweep_end(&s);
	return count;
}

#else

/* The entry itself, at any aligned instruction; what is simulated begins no function of interest.
 */
enum site_class site_classify(const uint8_t *code, size_t len, uint32_t *skip)
{
	(void)code;
	(void)len;
	*skip = 0;
	return SITE_SINGLE_STEPPED;
}

/* Instructions of 4 bytes each leave no place between two of them. */
bool code_decodes(const uint8_t *code, size_t len)
{
	(void)code;
	return len && len <= RETURNS_FUNCTION_MAX && len % 4 == 0;
}

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
