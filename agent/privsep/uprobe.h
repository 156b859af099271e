/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arming one BPF program on sites of one file, by the kernel's own interfaces: libbpf 1.1 knows no
 * multi or session links. Every probe lives exactly as long as its fd, so a dead agent leaves none.
 */
#ifndef TT_UPROBE_H
#define TT_UPROBE_H

#include "agent/privsep/probes.h"

struct uprobe_spec {
	int prog_fd;
	int file_fd; /* any fd of the file, O_PATH too; deleted files and containers work */
	const uint64_t *offsets;
	size_t count;
	bool on_return; /* uretprobe; a session program covers both ends without it */
};

/* The expected_attach_type a program must be loaded with for this kind of link. */
uint32_t uprobe_attach_type(enum attach_kind kind);

/*
 * Arms all sites and stores the fds that hold them: one link, or one perf event per site. fds must
 * have room for spec->count. Returns how many fds, or -errno with nothing armed.
 */
int uprobe_arm(enum attach_kind kind, const struct uprobe_spec *spec, int *fds) TT_MUST_CHECK;

#endif
