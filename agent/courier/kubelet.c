/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/courier/kubelet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/base/log.h"

struct waiting {
	void (*done)(void *user, enum courier_result result, const struct courier_answer *facts);
	void *user;
	char id[COURIER_CONTAINER_ID + 1];
	unsigned tries;
	bool asked; /* the question under way began after this look-up did */
};

struct kubelet {
	struct kubelet_opts opts;
	struct fetcher *fetcher;
	char url[KUBELET_URL_MAX + sizeof("/pods")];
	struct fetch *fetch; /* NULL: none is under way */
	uint64_t now_ns;
	uint64_t not_before_ns; /* the next question */
	uint64_t list_ns;	/* when the list was asked for; 0: there is none */
	struct pod_list list;
	enum courier_result trouble; /* of the last question; COURIER_FOUND: none */
	bool left_out_said, forbidden_said;
	struct waiting waiting[KUBELET_LOOKUPS_MAX]; /* done is NULL: free */
};

/* Without slashes at its end. */
static size_t url_length(const char *url)
{
	size_t len = strlen(url);

	while (len && url[len - 1] == '/')
		len--;
	return len;
}

int kubelet_new(struct kubelet **out, struct fetcher *fetcher, const struct kubelet_opts *opts)
{
	struct kubelet *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->opts = *opts;
	k->fetcher = fetcher;
	snprintf(k->url, sizeof(k->url), "%.*s/pods", (int)url_length(opts->url), opts->url);
	*out = k;
	return 0;
}

void kubelet_free(struct kubelet *k)
{
	if (!k)
		return;
	if (k->fetch)
		fetch_cancel(k->fetch);
	pods_free(&k->list);
	free(k);
}

const char *kubelet_token_file(const struct kubelet *k)
{
	return k->opts.token_file;
}

/* ---- what waits ----------------------------------------------------------------------------- */

/* The place is free before done is called: it may look up again. */
static void tell(struct waiting *w, enum courier_result result, const struct courier_answer *facts)
{
	const struct waiting told = *w;

	w->done = NULL;
	told.done(told.user, result, facts);
}

static void tell_found(const struct kubelet *k, struct waiting *w,
		       const struct courier_answer *facts)
{
	struct courier_answer named = *facts;

	if (!named.text[COURIER_NODE][0] && k->opts.node)
		courier_answer_text(&named, COURIER_NODE, slice_of(k->opts.node));
	tell(w, COURIER_FOUND, &named);
}

static void tell_all(struct kubelet *k, enum courier_result result)
{
	for (size_t i = 0; i < KUBELET_LOOKUPS_MAX; i++) {
		if (k->waiting[i].done)
			tell(&k->waiting[i], result, NULL);
	}
}

static void read_list(struct kubelet *k)
{
	for (size_t i = 0; i < KUBELET_LOOKUPS_MAX; i++) {
		struct waiting *w = &k->waiting[i];
		const struct courier_answer *facts = w->done ? pods_find(&k->list, w->id) : NULL;

		if (!w->done)
			continue;
		if (facts)
			tell_found(k, w, facts);
		else if (w->asked && ++w->tries == KUBELET_TRIES)
			tell(w, COURIER_UNKNOWN, NULL);
	}
}

/* ---- asking --------------------------------------------------------------------------------- */

static void fail(struct kubelet *k, enum courier_result trouble)
{
	k->trouble = trouble;
	k->not_before_ns = k->now_ns + KUBELET_RETRY_MS * NSEC_PER_MSEC;
	tell_all(k, trouble);
}

static void take_list(struct kubelet *k, struct slice body)
{
	struct pod_list fresh;
	int rc = pods_parse(&fresh, body, &k->opts.rules);

	if (rc) {
		log_warn("courier", "%s answers with %s: calls of pods keep the ids of containers",
			 k->url,
			 rc == -ENOMEM ? "more than there is memory for"
				       : "something else than a list of pods");
		fail(k, COURIER_FAILED);
		return;
	}
	pods_free(&k->list);
	k->list = fresh;
	k->trouble = COURIER_FOUND;
	if (fresh.left_out && !k->left_out_said)
		log_warn("courier", "%s lists %zu containers more than the %d that are kept",
			 k->url, fresh.left_out, PODS_CONTAINERS_MAX);
	k->left_out_said = fresh.left_out > 0;
	read_list(k);
}

static void on_fetched(void *user, struct fetch *fetch, enum fetch_end how, struct slice body)
{
	struct kubelet *k = user;

	(void)fetch;
	k->fetch = NULL; /* it ends by itself */
	if (how == FETCH_OK) {
		take_list(k, body);
		return;
	}
	if (how == FETCH_REFUSED)
		log_warn("courier",
			 "%s refuses the service account of %s: let its role get `nodes/proxy`, or "
			 "say --kubernetes.kubelet-url=none",
			 k->url, k->opts.token_file);
	fail(k, COURIER_FAILED);
}

