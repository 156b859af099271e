/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bytes of a function say about probe sites: whether a decoder agrees with its bounds, the
 * class of its first instruction, and its return instructions. A wrong offset would put a
 * breakpoint inside an instruction of a stranger's process, so every doubt is answered with "none".
 */
#ifndef TT_RETURNS_H
#define TT_RETURNS_H

#include "agent/discovery/sites.h"

#define RETURNS_FUNCTION_MAX (64u << 10) /* a longer function is not decoded */

/*
 * The entry site of a function that starts with code: *skip bytes into it, arguments and stack
 * still as the caller left them. An endbr64 is stepped over only to reach an emulated instruction.
 */
enum site_class site_classify(const uint8_t *code, size_t len, uint32_t *skip);

/*
 * True when code[0..len) is a whole function to a decoder: every byte belongs to one instruction,
 * the last one ends exactly at len, and no direct jump or call leads into the midst of one.
 */
bool code_decodes(const uint8_t *code, size_t len);

/*
 * Offsets of the return instructions of the function that is exactly code[0..len). Returns their
 * count, or 0 when code_decodes says no, control may leave by a jump (tail call, cold part,
 * computed jump), what looks like a return is never reached (data in the code), or there are more
 * than max.
 */
size_t returns_sweep(const uint8_t *code, size_t len, uint32_t *offsets, size_t max);

#endif
