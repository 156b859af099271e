/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/message.h"

struct slice http_head_get(const struct http_head *head, const char *name)
{
	struct slice wanted = slice_of(name);

	for (size_t i = 0; i < head->count; i++) {
		if (slice_ieq(head->fields[i].name, wanted))
			return head->fields[i].value;
	}
	return (struct slice){NULL, 0};
}