/* Without blanks at its end; one with control bytes would be another header. -EBADMSG: it is none.
 */
static int read_token(const char *path, char *token)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, token, FETCH_BEARER_MAX - 1);

	if (n < 0)
		return -errno;
	while (n && (token[n - 1] == '\n' || token[n - 1] == '\r' || token[n - 1] == ' '))
		n--;
	token[n] = '\0';
	for (const char *p = token; *p; p++) {
		if (*p <= ' ' || *p > '~')
			return -EBADMSG;
	}
	return n && strlen(token) == (size_t)n ? 0 : -EBADMSG;
}

static void fail_token(struct kubelet *k, int rc)
{
	bool forbidden = rc == -EACCES || rc == -EPERM;

	if (!forbidden || !k->forbidden_said)
		log_warn("courier", "%s: %s; calls of pods keep the ids of their containers",
			 k->opts.token_file, rc == -EBADMSG ? "holds no token" : strerror(-rc));
	k->forbidden_said = forbidden;
	fail(k, forbidden ? COURIER_FORBIDDEN : COURIER_FAILED);
}

static int start(struct kubelet *k, const char *token)
{
	const struct fetch_request request = {
		.url = k->url,
		.ca_file = token ? k->opts.ca_file : NULL,
		.bearer = token,
		.bytes_max = KUBELET_BYTES_MAX,
	};

	return fetch_start(&k->fetch, k->fetcher, &request, on_fetched, k);
}

static void ask(struct kubelet *k)
{
	bool by_tls = slice_starts(slice_of(k->url), SLICE("https://"));
	char token[FETCH_BEARER_MAX];
	int rc = by_tls ? read_token(k->opts.token_file, token) : 0;

	if (rc) {
		fail_token(k, rc);
		return;
	}
	k->not_before_ns = k->now_ns + KUBELET_GAP_MS * NSEC_PER_MSEC;
	rc = start(k, by_tls ? token : NULL);
	explicit_bzero(token, sizeof(token));
	if (rc) {
		fail(k, COURIER_FAILED);
		return;
	}
	k->list_ns = k->now_ns;
	for (size_t i = 0; i < KUBELET_LOOKUPS_MAX; i++)
		k->waiting[i].asked = true;
}

static bool anyone_waits(const struct kubelet *k)
{
	for (size_t i = 0; i < KUBELET_LOOKUPS_MAX; i++) {
		if (k->waiting[i].done)
			return true;
	}
	return false;
}

void kubelet_run(struct kubelet *k, uint64_t now_ns)
{
	k->now_ns = now_ns;
	if (!k->fetch && now_ns >= k->not_before_ns && anyone_waits(k))
		ask(k);
}

int kubelet_due_ms(const struct kubelet *k, uint64_t now_ns, int most)
{
	uint64_t ms;

	if (k->fetch || !anyone_waits(k))
		return most;
	if (now_ns >= k->not_before_ns)
		return 0;
	ms = (k->not_before_ns - now_ns) / NSEC_PER_MSEC + 1;
	return ms < (uint64_t)most ? (int)ms : most;
}

/* ---- look-ups ------------------------------------------------------------------------------- */

static const struct courier_answer *find_fresh(const struct kubelet *k, const char *id)
{
	bool fresh = k->list_ns && k->trouble == COURIER_FOUND &&
		     k->now_ns - k->list_ns < KUBELET_FRESH_MS * NSEC_PER_MSEC;

	return fresh ? pods_find(&k->list, id) : NULL;
}

void kubelet_look_up(struct kubelet *k, const char *id, uint64_t now_ns,
		     void (*done)(void *user, enum courier_result result,
				  const struct courier_answer *facts),
		     void *user)
{
	struct waiting *w = k->waiting, wanted = {.done = done, .user = user};
	const struct courier_answer *facts;

	k->now_ns = now_ns;
	slice_copy(wanted.id, sizeof(wanted.id), slice_of(id));
	facts = find_fresh(k, id);
	if (facts) {
		tell_found(k, &wanted, facts);
		return;
	}
	if (k->trouble != COURIER_FOUND && !k->fetch && now_ns < k->not_before_ns) {
		done(user, k->trouble, NULL);
		return;
	}
	while (w < k->waiting + KUBELET_LOOKUPS_MAX && w->done)
		w++;
	if (w == k->waiting + KUBELET_LOOKUPS_MAX) {
		done(user, COURIER_FAILED, NULL);
		return;
	}
	*w = wanted;
	kubelet_run(k, now_ns);
}

void kubelet_forget(struct kubelet *k, const void *user)
{
	for (size_t i = 0; i < KUBELET_LOOKUPS_MAX; i++) {
		if (k->waiting[i].done && k->waiting[i].user == user)
			k->waiting[i].done = NULL;
	}
}
