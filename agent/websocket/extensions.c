/* SPDX-License-Identifier: Apache-2.0 */
/* Sec-WebSocket-Extensions of an answer (RFC 6455 9.1, RFC 7692 7.1). */
#include "agent/websocket/websocket.h"

/* Cuts the first item off a list. */
static struct slice take_item(struct slice *list, char separator)
{
	const char *end = list->len ? memchr(list->ptr, separator, list->len) : NULL;
	struct slice item = {list->ptr, end ? (size_t)(end - list->ptr) : list->len};
	size_t used = end ? item.len + 1 : item.len;

	list->ptr += used;
	list->len -= used;
	return slice_trim(item);
}

static bool read_parameter(struct slice text, struct ws_deflate out[WS_SIDES])
{
	struct slice name = take_item(&text, '=');

	if (slice_ieq(name, SLICE("client_no_context_takeover")))
		out[WS_CLIENT].takeover = false;
	else if (slice_ieq(name, SLICE("server_no_context_takeover")))
		out[WS_SERVER].takeover = false;
	else /* a smaller window is read as the largest */
		return slice_ieq(name, SLICE("client_max_window_bits")) ||
		       slice_ieq(name, SLICE("server_max_window_bits"));
	return true;
}

static bool read_extension(struct slice text, struct ws_deflate out[WS_SIDES])
{
	struct slice name = take_item(&text, ';');

	if (!name.len && !text.len)
		return true;
	if (!slice_ieq(name, SLICE("permessage-deflate")) || out[WS_CLIENT].on)
		return false;
	for (int side = 0; side < WS_SIDES; side++)
		out[side] = (struct ws_deflate){.on = true, .takeover = true};
	while (text.len) {
		if (!read_parameter(take_item(&text, ';'), out))
			return false;
	}
	return true;
}

bool ws_extensions(struct slice field, struct ws_deflate out[WS_SIDES])
{
	memset(out, 0, WS_SIDES * sizeof(*out));
	while (field.len) {
		if (!read_extension(take_item(&field, ','), out))
			return false;
	}
	return true;
}
