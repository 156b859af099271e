/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the configuration allows to be kept of command lines (--workload.argv): only what a pattern
 * matches is ever stored, since arguments hold prompts and keys.
 */
#ifndef TT_ARGUMENTS_H
#define TT_ARGUMENTS_H

#include "agent/base/base.h"

#define ARGUMENT_PATTERNS_MAX 16
#define ARGUMENT_PATTERN_MAX  512 /* bytes of one */
#define ARGUMENT_BYTES_MAX    64  /* of one match; a longer one is left out whole */
#define ARGUMENT_ERROR_MAX    256

struct argument_patterns;

/*
 * Compiles the patterns (PCRE2, UTF-8). Returns 0, -ENOMEM, or -EINVAL with one line in err. NULL
 * in *out when there are none.
 */
int argument_patterns_new(struct argument_patterns **out, char *const *patterns, size_t count,
			  char *err, size_t err_size) TT_MUST_CHECK;
void argument_patterns_free(struct argument_patterns *p); /* NULL is fine */

/*
 * What the patterns match in a command line of /proc (arguments ended by 0, which patterns see as
 * spaces): the first match of each in their order, parted by a space; of a pattern with a group
 * what its first one matches. A pattern that takes too much work matches nothing.
 */
void argument_patterns_read(const struct argument_patterns *p, struct slice arguments, char *dst,
			    size_t size);

#endif
