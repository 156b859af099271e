/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the broker answers to each request of the table (request.h), and what it checks before.
 */
#ifndef TT_ANSWERS_H
#define TT_ANSWERS_H

#include "agent/privsep/allowance.h"
#include "agent/privsep/mapped.h"
#include "agent/privsep/minder.h"
#include "agent/privsep/probes.h"
#include "agent/privsep/request.h"

#define ANSWERS_SETTINGS 4

/* The file that the worker's next questions are about. */
struct current {
	int fd; /* -1: none */
	struct file_identity id;
	char path[REQUEST_TEXT_MAX]; /* of the mapping's process, or here when it is a known file */
	uint32_t pid;		     /* who maps it; 0: a known file */
	uint64_t start, end;	     /* where */
	bool decided;
	struct decoded decoded;
};

/* A file with probes. */
struct holding {
	bool used;
	bool orphan; /* of an earlier worker, not asked for by this one yet */
	struct file_identity id;
	struct mapped_file file;
	char path[REQUEST_TEXT_MAX];
};

struct answers {
	struct probes *probes;			/* borrowed */
	struct minder *minder;			/* borrowed */
	const char *settings[ANSWERS_SETTINGS]; /* serve.h */
	struct current current;			/* .fd -1 at first */
	struct holding holdings[PROBES_FILES_MAX];
	struct ending ending; /* decoders that hang */
	struct allowance allowances[REQUEST_KINDS];
	struct allowance time; /* for those that may be made slow */
	uint64_t refused;      /* requests that broke a rule */
};

/*
 * Answers one request whose sender is known to be the worker. *fd becomes a descriptor that goes
 * with the answer, the caller's to close, or -1. Blocks for at most some seconds (minder.h,
 * decoder.h, and the kernel's time for attaching).
 */
void answers_give(struct answers *s, const struct request *r, struct answer *a, int *fd);

/* A worker is gone: what was at hand was its. */
void answers_new_worker(struct answers *s);

#endif
