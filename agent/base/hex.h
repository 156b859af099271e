/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as people and files read them. */
#ifndef TT_HEX_H
#define TT_HEX_H

#include "agent/base/base.h"

/* Lower-case hex digits and the end; dst holds 2 * len + 1. */
void hex_of(char *dst, const uint8_t *bytes, size_t len);

#endif
