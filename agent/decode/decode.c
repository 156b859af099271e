/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/decode/decode.h"
#include "agent/decode/coding.h"

#include <errno.h>

static const struct coding *const codings[] = {
	&coding_gzip, &coding_x_gzip, &coding_deflate, &coding_br, &coding_zstd,
};

/* One coding of the stack; what it gives goes to the layer after it, or to the sink. */
struct layer {
	const struct coding *coding;
	void *state;
	struct decode *owner;
	struct layer *next; /* NULL: the sink */
	struct coding_budget budget;
	uint64_t out_bytes;
};

struct decode {
	decode_out sink;
	void *user;
	enum decode_result result;
	uint64_t in_bytes; /* of the wire, as far as the first layer took them */
	size_t count;
	struct layer layers[DECODE_STACK_MAX]; /* in the order they are undone */
};

static const struct coding *find_coding(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
		if (slice_ieq(name, slice_of(codings[i]->name)))
			return codings[i];
	}
	return NULL;
}

/* Cuts the last item off a comma-separated list: codings are undone from the last applied. */
static struct slice take_last(struct slice *list)
{
	size_t at = list->len;
	struct slice item;

	while (at && list->ptr[at - 1] != ',')
		at--;
	item = (struct slice){list->ptr + at, list->len - at};
	list->len = at ? at - 1 : 0;
	return slice_trim(item);
}

static int add_layer(struct decode *d, struct slice name)
{
	const struct coding *coding = find_coding(name);
	struct layer *layer = &d->layers[d->count];

	if (!coding || d->count == DECODE_STACK_MAX)
		return -ENOTSUP;
	layer->coding = coding;
	layer->owner = d;
	layer->budget.max = CODING_MEMORY_MAX;
	layer->state = coding->open(&layer->budget);
	if (!layer->state)
		return -ENOMEM;
	if (d->count)
		layer[-1].next = layer;
	d->count++;
	return 0;
}

static void decode_freep(struct decode **d)
{
	decode_free(*d);
}

int decode_new(struct decode **out, struct slice content_encoding, decode_out sink, void *user)
{
	_cleanup_(decode_freep) struct decode *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->sink = sink;
	d->user = user;
	while (content_encoding.len) {
		struct slice name = take_last(&content_encoding);
		int err;

		if (!name.len || slice_ieq(name, SLICE("identity")))
			continue;
		err = add_layer(d, name);
		if (err)
			return err;
	}
	*out = TAKE_PTR(d);
	return 0;
}

void decode_free(struct decode *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->count; i++)
		d->layers[i].coding->close(d->layers[i].state);
	free(d);
}

static enum decode_result run_layer(struct layer *layer, struct slice bytes);

static enum decode_result deliver(struct layer *layer, struct slice piece)
{
	struct decode *d = layer->owner;

	layer->out_bytes += piece.len;
	if (layer->out_bytes > DECODE_RATIO_MAX * d->in_bytes + DECODE_RATIO_SLACK)
		return DECODE_BOMB;
	if (layer->next)
		return run_layer(layer->next, piece);
	d->sink(d->user, piece);
	return DECODE_OK;
}

/* Until all input is taken and all output that it gives is out. */
static enum decode_result run_layer(struct layer *layer, struct slice bytes)
{
	struct decode *d = layer->owner;
	char out[DECODE_OUT_PIECE];
	enum coding_step step;

	do {
		struct slice rest = bytes;
		size_t produced = 0;
		enum decode_result result;

		step = layer->coding->step(layer->state, &rest, out, sizeof(out), &produced);
		if (layer == d->layers)
			d->in_bytes += bytes.len - rest.len;
		bytes = rest;
		result = produced ? deliver(layer, (struct slice){out, produced}) : DECODE_OK;
		if (result != DECODE_OK)
			return result;
	} while (step == CODING_AGAIN);
	if (step == CODING_BROKEN)
		return layer->budget.refused ? DECODE_BOMB : DECODE_BROKEN;
	return step == CODING_LIMIT ? DECODE_BOMB : DECODE_OK;
}

enum decode_result decode_feed(struct decode *d, struct slice bytes)
{
	if (d->result != DECODE_OK || !bytes.len)
		return d->result;
	if (d->count)
		d->result = run_layer(d->layers, bytes);
	else
		d->sink(d->user, bytes);
	return d->result;
}

size_t decode_memory(const struct decode *d)
{
	size_t total = sizeof(*d);

	for (size_t i = 0; i < d->count; i++)
		total += d->layers[i].coding->memory(d->layers[i].state, &d->layers[i].budget);
	return total;
}
