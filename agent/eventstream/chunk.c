/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/eventstream/chunk.h"

#include "agent/json/scan.h"

#include <errno.h>
#include <nettle/base64.h>

#define PART_MAX 512 /* base64 that is decoded at once */

struct chunk_reader {
	void (*bytes)(void *user, struct slice piece);
	void *user;
	struct json_scan *scan;
	struct base64_decode_ctx base64;
	enum json_result json;
	bool broken; /* what stands in "bytes" is no base64 */
};

/* What stands before the first character that is none is told, wherever the part was cut. */
static void decode_part(struct chunk_reader *r, struct slice part)
{
	uint8_t out[PART_MAX];
	size_t n = 0;

	for (size_t i = 0; i < part.len && !r->broken; i++) {
		int decoded = base64_decode_single(&r->base64, out + n, part.ptr[i]);

		if (decoded < 0)
			r->broken = true;
		else
			n += (size_t)decoded;
	}
	if (n)
		r->bytes(r->user, (struct slice){(const char *)out, n});
}

static void on_piece(void *user, size_t path, struct slice piece)
{
	struct chunk_reader *r = user;

	(void)path;
	while (piece.len && !r->broken) {
		size_t n = piece.len < PART_MAX ? piece.len : PART_MAX;

		decode_part(r, (struct slice){piece.ptr, n});
		piece.ptr += n;
		piece.len -= n;
	}
}

/* The text is over; a second one of the same name would begin anew. */
static void on_value(void *user, const struct json_value *v)
{
	struct chunk_reader *r = user;

	if (v->type != JSON_STRING || !base64_decode_final(&r->base64))
		r->broken = true;
	base64_decode_init(&r->base64);
}

static const struct json_ops ops = {.value = on_value, .piece = on_piece};

int chunk_reader_new(struct chunk_reader **out, void (*bytes)(void *user, struct slice piece),
		     void *user)
{
	static const char *const wanted[] = {"bytes~"};
	struct chunk_reader *r = calloc(1, sizeof(*r));
	struct json_paths *paths = NULL;
	int err = -ENOMEM;

	if (!r)
		return err;
	r->bytes = bytes;
	r->user = user;
	err = json_paths_new(&paths, wanted, ARRAY_LEN(wanted));
	if (!err)
		err = json_scan_new(&r->scan, paths, &ops, r);
	json_paths_free(paths); /* the scanner keeps it */
	if (err) {
		chunk_reader_free(r);
		return err;
	}
	chunk_reader_begin(r);
	*out = r;
	return 0;
}

void chunk_reader_free(struct chunk_reader *r)
{
	if (!r)
		return;
	json_scan_free(r->scan);
	explicit_bzero(&r->base64, sizeof(r->base64));
	free(r);
}

void chunk_reader_begin(struct chunk_reader *r)
{
	json_scan_reset(r->scan);
	base64_decode_init(&r->base64);
	r->json = JSON_MORE;
	r->broken = false;
}

void chunk_reader_feed(struct chunk_reader *r, struct slice piece)
{
	r->json = json_scan_feed(r->scan, piece);
}

bool chunk_reader_end(const struct chunk_reader *r)
{
	return r->json == JSON_DONE && !r->broken;
}

size_t chunk_reader_memory(const struct chunk_reader *r)
{
	return r ? sizeof(*r) + json_scan_memory(r->scan) : 0;
}
