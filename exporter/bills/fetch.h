/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GETs of a billing API, by libcurl: TLS only, but for this machine itself; no redirects; at most
 * BILL_BODY_MAX_BYTES of answer; repeated where that may help, as late as the provider asks.
 */
#ifndef TT_BILL_FETCH_H
#define TT_BILL_FETCH_H

#include "exporter/bills/key.h"

#define BILL_BODY_MAX_BYTES    (32u << 20)
#define BILL_TRIES	       6
#define BILL_BACKOFF_MS	       500 /* before the second try; doubled before each further one */
#define BILL_RETRY_AFTER_MAX_S 300 /* a longer wait is left to the next run */
#define BILL_CONNECT_S	       15
#define BILL_ANSWER_S	       120

/* How a provider's API is asked. */
struct bill_api {
	const char *provider;
	const char *base_url;
	const char *key_header;	  /* "Authorization: Bearer " */
	const char *extra_header; /* NULL: none */
	const char *credential;	  /* its name in $CREDENTIALS_DIRECTORY */
	const char *key_kind;	  /* for a message: which key it has to be */
};

/* NULL when no such provider is known. */
const struct bill_api *bill_api_find(const char *provider);
/* "openai, anthropic" */
const char *bill_api_names(void);

/* https, or http to this machine itself. */
bool bill_url_allowed(const char *url);

struct bill_fetcher;

/*
 * base_url and ca_file may be NULL. Keeps a copy of the key until bill_fetcher_free. waits, which
 * may be NULL, is told of each wait before it. Returns 0, or -errno with one line in err.
 */
int bill_fetcher_new(struct bill_fetcher **out, const struct bill_api *api, const char *base_url,
		     const char *ca_file, const struct bill_key *key,
		     void (*waits)(void *user, int ms, const char *why), void *user, char *err,
		     size_t err_size) TT_MUST_CHECK;
void bill_fetcher_free(struct bill_fetcher *f); /* wipes the key; NULL is fine */

/*
 * GETs base URL + path, path starting with '/'. accept is called with each whole answer of status
 * 200; -EBADMSG from it counts as a failed try. Returns what accept returned, or -errno with one
 * line in err: -EACCES (the key is refused), -EINVAL (the request is: 400, 422), -ENOENT (404),
 * -EAGAIN (told to wait too long, or still failing after all tries), -EFBIG, -EPROTO (TLS).
 */
int bill_fetch(struct bill_fetcher *f, const char *path,
	       int (*accept)(void *user, struct slice body, char *err, size_t err_size), void *user,
	       char *err, size_t err_size) TT_MUST_CHECK;

#endif
