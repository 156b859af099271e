/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder: a process that lives for one file. It alone reads ELF, which anyone on the host can
 * write, and it has nothing to lose: no capability, no state, no descriptor but the file and a pipe
 * to the broker, and no system call that could get more. It names the probe sites; the worker,
 * which reads other hostile bytes, never does.
 */
#ifndef TT_DECODER_H
#define TT_DECODER_H

#include "agent/discovery/decide.h"
#include "agent/privsep/ending.h"

#define DECODER_REASON_MAX 128
#define DECODER_PATH_MAX   512
#define DECODER_WALL_MS	   2000 /* then it is killed and the file is refused */

/* What is to be done with a file. */
struct decoded {
	uint32_t decision; /* enum decision */
	char reason[DECODER_REASON_MAX];
	struct probe_sites sites; /* DECISION_PROBE only */
};

/*
 * Decides about the file behind fd in a process of its own. path, under which the file is known,
 * serves the decision only. Returns 0 with *out checked (counts, ranges, every offset inside the
 * file), -ETIMEDOUT or -EBADMSG when the decoder was too slow, died or answered nonsense, -EBUSY
 * while too many hang on file systems that do not answer, or -errno. Those are kept in *ending.
 */
int decoder_run(struct ending *ending, int fd, const char *path, bool want_returns,
		struct decoded *out) TT_MUST_CHECK;

/* True when every count and offset of what a decoder wrote is in range for a file of that size. */
bool decoded_valid(const struct decoded *d, uint64_t file_bytes);

#endif
