/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/fetch.h"

#include "agent/courier/libcurl.h"
#include "agent/json/scan.h"
#include "exporter/text.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

static const struct bill_api apis[] = {
	{
		.provider = "openai",
		.base_url = "https://api.openai.com",
		.key_header = "Authorization: Bearer ",
		.credential = "openai-admin-key",
		.key_kind = "an admin key of the organization (sk-admin-...)",
	},
	{
		.provider = "anthropic",
		.base_url = "https://api.anthropic.com",
		.key_header = "x-api-key: ",
		.extra_header = "anthropic-version: 2023-06-01",
		.credential = "anthropic-admin-key",
		.key_kind = "an admin key of the organization (sk-ant-admin...)",
	},
};

struct bill_fetcher {
	const struct bill_api *api;
	CURL *easy;
	struct curl_slist *headers; /* one of them holds the key */
	char *base_url, *ca_file;
	void (*waits)(void *user, int ms, const char *why);
	void *user;
	struct text body;
	bool too_long;
	char curl_error[CURL_ERROR_SIZE];
};

const struct bill_api *bill_api_find(const char *provider)
{
	for (size_t i = 0; i < ARRAY_LEN(apis); i++) {
		if (!strcmp(apis[i].provider, provider))
			return &apis[i];
	}
	return NULL;
}

const char *bill_api_names(void)
{
	return "openai, anthropic";
}

bool bill_url_allowed(const char *url)
{
	static const char *const here[] = {"127.0.0.1", "localhost", "[::1]"};
	const char *host;
	size_t len;

	if (strpbrk(url, "@?# \t\r\n"))
		return false;
	if (!strncasecmp(url, "https://", 8))
		return url[8] != '\0' && url[8] != '/';
	if (strncasecmp(url, "http://", 7) != 0)
		return false;
	host = url + 7;
	len = *host == '[' ? strcspn(host, "]") + (strchr(host, ']') != NULL) : strcspn(host, ":/");
	for (size_t i = 0; i < ARRAY_LEN(here); i++) {
		if (slice_ieq(slice_of(here[i]), (struct slice){host, len}))
			return !host[len] || host[len] == ':' || host[len] == '/';
	}
	return false;
}

/* ---- a handle ---------------------------------------------------------------------------- */

static size_t take_body(char *data, size_t size, size_t count, void *user)
{
	struct bill_fetcher *f = user;

	text_append(&f->body, data, size * count);
	f->too_long |= f->body.failed;
	return f->body.failed ? 0 : size * count;
}

static bool add_header(struct bill_fetcher *f, const char *line)
{
	struct curl_slist *grown = libcurl()->slist_append(f->headers, line);

	if (!grown)
		return false;
	f->headers = grown;
	return true;
}

static bool add_headers(struct bill_fetcher *f, const struct bill_key *key)
{
	char line[BILL_KEY_MAX + 64];
	bool added;

	snprintf(line, sizeof(line), "%s%s", f->api->key_header, key->text);
	added = add_header(f, line);
	explicit_bzero(line, sizeof(line));
	return added && (!f->api->extra_header || add_header(f, f->api->extra_header)) &&
	       add_header(f, "Accept: application/json") &&
	       add_header(f, "User-Agent: tolltap/" TOLLTAP_VERSION);
}

