/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl, loaded by the courier and by `tolltap bill pull`, and by no other process: linking it
 * would map a TLS library, Kerberos and LDAP into the privileged ones and make every command start
 * some ms later. A function of it that is used is one row here.
 */
#ifndef TT_COURIER_LIBCURL_H
#define TT_COURIER_LIBCURL_H

#include "agent/base/base.h"

#include <curl/curl.h>

/* clang-format off */
#define LIBCURL_FUNCTIONS(X) \
	X(global_init)       \
	X(easy_init)         \
	X(easy_setopt)       \
	X(easy_getinfo)      \
	X(easy_strerror)     \
	X(easy_perform)      \
	X(easy_cleanup)      \
	X(slist_append)      \
	X(slist_free_all)    \
	X(multi_init)        \
	X(multi_add_handle)  \
	X(multi_remove_handle) \
	X(multi_perform)     \
	X(multi_poll)        \
	X(multi_info_read)   \
	X(multi_cleanup)
/* clang-format on */

struct libcurl {
#define X(name) __typeof__(curl_##name) *name;
	LIBCURL_FUNCTIONS(X)
#undef X
};

/* Loads and initialises it once. Returns 0, or -ENOENT with one line in err. */
int libcurl_load(char *err, size_t err_size) TT_MUST_CHECK;
bool libcurl_loaded(void);
/* The loaded library; only when it is. */
const struct libcurl *libcurl(void);

#endif
