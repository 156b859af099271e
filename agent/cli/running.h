/* SPDX-License-Identifier: Apache-2.0 */
/* The running agent as other commands see it: its status file, or one line about why not. */
#ifndef TT_CLI_RUNNING_H
#define TT_CLI_RUNNING_H

#include "agent/cli/cli.h"

#include <cjson/cJSON.h>

/*
 * Reads DIR/status.json. Returns EXIT_OK with *out (cJSON_Delete it), EXIT_NO_AGENT when there is
 * none or it has ended, EXIT_PRIVILEGE, EXIT_STORAGE; for all but EXIT_OK why says what to do.
 * When an agent has ended, *out is its last status.
 */
int running_status(const char *dir, cJSON **out, char *why, size_t why_size) TT_MUST_CHECK;

/* Values by key with "" and 0 for what is absent or of another type. */
const char *status_text(const cJSON *object, const char *key);
int64_t status_number(const cJSON *object, const char *key);
bool status_flag(const cJSON *object, const char *key);
/* Sum of the counters whose name starts with family. */
int64_t status_counter(const cJSON *status, const char *family);

/*
 * Why a TLS stack of a process is not read, in words: curl may hold GnuTLS for other ends and speak
 * through OpenSSL, so a stack beside it that is read is named too.
 */
const char *status_blind_reason(char *dst, size_t size, const cJSON *processes,
				const cJSON *process);

/* Counts for people. */
const char *count_text(char *dst, size_t size, int64_t n); /* 1234567 -> "1,234,567" */

#endif