static CURLcode set_options(struct bill_fetcher *f)
{
	bool plain = !strncasecmp(f->base_url, "http://", 7);
	const struct {
		CURLoption option;
		long value;
	} numbers[] = {
		{CURLOPT_NOSIGNAL, 1},
		{CURLOPT_FOLLOWLOCATION, 0},
		{CURLOPT_CONNECTTIMEOUT, BILL_CONNECT_S},
		{CURLOPT_TIMEOUT, BILL_ANSWER_S},
	};
	const struct {
		CURLoption option;
		const void *value;
	} pointers[] = {
		{CURLOPT_PROTOCOLS_STR, plain ? "http" : "https"},
		{CURLOPT_HTTPHEADER, f->headers},
		{CURLOPT_WRITEDATA, f},
		{CURLOPT_ERRORBUFFER, f->curl_error},
		{CURLOPT_ACCEPT_ENCODING, ""}, /* whatever this libcurl can undo */
		{plain ? CURLOPT_PROXY : CURLOPT_CAINFO, plain ? "" : f->ca_file},
	};
	CURLcode rc = libcurl()->easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, take_body);

	for (size_t i = 0; rc == CURLE_OK && i < ARRAY_LEN(numbers); i++)
		rc = libcurl()->easy_setopt(f->easy, numbers[i].option, numbers[i].value);
	for (size_t i = 0; rc == CURLE_OK && i < ARRAY_LEN(pointers); i++) {
		if (pointers[i].value)
			rc = libcurl()->easy_setopt(f->easy, pointers[i].option, pointers[i].value);
	}
	return rc;
}

int bill_fetcher_new(struct bill_fetcher **out, const struct bill_api *api, const char *base_url,
		     const char *ca_file, const struct bill_key *key,
		     void (*waits)(void *user, int ms, const char *why), void *user, char *err,
		     size_t err_size)
{
	struct bill_fetcher *f;

	if (libcurl_load(err, err_size)) {
		snprintf(err, err_size, "libcurl cannot be loaded; install libcurl4");
		return -ENOENT;
	}
	f = calloc(1, sizeof(*f));
	if (f) {
		f->api = api;
		f->body = TEXT_INIT(BILL_BODY_MAX_BYTES);
		f->waits = waits;
		f->user = user;
		f->base_url = strdup(base_url ? base_url : api->base_url);
		f->ca_file = ca_file ? strdup(ca_file) : NULL;
		f->easy = libcurl()->easy_init();
	}
	if (!f || !f->base_url || !f->easy || (ca_file && !f->ca_file) || !add_headers(f, key) ||
	    set_options(f) != CURLE_OK) {
		bill_fetcher_free(f);
		snprintf(err, err_size, "libcurl cannot be set up: no memory, or too old");
		return -ENOMEM;
	}
	while (f->base_url[0] && f->base_url[strlen(f->base_url) - 1] == '/')
		f->base_url[strlen(f->base_url) - 1] = '\0';
	*out = f;
	return 0;
}

void bill_fetcher_free(struct bill_fetcher *f)
{
	if (!f)
		return;
	if (f->easy)
		libcurl()->easy_cleanup(f->easy);
	for (struct curl_slist *h = f->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	if (f->headers)
		libcurl()->slist_free_all(f->headers);
	text_free(&f->body);
	free(f->base_url);
	free(f->ca_file);
	free(f);
}

/* ---- what an answer means ---------------------------------------------------------------- */

struct error_text {
	char type[64], message[200];
};

static void take_error(void *user, const struct json_value *value)
{
	struct error_text *e = user;

	if (value->type != JSON_STRING)
		return;
	if (value->path == 1)
		(void)slice_copy(e->message, sizeof(e->message), value->text);
	else
		(void)slice_copy(e->type, sizeof(e->type), value->text);
}

/* Both providers: {"error":{"type","message"}}. A message about a key may show parts of it. */
static void read_error(struct bill_fetcher *f, struct error_text *e)
{
	static const char *const paths[] = {"error.type", "error.message"};
	static const struct json_ops ops = {.value = take_error};
	struct json_paths *compiled;
	struct json_scan *scan;

	*e = (struct error_text){{0}, {0}};
	if (json_paths_new(&compiled, paths, ARRAY_LEN(paths)))
		return;
	if (json_scan_new(&scan, compiled, &ops, e) == 0) {
		(void)!json_scan_feed(scan, (struct slice){f->body.ptr, f->body.len});
		json_scan_free(scan);
	}
	json_paths_free(compiled);
}

/* Trying again may help. */
static bool is_passing(long status)
{
	return status == 408 || status == 429 || status >= 500;
}

static int refused(struct bill_fetcher *f, long status, char *err, size_t err_size)
{
	struct error_text e;

	read_error(f, &e);
	if (status == 401 || status == 403) {
		snprintf(err, err_size, "%s refuses the key (status %ld%s%s); it has to be %s",
			 f->api->provider, status, *e.type ? ", " : "", e.type, f->api->key_kind);
		return -EACCES;
	}
	snprintf(err, err_size, "%s answers with status %ld%s%s", f->api->provider, status,
		 *e.message ? ": " : "", e.message);
	if (status == 404)
		return -ENOENT;
	return status == 400 || status == 422 ? -EINVAL : -EPROTO;
}

static int broken(struct bill_fetcher *f, CURLcode code, char *err, size_t err_size)
{
	const char *what = f->curl_error[0] ? f->curl_error : libcurl()->easy_strerror(code);

	if (f->too_long) {
		snprintf(err, err_size, "%s sends more than %u MiB for one page", f->api->provider,
			 BILL_BODY_MAX_BYTES >> 20);
		return -EFBIG;
	}
	snprintf(err, err_size, "%s: %.200s", f->base_url, what);
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return -EPROTO;
	default:
		return -EAGAIN;
	}
}

