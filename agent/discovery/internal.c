/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/internal.h"

#if defined(__x86_64__)

#include <capstone/capstone.h>

#define ARGS 6

/* The registers of the integer arguments, whole and in parts (System V AMD64 ABI, 3.2.3). */
static const x86_reg arg_regs[ARGS][5] = {
	{X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL},
	{X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL},
	{X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH},
	{X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH},
	{X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B},
	{X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B},
};

/* What an argument register holds at the call. */
enum held {
	HELD_ARG,     /* what the caller passed in it */
	HELD_WIDENED, /* the low half of that */
	HELD_STACK,   /* an address in the frame */
	HELD_OTHER,
};

/* What is known of a cover when its sweep has ended. */
struct sweep {
	const struct cover *cover;
	csh decoder;
	enum held held[ARGS]; /* when the first call is reached */
	uint64_t callee;      /* of the first call; 0: none yet */
	uint64_t call_at;
	uint64_t lowest_target; /* of all jumps */
	uint32_t calls, callee_calls;
};

static int arg_of(uint16_t reg)
{
	for (int arg = 0; arg < ARGS; arg++) {
		for (size_t i = 0; i < ARRAY_LEN(arg_regs[arg]); i++) {
			if (reg != X86_REG_INVALID && arg_regs[arg][i] == reg)
				return arg;
		}
	}
	return -1;
}

/* What argument register arg holds after an instruction that writes to it. */
static enum held held_after(const struct sweep *s, const cs_insn *insn, int arg)
{
	const cs_x86_op *to = &insn->detail->x86.operands[0], *from = to + 1;
	bool moves = insn->id == X86_INS_MOV || insn->id == X86_INS_MOVSXD;

	if (insn->detail->x86.op_count != 2 || to->type != X86_OP_REG)
		return HELD_OTHER;
	if (insn->id == X86_INS_LEA && to->size == 8 && from->mem.segment == X86_REG_INVALID &&
	    from->mem.index == X86_REG_INVALID &&
	    (from->mem.base == X86_REG_RSP || from->mem.base == X86_REG_RBP))
		return HELD_STACK;
	if (!moves || from->type != X86_OP_REG)
		return HELD_OTHER;
	if (from->reg == X86_REG_RSP && to->size == 8)
		return HELD_STACK;
	return to->size >= 4 && from->size == 4 && arg_of(from->reg) == arg &&
			       s->held[arg] <= HELD_WIDENED
		       ? HELD_WIDENED
		       : HELD_OTHER;
}

static bool sweep_before_call(struct sweep *s, const cs_insn *insn)
{
	cs_regs reads, writes;
	uint8_t read_count, write_count;

	if (cs_insn_group(s->decoder, insn, X86_GRP_RET) ||
	    cs_insn_group(s->decoder, insn, X86_GRP_INT) ||
	    cs_regs_access(s->decoder, insn, reads, &read_count, writes, &write_count) != CS_ERR_OK)
		return false;
	for (uint8_t i = 0; i < write_count; i++) {
		int arg = arg_of(writes[i]);

		if (arg >= 0)
			s->held[arg] = held_after(s, insn, arg);
	}
	return true;
}

/* The address that a direct call or jump leads to; 0 for any other. */
static uint64_t target_of(const cs_insn *insn)
{
	const cs_x86 *x86 = &insn->detail->x86;

	return x86->op_count == 1 && x86->operands[0].type == X86_OP_IMM
		       ? (uint64_t)x86->operands[0].imm
		       : 0;
}

static bool sweep_call(struct sweep *s, const cs_insn *insn)
{
	uint64_t target = target_of(insn);

	s->calls++;
	if (!s->callee) {
		s->callee = target;
		s->call_at = insn->address;
	}
	s->callee_calls += target == s->callee;
	return s->callee != 0;
}

/* Before the call only conditional jumps; everywhere only such as stay in the function. */
static bool sweep_jump(struct sweep *s, const cs_insn *insn)
{
	uint64_t target = target_of(insn);

	if (target < s->cover->address || target - s->cover->address >= s->cover->len ||
	    (!s->callee && insn->id == X86_INS_JMP))
		return false;
	if (target < s->lowest_target)
		s->lowest_target = target;
	return true;
}

static bool sweep_insn(struct sweep *s, const cs_insn *insn)
{
	if (cs_insn_group(s->decoder, insn, X86_GRP_CALL))
		return sweep_call(s, insn);
	if (cs_insn_group(s->decoder, insn, X86_GRP_JUMP))
		return sweep_jump(s, insn);
	return s->callee || sweep_before_call(s, insn);
}

/* False: no cover. */
static bool sweep_run(struct sweep *s)
{
	cs_insn *insn = cs_malloc(s->decoder);
	const uint8_t *code = s->cover->code;
	uint64_t address = s->cover->address;
	size_t left = s->cover->len;
	bool ok = insn != NULL;

	while (ok && left)
		ok = cs_disasm_iter(s->decoder, &code, &left, &address, insn) &&
		     sweep_insn(s, insn);
	if (insn)
		cs_free(insn, 1);
	return ok && s->callee_calls == 1 && s->lowest_target > s->call_at &&
	       (s->callee < s->cover->address || s->callee - s->cover->address >= s->cover->len);
}

static bool sweep_cover(struct sweep *s, csh decoder, const struct cover *cover)
{
	*s = (struct sweep){.cover = cover, .decoder = decoder, .lowest_target = UINT64_MAX};
	return cover->len <= COVER_BYTES_MAX && sweep_run(s);
}

static bool passes_on(const struct sweep *s, uint32_t args)
{
	for (uint32_t arg = 0; arg < args; arg++) {
		if (s->held[arg] != HELD_ARG)
			return false;
	}
	return true;
}

static uint64_t find_worker(csh decoder, const struct cover *plain, const struct cover *ex,
			    uint32_t out_arg)
{
	struct sweep p, e;

	if (cs_option(decoder, CS_OPT_DETAIL, CS_OPT_ON) != CS_ERR_OK ||
	    !sweep_cover(&p, decoder, plain) || !sweep_cover(&e, decoder, ex))
		return 0;
	if (!passes_on(&p, 2) || p.held[2] > HELD_WIDENED || p.held[out_arg] != HELD_STACK ||
	    !passes_on(&e, out_arg + 1) || e.calls != 1 || p.callee != e.callee)
		return 0;
	return p.callee;
}

uint64_t worker_of(const struct cover *plain, const struct cover *ex, uint32_t out_arg)
{
	uint64_t worker;
	csh decoder;

	if (out_arg >= ARGS || cs_open(CS_ARCH_X86, CS_MODE_64, &decoder) != CS_ERR_OK)
		return 0;
	worker = find_worker(decoder, plain, ex, out_arg);
	cs_close(&decoder);
	return worker;
}

#else

/* No decoder for this machine: the covers are probed. */
uint64_t worker_of(const struct cover *plain, const struct cover *ex, uint32_t out_arg)
{
	(void)plain;
	(void)ex;
	(void)out_arg;
	return 0;
}

#endif
