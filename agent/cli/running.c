/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/running.h"

#include "agent/status.h"

#include <errno.h>
#include <stdio.h>

/* Names of foreign processes and hosts reach a terminal: no byte may steer it. */
static void tame(cJSON *item)
{
	for (; item; item = item->next) {
		if (item->valuestring)
			slice_copy(item->valuestring, strlen(item->valuestring) + 1,
				   slice_of(item->valuestring));
		tame(item->child); /* cJSON bounds the depth */
	}
}

int running_status(const char *dir, cJSON **out, char *why, size_t why_size)
{
	cJSON *status = NULL;
	int rc = status_read(dir, &status);

	*out = NULL;
	if (rc == 0)
		tame(status);
	if (rc == 0 && status_alive(status)) {
		*out = status;
		return EXIT_OK;
	}
	if (rc == 0 || rc == -ENOENT) {
		*out = status;
		snprintf(why, why_size,
			 "no agent is running on %s; start one with: sudo tolltap run%s", dir,
			 rc ? ", or name its directory with --storage.path" : "");
		return EXIT_NO_AGENT;
	}
	if (rc == -EACCES || rc == -EPERM) {
		snprintf(why, why_size,
			 "%s is not readable for you; use sudo, or join the group: sudo usermod "
			 "-aG tolltap $USER, then log in again",
			 dir);
		return EXIT_PRIVILEGE;
	}
	snprintf(why, why_size, "the agent's status in %s cannot be read: %s", dir, strerror(-rc));
	return EXIT_STORAGE;
}

const char *status_text(const cJSON *object, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

	return text ? text : "";
}

int64_t status_number(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : 0;
}

const char *status_blind_reason(char *dst, size_t size, const cJSON *processes,
				const cJSON *process)
{
	const cJSON *other;

	snprintf(dst, size, "%s", status_text(process, "reason"));
	cJSON_ArrayForEach(other, processes)
	{
		if (status_number(other, "pid") != status_number(process, "pid") ||
		    strcmp(status_text(other, "tls"), "readable") != 0)
			continue;
		snprintf(dst, size, "%s; its %s is read", status_text(process, "reason"),
			 status_text(other, "library"));
		break;
	}
	return dst;
}

bool status_flag(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

int64_t status_counter(const cJSON *status, const char *family)
{
	const cJSON *counter;
	size_t len = strlen(family);
	int64_t sum = 0;

	cJSON_ArrayForEach(counter, cJSON_GetObjectItemCaseSensitive(status, "counters"))
	{
		const char *name = counter->string;

		if (!strncmp(name, family, len) && (!name[len] || name[len] == '{'))
			sum += (int64_t)counter->valuedouble;
	}
	return sum;
}

const char *count_text(char *dst, size_t size, int64_t n)
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%lld", (long long)n);
	size_t used = 0;

	for (size_t i = 0; i < len && used + 2 < size; i++) {
		dst[used++] = digits[i];
		if ((len - i - 1) % 3 == 0 && i + 1 < len && digits[i] != '-')
			dst[used++] = ',';
	}
	dst[used] = '\0';
	return dst;
}
