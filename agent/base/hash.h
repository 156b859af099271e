/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uthash, hash tables whose elements carry the links, as it is used here. An allocation failure
 * inside of it leaves the element out and is told by uthash_nonfatal_oom; it never exits. A file
 * that tells it otherwise, or whose keys are spread already, defines the macro before this.
 */
#ifndef TT_HASH_H
#define TT_HASH_H

#define HASH_NONFATAL_OOM 1
#ifndef uthash_nonfatal_oom
#define uthash_nonfatal_oom(element) ((element)->in_table = false)
#endif
/* One-at-a-time: the default's switch falls through, which clang's warnings refuse. */
#ifndef HASH_FUNCTION
#define HASH_FUNCTION(key, len, hash) HASH_OAT(key, len, hash)
#endif
#include <uthash.h>

#endif
