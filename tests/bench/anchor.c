/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaches the anchor of anchor.bpf.c to SSL_read and SSL_write of a libssl, prints `ready`,
 * consumes the ring until its stdin ends.
 *
 * usage: anchor empty|copy OBJECT LIBSSL
 */
#include <bpf/libbpf.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static int drop(void *ctx, void *data, size_t size)
{
	(void)ctx, (void)data, (void)size;
	return 0;
}

static int attach(struct bpf_object *object, const char *program, bool ret, const char *library,
		  const char *symbol)
{
	struct bpf_program *p = bpf_object__find_program_by_name(object, program);
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = symbol, .retprobe = ret);

	return p && bpf_program__attach_uprobe_opts(p, -1, library, 0, &opts) ? 0 : -1;
}

int main(int argc, char **argv)
{
	static const char *const symbols[] = {"SSL_read", "SSL_write"};
	struct bpf_object *object = argc == 4 ? bpf_object__open_file(argv[2], NULL) : NULL;
	struct ring_buffer *ring;
	char entry[32], ret[32];

	if (!object || bpf_object__load(object))
		return fprintf(stderr, "anchor: cannot load\n"), 1;
	snprintf(entry, sizeof(entry), "%s_entry", argv[1]);
	snprintf(ret, sizeof(ret), "%s_return", argv[1]);
	for (int i = 0; i < 2; i++) {
		if (attach(object, entry, false, argv[3], symbols[i]) ||
		    attach(object, ret, true, argv[3], symbols[i]))
			return fprintf(stderr, "anchor: cannot attach %s\n", symbols[i]), 1;
	}
	ring = ring_buffer__new(bpf_object__find_map_fd_by_name(object, "ring"), drop, NULL, NULL);
	printf("ready\n");
	fflush(stdout);
	for (struct pollfd in = {.fd = 0, .events = POLLIN}; poll(&in, 1, 0) == 0;) {
		ring_buffer__poll(ring, 100);
		ring_buffer__consume(ring);
	}
	return 0;
}
