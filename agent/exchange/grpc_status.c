/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/grpc_status.h"

#include "agent/base/money.h"

/* grpc.io, "Status codes"; sent again are those whose HTTP status would be (google.rpc.Code). */
static const struct grpc_status statuses[] = {
	{"OK", false, false},
	{"CANCELLED", true, false},
	{"UNKNOWN", true, true},
	{"INVALID_ARGUMENT", true, false},
	{"DEADLINE_EXCEEDED", true, true},
	{"NOT_FOUND", true, false},
	{"ALREADY_EXISTS", true, true},
	{"PERMISSION_DENIED", true, false},
	{"RESOURCE_EXHAUSTED", true, true},
	{"FAILED_PRECONDITION", true, false},
	{"ABORTED", true, true},
	{"OUT_OF_RANGE", true, false},
	{"UNIMPLEMENTED", true, true},
	{"INTERNAL", true, true},
	{"UNAVAILABLE", true, true},
	{"DATA_LOSS", true, true},
	{"UNAUTHENTICATED", true, false},
};

#define STATUS_UNKNOWN 2 /* what a client makes of a code that it does not know */

const struct grpc_status *grpc_status_read(const struct http_head *head)
{
	struct slice value = http_head_get(head, "grpc-status");
	int64_t code;

	if (!value.len)
		return NULL;
	if (!decimal_parse(value, 0, &code) || code < 0 || code >= (int64_t)ARRAY_LEN(statuses))
		code = STATUS_UNKNOWN;
	return &statuses[code];
}
