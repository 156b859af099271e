/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of capabilities: what each is for, on which kernels, which process holds it and
 * what is lost without it. The start, `doctor` and docs/capabilities.md all read it.
 */
#ifndef TT_CAPABILITIES_H
#define TT_CAPABILITIES_H

#include "agent/base/base.h"
#include "agent/privsep/sandbox.h"

/* What decides whether this host needs a capability. */
struct capability_facts {
	int kernel;    /* MAJOR * 100 + MINOR */
	bool multi;    /* uprobe_multi links exist (Linux 6.6) */
	bool low_port; /* a port below ip_unprivileged_port_start is listened on */
};

struct capability {
	int bit;	  /* CAP_x */
	const char *name; /* "CAP_BPF" */
	unsigned holders; /* 1 << role: has it for its whole life; 0: needed at the start only */
	bool vital;	  /* nothing is metered without it */
	int within;	  /* the wider capability that includes it; -1: none */
	bool (*needed)(const struct capability_facts *facts); /* NULL: everywhere */
	const char *needed_for;
	const char *where; /* kernels and conditions, in words */
	const char *cost;  /* what is lost without it */
};

extern const struct capability capability_table[];
extern const size_t capability_count;

/* The running kernel's facts; `multi` is guessed from its version, calibration knows better. */
void capability_facts_read(struct capability_facts *out);

/* What the role holds for its whole life on such a host. */
uint64_t capabilities_held(enum sandbox_role role, const struct capability_facts *facts);

/*
 * The rows this host needs and mask lacks, in the table's order; those that are needed at the start
 * only when at_start. A wider capability counts as what it includes. Returns how many, at most max.
 */
size_t capabilities_missing(uint64_t mask, const struct capability_facts *facts, bool at_start,
			    const struct capability **rows, size_t max);

/*
 * The name of the lowest capability in *mask, which is taken out of it; NULL when it is empty. A
 * capability younger than libcap has a number. Borrowed until the next call.
 */
const char *capability_next(uint64_t *mask);

/* Logs one line for each row that is missing at the start, with what it costs. */
void capabilities_log_missing(uint64_t mask, const struct capability_facts *facts);

/* Prints each row with whether mask has it and this host needs it; the table in Markdown. */
void capabilities_print(uint64_t mask);
void capabilities_print_markdown(void);

#endif
