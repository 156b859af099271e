/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/sockets.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "bpf/events.h"
#include "bpf/socket.skel.h"

struct sockets {
	struct socket_bpf *skel;
};

/* Data of the program itself is not shared: its maps are named after the object. */
static int share_maps(const struct socket_bpf *skel, const struct bpf_object *tls)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, skel->obj)
	{
		const struct bpf_map *theirs;
		int rc;

		if (bpf_map__is_internal(map))
			continue;
		theirs = bpf_object__find_map_by_name(tls, bpf_map__name(map));
		rc = theirs ? bpf_map__reuse_fd(map, bpf_map__fd(theirs)) : -ENOENT;
		if (rc)
			return rc;
	}
	return 0;
}

static int load(struct sockets *s, const struct bpf_object *tls, const struct port_set *ports)
{
	uint64_t secret;
	int rc;

	s->skel = socket_bpf__open();
	if (!s->skel)
		return -errno;
	if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
		return -EIO;
	s->skel->rodata->secret = secret;
	rc = share_maps(s->skel, tls);
	if (!rc)
		rc = socket_bpf__load(s->skel);
	if (!rc && madvise(s->skel->bss, sizeof(*s->skel->bss), MADV_DONTFORK))
		rc = -errno;
	if (rc)
		return rc;
	memcpy(s->skel->bss->listed_ports, ports->bits, sizeof(ports->bits));
	return socket_bpf__attach(s->skel);
}

int sockets_new(struct sockets **out, const struct bpf_object *tls, const struct port_set *ports,
		char *err, size_t err_size)
{
	struct sockets *s = calloc(1, sizeof(*s));
	int rc;

	if (!s) {
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	rc = load(s, tls, ports);
	if (rc) {
		snprintf(err, err_size,
			 "the kernel refused the programs of --plaintext.ports (%s); leave it out, "
			 "or run with --log.level=debug for the verifier's words",
			 strerror(-rc));
		sockets_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void sockets_free(struct sockets *s)
{
	if (!s)
		return;
	socket_bpf__destroy(s->skel);
	free(s);
}

void sockets_set_own(struct sockets *s, const uint32_t *tgids, size_t count)
{
	for (size_t i = 0; s && i < TT_OWN_MAX; i++)
		s->skel->bss->own_tgids[i] = i < count ? tgids[i] : 0;
}

void sockets_new_reader(struct sockets *s)
{
	if (s)
		s->skel->bss->reader_epoch++;
}