/* One try. -EAGAIN and -EBADMSG: another may help; retry_after_s is what the provider asks for. */
static int fetch_once(struct bill_fetcher *f, const char *url,
		      int (*accept)(void *user, struct slice body, char *err, size_t err_size),
		      void *user, long *retry_after_s, char *err, size_t err_size)
{
	curl_off_t wait = 0;
	long status = 0;
	CURLcode rc;

	text_free(&f->body);
	f->too_long = false;
	f->curl_error[0] = '\0';
	rc = libcurl()->easy_setopt(f->easy, CURLOPT_URL, url);
	if (rc == CURLE_OK)
		rc = libcurl()->easy_perform(f->easy);
	libcurl()->easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	libcurl()->easy_getinfo(f->easy, CURLINFO_RETRY_AFTER, &wait);
	*retry_after_s = wait > 0 ? (long)wait : 0;
	if (rc != CURLE_OK)
		return broken(f, rc, err, err_size);
	if (status == 200)
		return accept(user, (struct slice){f->body.ptr ? f->body.ptr : "", f->body.len},
			      err, err_size);
	if (!is_passing(status))
		return refused(f, status, err, err_size);
	snprintf(err, err_size, "%s answers with status %ld", f->api->provider, status);
	return -EAGAIN;
}

/* ---- again and again --------------------------------------------------------------------- */

static void wait_ms(struct bill_fetcher *f, int ms, const char *why)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000L};

	if (f->waits)
		f->waits(f->user, ms, why);
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

int bill_fetch(struct bill_fetcher *f, const char *path,
	       int (*accept)(void *user, struct slice body, char *err, size_t err_size), void *user,
	       char *err, size_t err_size)
{
	_cleanup_(freep) char *url = NULL;
	long retry_after_s = 0;
	size_t len;
	int r = 0;

	if (asprintf(&url, "%s%s", f->base_url, path) < 0) {
		url = NULL;
		snprintf(err, err_size, "no memory for a request");
		return -ENOMEM;
	}
	for (int i = 0; i < BILL_TRIES; i++) {
		int ms = BILL_BACKOFF_MS << (i ? i - 1 : 0);

		if (retry_after_s * 1000 > ms)
			ms = (int)retry_after_s * 1000;
		if (i)
			wait_ms(f, ms, err);
		r = fetch_once(f, url, accept, user, &retry_after_s, err, err_size);
		if (r != -EAGAIN && r != -EBADMSG)
			return r;
		if (retry_after_s > BILL_RETRY_AFTER_MAX_S) {
			len = strlen(err);
			snprintf(err + len, err_size - len, " and asks to wait %ld s",
				 retry_after_s);
			return -EAGAIN;
		}
	}
	len = strlen(err);
	snprintf(err + len, err_size - len, " (%d tries)", BILL_TRIES);
	return r;
}
