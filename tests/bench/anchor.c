/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaches the anchor of anchor.bpf.c to a libssl, at the entries of SSL_read and SSL_write or at
 * the sites that Tolltap chooses; prints `ready`; consumes the ring until its stdin ends.
 *
 * usage: anchor empty|copy entry|site OBJECT LIBSSL
 */
#include "agent/discovery/sites.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

static int drop(void *ctx, void *data, size_t size)
{
	(void)ctx, (void)data, (void)size;
	return 0;
}

/* The site of the plain function; where another stands for it, that one. */
static const struct probe_site *site_of(const struct probe_sites *sites, enum hook plain,
					enum hook other)
{
	const struct probe_site *found = NULL;

	for (size_t i = 0; i < sites->count; i++) {
		const struct probe_site *site = &sites->site[i];

		if (site->hook == plain || (site->hook == other && !found))
			found = site;
	}
	return found;
}

static int attach(struct bpf_object *object, const char *kind, const char *when,
		  const struct probe_site *site, const char *library)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .retprobe = strcmp(when, "return") == 0);
	struct bpf_program *program;
	char name[32];

	snprintf(name, sizeof(name), "%s_%s", kind, when);
	program = bpf_object__find_program_by_name(object, name);
	return program && bpf_program__attach_uprobe_opts(program, -1, library, site->entry, &opts)
		       ? 0
		       : -1;
}

/* Loads for functions of this kind. */
static struct bpf_object *load(const char *path, bool behind_pointer)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	int value = behind_pointer;
	struct bpf_map *map;

	if (!object)
		return NULL;
	map = bpf_object__find_map_by_name(object, ".rodata");
	if (!map || bpf_map__set_initial_value(map, &value, sizeof(value)) ||
	    bpf_object__load(object))
		return NULL;
	return object;
}

int main(int argc, char **argv)
{
	const struct probe_site *ends[2];
	struct ring_buffer *ring;
	struct bpf_object *object;
	struct probe_sites sites;
	int fd;

	if (argc != 5)
		return fprintf(stderr, "usage: anchor empty|copy entry|site OBJECT LIBSSL\n"), 2;
	fd = open(argv[4], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || sites_find(fd, strcmp(argv[2], "entry") == 0, &sites) != SITES_FOUND)
		return fprintf(stderr, "anchor: no sites in %s\n", argv[4]), 1;
	ends[0] = site_of(&sites, HOOK_READ, HOOK_READ_EX);
	ends[1] = site_of(&sites, HOOK_WRITE, HOOK_WRITE_EX);
	if (!ends[0] || !ends[1])
		return fprintf(stderr, "anchor: a direction has no site\n"), 1;
	object = load(argv[3], ends[0]->hook == HOOK_READ_EX);
	if (!object)
		return fprintf(stderr, "anchor: cannot load\n"), 1;
	for (int i = 0; i < 2; i++) {
		if (attach(object, argv[1], "return", ends[i], argv[4]) ||
		    attach(object, argv[1], "entry", ends[i], argv[4]))
			return fprintf(stderr, "anchor: cannot attach\n"), 1;
	}
	ring = ring_buffer__new(bpf_object__find_map_fd_by_name(object, "ring"), drop, NULL, NULL);
	printf("ready %s\n", site_class_names[ends[0]->class_]);
	fflush(stdout);
	for (struct pollfd in = {.fd = 0, .events = POLLIN}; poll(&in, 1, 0) == 0;) {
		ring_buffer__poll(ring, 100);
		ring_buffer__consume(ring);
	}
	return 0;
}
