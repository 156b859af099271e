/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring records in, chunks out. Records are validated as network data would be. The same dispatch
 * serves the live ring and a recorded file: a recording is a header and the ring's records as they
 * came (docs/recordings.md).
 */
#ifndef TT_CAPTURE_H
#define TT_CAPTURE_H

#include "agent/capture/chunk.h"

#define RECORDING_MAGIC "TOLLTAP-RECORDING-2\n"

/* Validates one record and delivers it. False: invalid (counted), nothing delivered. */
bool capture_dispatch(const struct capture_ops *ops, void *user, const void *record, size_t size);

struct capture;

/* Consumes the ring map behind ring_fd. Returns 0 or -errno. */
int capture_new(struct capture **out, int ring_fd, size_t ring_bytes, const struct capture_ops *ops,
		void *user) TT_MUST_CHECK;
void capture_free(struct capture *c);
/*
 * Poll for input, then drain. It becomes readable when the kernel wakes the reader and every 100
 * ms: small records do not wake it (bpf/emit.bpf.h), so no record waits longer than that.
 */
int capture_fd(const struct capture *c);
/*
 * Delivers what is there, at most CAPTURE_DRAIN_MAX records and for about CAPTURE_DRAIN_NS: a bomb
 * costs milliseconds a record. True when of what was there something still waits, if only for a
 * record before it that is still being written.
 */
#define CAPTURE_DRAIN_MAX 4096
#define CAPTURE_DRAIN_NS  (250 * NSEC_PER_MSEC)
bool capture_drain(struct capture *c);
/* All that the ring holds now, and little of what comes meanwhile. False when it must be asked
 * again. */
bool capture_drain_all(struct capture *c);

/*
 * Reads a recording: tells its clock, then delivers every record. Returns 0 or -errno with one line
 * in err.
 */
int recording_replay(const char *path, const struct capture_ops *ops, void *user, char *err,
		     size_t err_size) TT_MUST_CHECK;

/*
 * Writes a recording, of the ring's own records or of synthetic ones. A write error is kept and
 * told by recording_close. A chunk is cut into records as the kernel would; chunk.want must not be
 * below chunk.data.len.
 */
struct recording;

int recording_new(struct recording **out, const char *path,
		  int64_t wall_minus_mono_ns) TT_MUST_CHECK;
void recording_record(struct recording *r, const void *record, size_t size);
void recording_open(struct recording *r, const struct conn_open *open, bool candidate);
void recording_chunk(struct recording *r, const struct chunk *chunk);
void recording_may_end(struct recording *r, const struct conn_id *conn, uint64_t now_ns);
int recording_close(struct recording *r) TT_MUST_CHECK; /* 0 or -EIO; NULL is fine */

#endif
