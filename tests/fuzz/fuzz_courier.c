/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What worker and courier read of each other, a container engine's list and a kubelet's; the first
 * byte picks which. What is taken as a datagram is one that its sender's half makes again, byte by
 * byte.
 */
#include "agent/courier/containers.h"
#include "tests/fuzz/fuzz.h"

static void on_request(struct slice datagram)
{
	struct courier_request request, again;

	if (!courier_request_read(&request, datagram))
		return;
	must_hold(courier_request_make(&again, request.id, (enum courier_kind)request.kind,
				       slice_of(request.key)));
	must_hold(memcmp(&again, datagram.ptr, sizeof(again)) == 0);
}

static void on_answer(struct slice datagram)
{
	struct courier_answer answer, again;
	struct courier_request to = {0};

	if (!courier_answer_read(&answer, datagram))
		return;
	to.id = answer.id;
	to.kind = answer.kind;
	courier_answer_make(&again, &to, (enum courier_result)answer.result);
	for (int i = 0; i < COURIER_TEXTS; i++)
		courier_answer_text(&again, (enum courier_text)i, slice_of(answer.text[i]));
	again.ignored = answer.ignored;
	for (uint32_t i = 0; i < answer.tag_count; i++)
		courier_answer_tag(&again, slice_of(answer.tag[i].key),
				   slice_of(answer.tag[i].value));
	must_hold(memcmp(&again, datagram.ptr, sizeof(again)) == 0);
}

static char *const wanted[] = {(char[]){"app=app"}};
static const struct label_rules rules = {wanted, 1};

/* Whatever the engine says, the answer is one that the worker takes. */
static void on_list(struct slice json)
{
	static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct courier_request to;
	struct courier_answer answer, read;
	bool broken = false;

	must_hold(courier_request_make(&to, 1, COURIER_CONTAINER, SLICE(id)));
	courier_answer_make(&answer, &to, COURIER_FOUND);
	if (!containers_parse(json, id, &rules, &answer, &broken))
		return;
	must_hold(!broken);
	must_hold(
		courier_answer_read(&read, (struct slice){(const char *)&answer, sizeof(answer)}));
}

static void on_pods(struct slice json)
{
	struct pod_list list;
	struct courier_answer read;

	if (pods_parse(&list, json, &rules))
		return;
	for (size_t i = 0; i < list.count; i++)
		must_hold(courier_answer_read(
			&read, (struct slice){(const char *)&list.item[i].facts, sizeof(read)}));
	pods_free(&list);
}

static void (*const readers[])(struct slice bytes) = {on_request, on_answer, on_list, on_pods};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size)
		readers[data[0] % ARRAY_LEN(readers)](
			(struct slice){(const char *)data + 1, size - 1});
	return 0;
}
