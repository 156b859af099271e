/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a ceiling fixed at birth. The first failure (no memory, ceiling)
 * sticks in `failed`; appends after it do nothing, so that a writer checks once, at the end.
 */
#ifndef TT_TEXT_H
#define TT_TEXT_H

#include "agent/base/base.h"

struct text {
	char *ptr; /* not 0-ended until text_cstr */
	size_t len;
	size_t cap;
	size_t max;
	bool failed;
};

#define TEXT_INIT(ceiling) ((struct text){.max = (ceiling)})

void text_append(struct text *t, const void *bytes, size_t len);
void text_puts(struct text *t, const char *s);
void text_printf(struct text *t, const char *fmt, ...) TT_PRINTF(2, 3);
/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void text_json_string(struct text *t, struct slice s);
/* The bytes with a 0 behind them, or NULL when the text has failed. Owned by t. */
const char *text_cstr(struct text *t);
void text_free(struct text *t);

#endif
