/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probe sites: where in a file each hook's arguments are intact, and where its result is known. A
 * hook resolves to sites, not to a symbol, so that cheaper or safer places can be chosen later
 * without touching the kernel programs. Offsets are file offsets, as uprobes want them.
 */
#ifndef TT_SITES_H
#define TT_SITES_H

#include "agent/base/base.h"

enum hook {
	HOOK_WRITE,
	HOOK_READ,
	HOOK_WRITE_EX,
	HOOK_READ_EX,
	HOOK_FREE,
	HOOK_CLEAR,
	HOOK_CTRL,
	HOOK_WRITE_EX2, /* OpenSSL 3.3: flags as the 4th argument, the length behind the 5th */
	HOOKS
};
extern const char *const hook_symbols[HOOKS]; /* "SSL_write", ... */

/* What the CPU must do at the site; decides its price (docs/performance.md). */
enum site_class {
	SITE_EMULATED,	     /* push, jmp, jcc, call, nop: the kernel emulates the instruction */
	SITE_SINGLE_STEPPED, /* anything else */
	SITE_CLASSES
};
extern const char *const site_class_names[SITE_CLASSES];

#define SITE_RETURNS_MAX 32 /* more ret instructions in one function: refused */
#define SITES_MAX	 HOOKS

struct probe_site {
	enum hook hook;
	enum site_class class_;
	uint64_t entry;	       /* file offset of the entry site */
	uint64_t function;     /* file offset of the function itself (for return hooks) */
	uint32_t size;	       /* bytes of the function */
	uint32_t return_count; /* ret sites found by a sweep that ended exactly at the end */
	uint64_t returns[SITE_RETURNS_MAX]; /* file offsets of ret instructions */
};

enum sites_refusal {
	SITES_FOUND,
	SITES_NOT_ELF,
	SITES_WRONG_MACHINE,
	SITES_NO_SYMBOLS, /* no SSL_read/SSL_write in .dynsym or .symtab */
	SITES_MALFORMED,  /* bounds, loops or sizes that lie */
	SITES_TOO_LARGE,
	/* From here on the functions are there, but a probe might hit the midst of an instruction.
	 */
	SITES_INDIRECT,		/* one is chosen by the dynamic linker among several (IFUNC) */
	SITES_AMBIGUOUS,	/* one name is defined twice: versions, or two local functions */
	SITES_BOUNDS_UNKNOWN,	/* no size, neither in the symbol nor in the unwind table */
	SITES_BOUNDS_DISAGREE,	/* symbols or unwind table say that another function is there */
	SITES_CODE_NOT_DECODED, /* see code_decodes in returns.h */
	SITES_REFUSALS
};
extern const char *const sites_refusal_names[SITES_REFUSALS];

/* True when the file has the functions, and is refused for their sake. */
static inline bool sites_refused_for_safety(enum sites_refusal refusal)
{
	return refusal >= SITES_INDIRECT;
}

struct probe_sites {
	struct probe_site site[SITES_MAX];
	size_t count;
	char build_id[41]; /* hex; "" = none */
	char soname[64];   /* DT_SONAME; "" = an executable */
	bool executable;   /* something exec can start, not a library */
};

/*
 * Reads symbols of the ELF file behind fd (bounded, hostile input expected) and fills *out. No
 * function is probed unless its bounds are known, nothing contradicts them, and a real decoder goes
 * through it and ends exactly at its end; one that is not so refuses the file, since half of its
 * hooks would miss calls in silence. want_returns asks for the ret sites; a function that does not
 * leave by plain returns alone gets return_count 0. Without it a hook may sit
 * at an internal function of the same arguments that covers other hooks too, which are then left
 * out (agent/discovery/internal.h): one of READ and READ_EX is always there, and one WRITE*.
 */
enum sites_refusal sites_find(int fd, bool want_returns, struct probe_sites *out) TT_MUST_CHECK;

/* The dearest class among the sites of reads and writes: what each call of this file costs. */
enum site_class sites_class(const struct probe_sites *sites);

#endif
