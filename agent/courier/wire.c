/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/courier/wire.h"

_Static_assert(sizeof(struct courier_request) == 16 + COURIER_KEY_MAX, "no padding");
_Static_assert(sizeof(struct courier_answer) ==
		       24 + COURIER_TEXTS * COURIER_TEXT_MAX +
			       COURIER_TAGS_MAX * sizeof(struct courier_tag),
	       "no padding");

static bool is_container_id(struct slice key)
{
	return slice_is_hex(key, COURIER_CONTAINER_ID);
}

static bool (*const key_ok[COURIER_KINDS])(struct slice key) = {
	[COURIER_CONTAINER] = is_container_id,
};

static bool may_have_texts(uint32_t result)
{
	return result == COURIER_FOUND || result == COURIER_FORBIDDEN;
}

/* As slice_copy leaves a text: clean, ended inside the field, zeros behind. */
static bool text_ok(const char *text, size_t size)
{
	size_t len = strnlen(text, size);
	char clean[COURIER_TEXT_MAX];

	if (len == size || !slice_copy(clean, sizeof(clean), (struct slice){text, len}) ||
	    memcmp(clean, text, len) != 0)
		return false;
	for (size_t i = len; i < size; i++) {
		if (text[i] != '\0')
			return false;
	}
	return true;
}
_Static_assert(COURIER_KEY_MAX <= COURIER_TEXT_MAX && COURIER_TAG_KEY_MAX <= COURIER_TEXT_MAX,
	       "text_ok compares keys too");

bool courier_request_make(struct courier_request *out, uint64_t id, enum courier_kind kind,
			  struct slice key)
{
	if (kind >= COURIER_KINDS || key.len >= COURIER_KEY_MAX || !key_ok[kind](key))
		return false;
	*out = (struct courier_request){.id = id, .kind = kind};
	memcpy(out->key, key.ptr, key.len);
	return true;
}

void courier_answer_make(struct courier_answer *out, const struct courier_request *to,
			 enum courier_result result)
{
	*out = (struct courier_answer){.id = to->id, .kind = to->kind, .result = result};
}

void courier_answer_text(struct courier_answer *answer, enum courier_text which, struct slice text)
{
	memset(answer->text[which], 0, COURIER_TEXT_MAX);
	slice_copy(answer->text[which], COURIER_TEXT_MAX, text);
}

void courier_answer_tag(struct courier_answer *answer, struct slice key, struct slice value)
{
	struct courier_tag tag = {0};
	uint32_t i = 0;

	slice_copy(tag.key, sizeof(tag.key), key);
	slice_copy(tag.value, sizeof(tag.value), value);
	while (i < answer->tag_count && strcmp(answer->tag[i].key, tag.key) != 0)
		i++;
	if (i == COURIER_TAGS_MAX || !tag.key[0] || !tag.value[0])
		return;
	answer->tag[i] = tag;
	answer->tag_count += i == answer->tag_count;
}

void courier_answer_take(struct courier_answer *answer, const struct courier_answer *from)
{
	uint64_t id = answer->id;
	uint32_t kind = answer->kind;

	*answer = *from;
	answer->id = id;
	answer->kind = kind;
	answer->result = COURIER_FOUND;
}

bool courier_request_read(struct courier_request *out, struct slice datagram)
{
	struct courier_request request;

	if (datagram.len != sizeof(request))
		return false;
	memcpy(&request, datagram.ptr, sizeof(request));
	if (request.kind >= COURIER_KINDS || request.zero != 0 ||
	    !text_ok(request.key, sizeof(request.key)) ||
	    !key_ok[request.kind](slice_of(request.key)))
		return false;
	*out = request;
	return true;
}

static bool tag_ok(const struct courier_answer *answer, uint32_t which)
{
	const struct courier_tag *tag = &answer->tag[which];

	if (!tag->key[0] || !tag->value[0] || !text_ok(tag->key, sizeof(tag->key)) ||
	    !text_ok(tag->value, sizeof(tag->value)))
		return false;
	for (uint32_t i = 0; i < which; i++) {
		if (!memcmp(answer->tag[i].key, tag->key, sizeof(tag->key)))
			return false;
	}
	return true;
}

/* So many tags of different keys, and nothing behind them. */
static bool tags_ok(const struct courier_answer *answer)
{
	static const struct courier_tag none;

	if (answer->tag_count > COURIER_TAGS_MAX || answer->ignored > 1 ||
	    (answer->result != COURIER_FOUND && (answer->tag_count || answer->ignored)))
		return false;
	for (uint32_t i = 0; i < COURIER_TAGS_MAX; i++) {
		if (i < answer->tag_count ? !tag_ok(answer, i)
					  : memcmp(&answer->tag[i], &none, sizeof(none)) != 0)
			return false;
	}
	return true;
}

bool courier_answer_read(struct courier_answer *out, struct slice datagram)
{
	struct courier_answer answer;

	if (datagram.len != sizeof(answer))
		return false;
	memcpy(&answer, datagram.ptr, sizeof(answer));
	if (answer.kind >= COURIER_KINDS || answer.result >= COURIER_WIRE_RESULTS)
		return false;
	for (size_t i = 0; i < COURIER_TEXTS; i++) {
		if (!text_ok(answer.text[i], COURIER_TEXT_MAX) ||
		    (answer.text[i][0] && !may_have_texts(answer.result)))
			return false;
	}
	if (!tags_ok(&answer))
		return false;
	/* What is found has a name: an empty one would be asked for for ever. */
	if (answer.result == COURIER_FOUND && answer.text[COURIER_NAME][0] == '\0')
		return false;
	*out = answer;
	return true;
}
