/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/courier/fetch.h"

#include <errno.h>
#include <stdio.h>

#include "agent/base/log.h"
#include "agent/courier/libcurl.h"

struct fetcher {
	CURLM *multi;
};

struct fetch {
	struct fetcher *fetcher;
	CURL *easy;
	const char *whom; /* the caller's */
	struct curl_slist *headers;
	void (*done)(void *user, struct fetch *fetch, enum fetch_end end, struct slice body);
	void *user;
	size_t len, size;
	char body[];
};

int fetcher_new(struct fetcher **out)
{
	struct fetcher *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->multi = libcurl()->multi_init();
	if (!f->multi) {
		free(f);
		return -ENOMEM;
	}
	*out = f;
	return 0;
}

void fetcher_free(struct fetcher *f)
{
	if (!f)
		return;
	libcurl()->multi_cleanup(f->multi);
	free(f);
}

/* Taking less than is offered ends the transfer. */
static size_t take_body(char *data, size_t size, size_t count, void *user)
{
	struct fetch *fetch = user;
	size_t n = size * count;

	if (n > fetch->size - fetch->len)
		return 0;
	memcpy(fetch->body + fetch->len, data, n);
	fetch->len += n;
	return n;
}

/* The list keeps a copy of the token, until forget_headers. */
static bool add_bearer(struct fetch *fetch, const char *token)
{
	char line[FETCH_BEARER_MAX + sizeof("Authorization: Bearer ")];

	snprintf(line, sizeof(line), "Authorization: Bearer %s", token);
	fetch->headers = libcurl()->slist_append(NULL, line);
	explicit_bzero(line, sizeof(line));
	return fetch->headers != NULL;
}

static void forget_headers(struct fetch *fetch)
{
	for (struct curl_slist *h = fetch->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	libcurl()->slist_free_all(fetch->headers);
}

/* This authority, and none of the public ones beside it. */
static CURLcode set_authority(struct fetch *fetch, const char *ca_file)
{
	CURLcode rc = libcurl()->easy_setopt(fetch->easy, CURLOPT_CAINFO, ca_file);

	return rc == CURLE_OK ? libcurl()->easy_setopt(fetch->easy, CURLOPT_CAPATH, NULL) : rc;
}

static CURLcode set_options(struct fetch *fetch, const struct fetch_request *request)
{
	const struct {
		CURLoption option;
		long value;
	} numbers[] = {
		{CURLOPT_NOSIGNAL, 1},
		{CURLOPT_FOLLOWLOCATION, 0},
		{CURLOPT_FORBID_REUSE, 1}, /* no socket is open but while something is asked */
		{CURLOPT_TIMEOUT_MS, FETCH_MS_MAX},
		{CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
	};
	const struct {
		CURLoption option;
		const void *value;
	} pointers[] = {
		{CURLOPT_URL, request->url},
		{CURLOPT_UNIX_SOCKET_PATH, request->socket},
		{CURLOPT_HTTPHEADER, fetch->headers},
		{CURLOPT_PROXY, ""}, /* whatever the environment says */
		{CURLOPT_PRIVATE, fetch},
		{CURLOPT_WRITEDATA, fetch},
	};
	CURLcode rc = libcurl()->easy_setopt(fetch->easy, CURLOPT_WRITEFUNCTION, take_body);

	for (size_t i = 0; rc == CURLE_OK && i < ARRAY_LEN(numbers); i++)
		rc = libcurl()->easy_setopt(fetch->easy, numbers[i].option, numbers[i].value);
	for (size_t i = 0; rc == CURLE_OK && i < ARRAY_LEN(pointers); i++)
		rc = libcurl()->easy_setopt(fetch->easy, pointers[i].option, pointers[i].value);
	if (rc == CURLE_OK && request->ca_file)
		rc = set_authority(fetch, request->ca_file);
	return rc;
}

static void release(struct fetch *fetch)
{
	if (fetch->easy)
		libcurl()->easy_cleanup(fetch->easy);
	forget_headers(fetch);
	explicit_bzero(fetch->body, fetch->len);
	free(fetch);
}

int fetch_start(struct fetch **out, struct fetcher *fetcher, const struct fetch_request *request,
		void (*done)(void *user, struct fetch *fetch, enum fetch_end end,
			     struct slice body),
		void *user)
{
	/* Its body is touched as far as it is used. */
	struct fetch *fetch = malloc(sizeof(*fetch) + request->bytes_max);

	if (!fetch)
		return -ENOMEM;
	*fetch = (struct fetch){
		.fetcher = fetcher,
		.easy = libcurl()->easy_init(),
		.whom = request->socket ? request->socket : request->url,
		.done = done,
		.user = user,
		.size = request->bytes_max,
	};
	if (fetch->easy && (!request->bearer || add_bearer(fetch, request->bearer)) &&
	    set_options(fetch, request) == CURLE_OK &&
	    libcurl()->multi_add_handle(fetcher->multi, fetch->easy) == CURLM_OK) {
		*out = fetch;
		return 0;
	}
	release(fetch);
	return -ENOMEM;
}

void fetch_cancel(struct fetch *fetch)
{
	libcurl()->multi_remove_handle(fetch->fetcher->multi, fetch->easy);
	release(fetch);
}

static enum fetch_end end_of(const struct fetch *fetch, CURLcode code)
{
	long status = 0, os_errno = 0;

	libcurl()->easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
	libcurl()->easy_getinfo(fetch->easy, CURLINFO_OS_ERRNO, &os_errno);
	if (code == CURLE_OK && status == 200)
		return FETCH_OK;
	if (code == CURLE_COULDNT_CONNECT && os_errno == ENOENT)
		return FETCH_ABSENT;
	if (code == CURLE_COULDNT_CONNECT && (os_errno == EACCES || os_errno == EPERM))
		return FETCH_FORBIDDEN;
	if (code == CURLE_OK)
		log_warn("courier", "%s answers with status %ld", fetch->whom, status);
	else
		log_warn("courier", "%s: %s", fetch->whom,
			 code == CURLE_WRITE_ERROR ? "its answer is too long"
						   : libcurl()->easy_strerror(code));
	return code == CURLE_OK && (status == 401 || status == 403) ? FETCH_REFUSED : FETCH_FAILED;
}

static void deliver(struct fetcher *fetcher)
{
	CURLMsg *message;
	int left;

	while ((message = libcurl()->multi_info_read(fetcher->multi, &left))) {
		struct fetch *fetch = NULL;
		enum fetch_end end;

		if (message->msg != CURLMSG_DONE)
			continue;
		libcurl()->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch);
		end = end_of(fetch, message->data.result);
		fetch->done(fetch->user, fetch, end, (struct slice){fetch->body, fetch->len});
		fetch_cancel(fetch);
	}
}

int fetcher_run(struct fetcher *fetcher, const int *fds, size_t fd_count, int timeout_ms)
{
	struct curl_waitfd extra[FETCH_FDS_MAX] = {0};
	int running;

	for (size_t i = 0; i < fd_count; i++)
		extra[i] = (struct curl_waitfd){.fd = fds[i], .events = CURL_WAIT_POLLIN};
	if (libcurl()->multi_poll(fetcher->multi, extra, (unsigned)fd_count, timeout_ms, NULL) !=
		    CURLM_OK ||
	    libcurl()->multi_perform(fetcher->multi, &running) != CURLM_OK)
		return -EIO;
	deliver(fetcher);
	return 0;
}
