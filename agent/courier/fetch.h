/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP GET over a UNIX socket or by TCP, many at a time on one thread, by libcurl: no
 * redirects, no proxies, at most so many bytes of answer and FETCH_MS_MAX of time. By TLS only with
 * a server that the caller's authority vouches for. What it is asked of and what the answer means
 * is the caller's matter.
 */
#ifndef TT_COURIER_FETCH_H
#define TT_COURIER_FETCH_H

#include "agent/base/base.h"

#define FETCH_MS_MAX	 2000
#define FETCH_BEARER_MAX 16384 /* bytes of a token, with its end */

enum fetch_end {
	FETCH_OK,	 /* status 200, the whole body */
	FETCH_ABSENT,	 /* nobody has such a socket */
	FETCH_FORBIDDEN, /* the socket may not be opened */
	FETCH_REFUSED,	 /* status 401 or 403 */
	FETCH_FAILED,	 /* any other status, too long, too slow, broken */
};

struct fetch_request {
	const char *socket; /* path of a UNIX socket; NULL: by TCP, as the URL says */
	const char *url;
	const char *ca_file; /* of https: who vouches for the server */
	const char *bearer;  /* a token for the server, or NULL */
	size_t bytes_max;    /* of the answer */
};

struct fetcher;
struct fetch;

/* libcurl_load must have succeeded. Returns 0 or -ENOMEM. */
int fetcher_new(struct fetcher **out) TT_MUST_CHECK;
/* Every fetch must have ended or been cancelled. NULL is fine. */
void fetcher_free(struct fetcher *f);

/*
 * Starts a GET. done is called once from fetcher_run, and the fetch is gone then; the body is
 * borrowed, and wiped afterwards. Of the request the socket's path, or without one the URL, must
 * live as long. Returns 0 or -ENOMEM.
 */
int fetch_start(struct fetch **out, struct fetcher *fetcher, const struct fetch_request *request,
		void (*done)(void *user, struct fetch *fetch, enum fetch_end end,
			     struct slice body),
		void *user) TT_MUST_CHECK;
/* Ends it without a call of done. */
void fetch_cancel(struct fetch *fetch);

/*
 * Waits at most timeout_ms for any transfer or for one of the fds (at most FETCH_FDS_MAX) to be
 * readable, moves what can be moved and delivers what has ended. Returns 0 or -EIO.
 */
#define FETCH_FDS_MAX 4
int fetcher_run(struct fetcher *fetcher, const int *fds, size_t fd_count,
		int timeout_ms) TT_MUST_CHECK;

#endif
