/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/courier/fetch.h"

#include <errno.h>

#include "agent/base/log.h"
#include "agent/courier/libcurl.h"

struct fetcher {
	CURLM *multi;
};

struct fetch {
	struct fetcher *fetcher;
	CURL *easy;
	const char *socket; /* the caller's */
	void (*done)(void *user, struct fetch *fetch, enum fetch_end end, struct slice body);
	void *user;
	size_t len;
	char body[FETCH_BYTES_MAX];
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

	if (n > sizeof(fetch->body) - fetch->len)
		return 0;
	memcpy(fetch->body + fetch->len, data, n);
	fetch->len += n;
	return n;
}

static CURLcode set_options(struct fetch *fetch, const char *url)
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
		{CURLOPT_URL, url},	  {CURLOPT_UNIX_SOCKET_PATH, fetch->socket},
		{CURLOPT_PROXY, ""}, /* whatever the environment says */
		{CURLOPT_PRIVATE, fetch}, {CURLOPT_WRITEDATA, fetch},
	};
	CURLcode rc = libcurl()->easy_setopt(fetch->easy, CURLOPT_WRITEFUNCTION, take_body);

	for (size_t i = 0; rc == CURLE_OK && i < ARRAY_LEN(numbers); i++)
		rc = libcurl()->easy_setopt(fetch->easy, numbers[i].option, numbers[i].value);
	for (size_t i = 0; rc == CURLE_OK && i < ARRAY_LEN(pointers); i++)
		rc = libcurl()->easy_setopt(fetch->easy, pointers[i].option, pointers[i].value);
	return rc;
}

int fetch_start(struct fetch **out, struct fetcher *fetcher, const char *socket, const char *url,
		void (*done)(void *user, struct fetch *fetch, enum fetch_end end,
			     struct slice body),
		void *user)
{
	struct fetch *fetch = malloc(sizeof(*fetch)); /* its body is touched as far as it is used */

	if (!fetch)
		return -ENOMEM;
	fetch->fetcher = fetcher;
	fetch->easy = libcurl()->easy_init();
	fetch->socket = socket;
	fetch->done = done;
	fetch->user = user;
	fetch->len = 0;
	if (fetch->easy && set_options(fetch, url) == CURLE_OK &&
	    libcurl()->multi_add_handle(fetcher->multi, fetch->easy) == CURLM_OK) {
		*out = fetch;
		return 0;
	}
	if (fetch->easy)
		libcurl()->easy_cleanup(fetch->easy);
	free(fetch);
	return -ENOMEM;
}

void fetch_cancel(struct fetch *fetch)
{
	libcurl()->multi_remove_handle(fetch->fetcher->multi, fetch->easy);
	libcurl()->easy_cleanup(fetch->easy);
	free(fetch);
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
		log_warn("courier", "%s answers with status %ld", fetch->socket, status);
	else
		log_warn("courier", "%s: %s", fetch->socket,
			 code == CURLE_WRITE_ERROR ? "its answer is too long"
						   : libcurl()->easy_strerror(code));
	return FETCH_FAILED;
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
