/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed table of requests between worker and broker, as it crosses the socket: one message of
 * a fixed size each way, at most one descriptor with the answer. A field that a kind does not name
 * is 0. Both ends are one binary, so there is no version; the broker trusts no field.
 */
#ifndef TT_REQUEST_H
#define TT_REQUEST_H

#include "agent/base/fileid.h"
#include "agent/privsep/decoder.h"
#include "agent/privsep/probes.h"
#include "bpf/events.h"

enum request_kind {
	REQUEST_HELLO,		/* -> hello, with the ring's descriptor */
	REQUEST_SETTLE,		/* what no worker has attached since HELLO is let go */
	REQUEST_LIST_HOST,	/* text, flag: provider or never */
	REQUEST_SETTLE_HOSTS,	/* those not listed since the last time are dropped */
	REQUEST_LIST_PATH,	/* text */
	REQUEST_JUDGE,		/* pid, ssl, flag: watch */
	REQUEST_FORGET_PROCESS, /* pid */
	REQUEST_COUNTERS,	/* -> counters */
	REQUEST_OPEN_PROC,	/* pid, index: enum proc_file -> descriptor */
	REQUEST_READ_EXE,	/* pid -> text */
	REQUEST_OPEN_EVENTS,	/* index: cpu -> descriptor */
	REQUEST_OPEN_SETTING,	/* text: a path of the configuration -> descriptor */
	REQUEST_OPEN_MAPPING, /* pid, start, end, text: path -> file; it becomes the current file */
	REQUEST_COUNT_KNOWN,  /* looks for the well-known files -> count */
	REQUEST_OPEN_KNOWN,   /* index -> file and text; it becomes the current file */
	REQUEST_DECIDE,	      /* of the current file, text: its path -> decided */
	REQUEST_ATTACH,	      /* of the current file, as decided -> attached, or text: why not */
	REQUEST_DETACH,	      /* index: handle */
	REQUEST_STILL_NAMED,  /* index: handle -> count: 1 when its path still names it */
	REQUEST_KINDS
};
extern const char *const request_names[REQUEST_KINDS];

#define REQUEST_TEXT_MAX 512

struct request {
	uint32_t kind;
	uint32_t seq;
	uint32_t pid;
	uint32_t index;
	uint64_t ssl;
	uint64_t start, end;
	uint32_t flag;
	uint32_t pad;
	char text[REQUEST_TEXT_MAX]; /* 0-ended */
};

/* What the worker may know of a decision; the sites stay with the broker. */
struct decided {
	uint32_t decision; /* enum decision */
	uint32_t site_class;
	uint32_t executable;
	char reason[DECODER_REASON_MAX];
	char build_id[41];
};

struct answer {
	uint32_t kind;
	uint32_t seq;
	int32_t rc; /* 0 or -errno */
	uint32_t pad;
	union {
		struct {
			struct probe_caps caps;
			uint32_t ring_bytes;
		} hello;
		struct {
			uint64_t lost[TT_LOST_REASONS];
			uint64_t stats[TT_GATE_STATS];
			uint64_t refused; /* requests refused by a check or a rate */
		} counters;
		struct {
			struct file_identity id;
			char path[REQUEST_TEXT_MAX];
		} file;
		struct decided decided;
		struct {
			int32_t handle;
			uint32_t probes;
		} attached;
		uint64_t count;
		char text[REQUEST_TEXT_MAX];
	};
};

#endif
