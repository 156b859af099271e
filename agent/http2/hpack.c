/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http2/hpack.h"

#include <malloc.h>

/* No field has this name: '?' is no token character (RFC 9110 5.6.2). */
#define UNKNOWN_NAME '?'
#define UNKNOWN_SIZE 33 /* of such an entry in the table (RFC 7541 4.1) */
/* What the default table of 4096 bytes may hold, and what the largest one may. */
#define UNKNOWN_FEW  125
#define UNKNOWN_MANY (HTTP2_TABLE_MAX / UNKNOWN_SIZE)

/* ---- memory, charged to the connection ------------------------------------------------------- */

static void *charged(size_t *held, void *p)
{
	*held += malloc_usable_size(p);
	return p;
}

static void *charge_malloc(size_t size, void *user)
{
	return charged(user, malloc(size));
}

static void *charge_calloc(size_t n, size_t size, void *user)
{
	return charged(user, calloc(n, size));
}

static void charge_free(void *p, void *user)
{
	size_t *held = user;

	*held -= malloc_usable_size(p);
	free(p);
}

static void *charge_realloc(void *p, size_t size, void *user)
{
	size_t *held = user, before = malloc_usable_size(p);
	void *grown = realloc(p, size);

	if (grown)
		*held += malloc_usable_size(grown) - before;
	return grown;
}

/* ---- one head -------------------------------------------------------------------------------- */

/* A copy in out->text; {NULL, 0} when it does not fit. */
static struct slice keep(struct http2_fields *out, struct slice s)
{
	struct slice kept = {out->text + out->len, s.len};

	if (s.len > sizeof(out->text) - out->len)
		return (struct slice){NULL, 0};
	if (s.len)
		memcpy(out->text + out->len, s.ptr, s.len);
	out->len += s.len;
	return kept;
}

static void add_field(struct http2_fields *out, struct slice name, struct slice value)
{
	struct http_field *field = &out->head.fields[out->head.count];

	if (out->head.count == HTTP_FIELDS_MAX) {
		out->head.cut = true;
		return;
	}
	field->name = keep(out, name);
	field->value = keep(out, slice_trim(value));
	if (field->name.ptr && field->value.ptr)
		out->head.count++;
	else
		out->head.cut = true;
}

static int parse_status(struct slice value)
{
	int status = 0;

	for (size_t i = 0; i < value.len; i++) {
		if (value.len != 3 || value.ptr[i] < '0' || value.ptr[i] > '9')
			return 0;
		status = status * 10 + value.ptr[i] - '0';
	}
	return status >= 100 ? status : 0;
}

/* RFC 9113 8.3; :protocol is RFC 8441, and an upgrade in HTTP/1.1's words. */
static void add_pseudo(struct http2_fields *out, struct slice name, struct slice value)
{
	struct http_head *head = &out->head;

	out->pseudo = true;
	if (slice_eq(name, SLICE(":method")))
		head->method = keep(out, value);
	else if (slice_eq(name, SLICE(":path")))
		head->target = keep(out, value);
	else if (slice_eq(name, SLICE(":status")))
		head->status = parse_status(value);
	else if (slice_eq(name, SLICE(":protocol")))
		add_field(out, SLICE("upgrade"), value);
	else if (slice_eq(name, SLICE(":authority")))
		add_field(out, SLICE("host"), value);
}

static void add(struct http2_fields *out, const nghttp2_nv *nv)
{
	struct slice name = {(const char *)nv->name, nv->namelen};
	struct slice value = {(const char *)nv->value, nv->valuelen};

	if (name.len == 1 && name.ptr[0] == UNKNOWN_NAME)
		out->pseudo = out->head.cut = true;
	else if (name.len && name.ptr[0] == ':')
		add_pseudo(out, name, value);
	else
		add_field(out, name, value);
}

static void clear(struct http2_fields *out)
{
	memset(out, 0, offsetof(struct http2_fields, text));
}

void http2_fields_unknown(struct http2_fields *out)
{
	clear(out);
	out->pseudo = out->head.cut = true;
}

/* ---- the inflater ---------------------------------------------------------------------------- */

/* One block; *out gathers its fields, unless it is NULL. 0 or an error of libnghttp2. */
static int inflate_block(nghttp2_hd_inflater *inflater, struct slice block,
			 struct http2_fields *out)
{
	int flags = 0;

	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		nghttp2_nv nv;
		ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags,
						   (const uint8_t *)block.ptr, block.len, 1);

		if (n < 0)
			return (int)n;
		block.ptr += n;
		block.len -= (size_t)n;
		if (out && flags & NGHTTP2_HD_INFLATE_EMIT)
			add(out, &nv);
	}
	return nghttp2_hd_inflate_end_headers(inflater);
}

/* A size update to HTTP2_TABLE_MAX, then `count` new entries of that name without value. */
static int insert_unknown(nghttp2_hd_inflater *inflater, size_t count)
{
	static const char entry[4] = {0x40, 1, UNKNOWN_NAME, 0};
	char block[4 + sizeof(entry) * UNKNOWN_MANY] = {0x3f};
	size_t len = 1;
	uint32_t rest = HTTP2_TABLE_MAX - 31; /* RFC 7541 5.1 */

	for (; rest >= 128; rest >>= 7)
		block[len++] = (char)(rest | 128);
	block[len++] = (char)rest;
	for (size_t i = 0; i < count; i++, len += sizeof(entry))
		memcpy(block + len, entry, sizeof(entry));
	return inflate_block(inflater, (struct slice){block, len}, NULL);
}

static int start(struct hpack *h, size_t unknown)
{
	int err;

	hpack_free(h);
	h->mem = (nghttp2_mem){&h->held, charge_malloc, charge_free, charge_calloc, charge_realloc};
	err = nghttp2_hd_inflate_new2(&h->inflater, &h->mem);
	if (!err)
		err = nghttp2_hd_inflate_change_table_size(h->inflater, HTTP2_TABLE_MAX);
	if (!err && unknown)
		err = insert_unknown(h->inflater, unknown);
	return err;
}

static int try_read(struct hpack *h, struct slice block, struct http2_fields *out)
{
	clear(out);
	return inflate_block(h->inflater, block, out);
}

enum hpack_result hpack_read(struct hpack *h, struct slice block, struct http2_fields *out)
{
	int err = h->inflater ? 0 : start(h, h->late ? UNKNOWN_FEW : 0);

	if (!err)
		err = try_read(h, block, out);
	/* A larger table than the default, or blocks that were missed. */
	if (err == NGHTTP2_ERR_HEADER_COMP) {
		h->late = true;
		err = start(h, UNKNOWN_MANY);
		if (!err)
			err = try_read(h, block, out);
	}
	if (!err)
		return HPACK_OK;
	http2_fields_unknown(out);
	hpack_lose(h);
	return err == NGHTTP2_ERR_NOMEM ? HPACK_MEMORY : HPACK_BROKEN;
}

void hpack_lose(struct hpack *h)
{
	hpack_free(h);
	h->late = true;
}

void hpack_free(struct hpack *h)
{
	if (h->inflater)
		nghttp2_hd_inflate_del(h->inflater);
	h->inflater = NULL;
}
