/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call: what is known of one wire attempt at a billable operation, from its request's first
 * byte to its cost. Built left to right: exchange fills times and names, the provider's dialect
 * fills usage, attribution fills workload and tags, pricing fills cost; the ledger and the
 * exporters only read it. There is no field that can hold content: every text is a bounded
 * identifier.
 */
#ifndef TT_CALL_H
#define TT_CALL_H

#include "agent/base/base.h"

/* Disjoint billable token kinds; their sum is the provider's total (design section 3, rule 1). */
enum token_kind {
	TOKEN_INPUT_UNCACHED,
	TOKEN_INPUT_CACHE_READ,
	TOKEN_INPUT_CACHE_WRITE_5M,
	TOKEN_INPUT_CACHE_WRITE_1H,
	TOKEN_INPUT_AUDIO,
	TOKEN_INPUT_IMAGE,
	TOKEN_OUTPUT_TEXT,
	TOKEN_OUTPUT_REASONING,
	TOKEN_OUTPUT_AUDIO,
	TOKEN_OUTPUT_IMAGE,
	TOKEN_KINDS
};

/* Billable units that are not tokens. */
enum tool_unit {
	TOOL_WEB_SEARCH,       /* calls */
	TOOL_FILE_SEARCH,      /* calls */
	TOOL_CODE_INTERPRETER, /* container sessions */
	TOOL_IMAGES,	       /* images */
	TOOL_AUDIO_SECONDS,    /* seconds of input audio */
	TOOL_CHARACTERS,       /* characters of input */
	TOOL_PAGES,	       /* document pages */
	TOOL_SEARCH_UNITS,     /* rerank search units */
	TOOL_UNITS
};

extern const char *const token_kind_names[TOKEN_KINDS]; /* "input_uncached", ... */
extern const char *const tool_unit_names[TOOL_UNITS];	/* "web_search", ... */

enum basis {
	BASIS_PROVIDER_REPORTED,
	BASIS_REPORTED_USAGE,
	BASIS_ESTIMATED, /* a 200 without usage */
	BASIS_PARTIAL,	 /* a cut stream: a lower bound */
	BASIS_UNPRICED,	 /* usage known, no price matched or the host's role unknown */
	/* An error status, or a prompt refused before any work, without usage; a free endpoint:
	 * tokens null, cost 0. */
	BASIS_NOT_BILLED,
	BASES
};

enum outcome {
	OUTCOME_OK,
	OUTCOME_ERROR,
	OUTCOME_ABORTED, /* the client or the provider left before the answer's end */
	OUTCOME_UNKNOWN, /* it was not seen how the answer ended */
	OUTCOMES
};

enum billing_mode {
	BILLING_METERED,
	BILLING_SUBSCRIPTION, /* OAuth login: list price shown, never added to spend */
	BILLING_MODES
};

/* Why a call with usage carries no cost; label of tolltap_unpriced_*. */
enum unpriced_reason {
	UNPRICED_NOT,		    /* it is priced */
	UNPRICED_UNKNOWN_MODEL,	    /* no exact name, alias or anchored rule matched */
	UNPRICED_NO_PRICE_AT_TIME,  /* the model is known, no price is valid at the call's time */
	UNPRICED_UNIT_MISSING,	    /* a used kind has no price in the row */
	UNPRICED_HOST_ROLE_UNKNOWN, /* host known only by its shape */
	UNPRICED_OVERFLOW,	    /* the product leaves int64 picodollars */
	UNPRICED_REASONS
};

/* Why a call's usage is not known, or not whole; label of tolltap_usage_missing_total. */
enum usage_missing {
	MISSING_NOT,
	MISSING_NOT_ASKED,     /* a stream that tells it only when asked (include_usage) */
	MISSING_NOT_TOLD,      /* the answer is whole and read, and has none */
	MISSING_UNDER_WAY,     /* the work goes on; another answer will tell */
	MISSING_CUT,	       /* the answer ended, or failed, before its usage */
	MISSING_NO_ANSWER,     /* there was none */
	MISSING_NOT_CAPTURED,  /* part of it was not seen */
	MISSING_UNDECODABLE,   /* its coding or its JSON is broken, or not known */
	MISSING_UNKNOWN_SHAPE, /* it has no mark of the dialect */
	MISSING_AMBIGUOUS,     /* more than one dialect fits, and they count otherwise */
	MISSING_INCOMPLETE,    /* the counts leave some of the work out */
	USAGE_MISSING_REASONS
};

extern const char *const usage_missing_names[USAGE_MISSING_REASONS]; /* "", "not_asked", ... */
extern const char *const basis_names[BASES];			     /* "reported_usage", ... */
extern const char *const outcome_names[OUTCOMES]; /* "ok", "error", "aborted", "unknown" */
extern const char *const billing_mode_names[BILLING_MODES]; /* "metered", "subscription" */
extern const char *const unpriced_reason_names[UNPRICED_REASONS];

/* By which sign another row is the bill of this call (agent/legs.h), strongest first. */
enum collapse { COLLAPSED_NOT, COLLAPSED_RESPONSE_ID, COLLAPSED_REQUEST_BODY, COLLAPSES };
extern const char *const collapse_names[COLLAPSES]; /* "", "response_id", "request_body" */

/* Where the host of a call stands to the provider whose dialect it speaks. */
enum host_role {
	ROLE_UNKNOWN, /* known by shape only: metered, unpriced */
	ROLE_DIRECT,
	ROLE_GATEWAY,	  /* forwards to the provider and bills as it does */
	ROLE_SELF_HOSTED, /* costs nothing per token unless prices.d says otherwise */
	HOST_ROLES
};
extern const char *const host_role_names[HOST_ROLES];

#define CALL_NAME_MAX 128 /* model, ids */
#define CALL_HOST_MAX 256
#define CALL_RAW_MAX  2048
#define CALL_TAGS_MAX 24
#define TAG_KEY_MAX   64
#define TAG_VALUE_MAX 256
#define CALL_PATH_MAX 512 /* exe, cgroup */

struct usage {
	bool known;	  /* tokens[] are the provider's; false: all unknown (null) */
	bool mismatch;	  /* the provider's counts disagree, one is no count, or work is in none */
	bool lower_bound; /* more may be billed than the counts say */
	int64_t tokens[TOKEN_KINDS]; /* disjoint; 0 = none */
	int64_t tool_units[TOOL_UNITS];
	int64_t provider_cost_pusd;  /* cost on the wire, or -1 */
	char raw_json[CALL_RAW_MAX]; /* the provider's own integers, unchanged; "" = none */
};

/*
 * Usage that is told more than once (polled responses, batch results) goes by this key, made of
 * hashes under the install's key: the ids themselves stay behind.
 */
struct usage_key {
	bool set;
	/* This very call is the work: it counts, whatever else goes by that id. Else it reads back.
	 */
	bool made;
	uint8_t object[16]; /* provider, credential, kind and id */
	uint8_t part[16];   /* line or custom id of a batch; all zero = the whole object */
};

/* What joined a call to its run (agent/runs/run.h), the surest first. */
enum run_source {
	RUN_ALONE, /* nothing: it is the first, or the only one */
	RUN_BY_TRACE,
	RUN_BY_SESSION,
	RUN_BY_RESPONSE,     /* it goes on from an answer by its id */
	RUN_BY_CONVERSATION, /* that the provider keeps */
	RUN_BY_TOOL_CALL,    /* it brings the result of a tool call that an answer asked for */
	RUN_SOURCES
};
extern const char *const run_source_names[RUN_SOURCES]; /* "", "trace_id", ... */

/*
 * Ids that calls of one run have in common, as hashes under the install's key: the ids themselves
 * stay behind. Of many the last stay. Not recorded.
 */
#define CALL_LINKS_MAX 16
struct call_link {
	enum run_source kind; /* from RUN_BY_RESPONSE on */
	uint8_t hash[16];
};
struct call_links {
	uint32_t count; /* of all that were added; item[] holds the last of them */
	struct call_link item[CALL_LINKS_MAX];
};

/* Who made the call; "" or 0 in a field = unknown. */
struct workload {
	uint32_t pid;
	uint32_t uid;
	bool uid_known;
	uint64_t start_boot_ns;
	char user[64];
	char comm[64];
	char exe[CALL_PATH_MAX];
	char cgroup[CALL_PATH_MAX];
	char container_id[80];
	char unit[CALL_NAME_MAX];
	char slice[CALL_NAME_MAX]; /* systemd's, of this host */
	char login[64];		   /* who logged in: a name, or the uid of one without */
	char argv[256];		   /* what the configuration allows of the command line */
	char started_by[32];	   /* the agent, CI runner, cron or shell above it: KIND/NAME */
	char login_session[32];	   /* of logind */
	char pod_uid[40];
	char namespace_[CALL_NAME_MAX];
	char pod[CALL_NAME_MAX];
	char container[CALL_NAME_MAX];
	char owner[CALL_NAME_MAX]; /* what made the pod: "deployment/api" */
	char node[CALL_NAME_MAX];
	bool ignored; /* its container's label says that no call of it is to be recorded */
};

/* Provenance of a tag, weakest first; a stronger source replaces a weaker one (design section 5).
 */
enum tag_source {
	TAG_DEFAULT,
	TAG_NODE,
	TAG_NAMESPACE,
	TAG_POD,
	TAG_ENV,
	TAG_HEADER,
	TAG_BODY,
	TAG_RULE,
	TAG_SOURCES
};
extern const char *const tag_source_names[TAG_SOURCES];

struct tag {
	char key[TAG_KEY_MAX];
	char value[TAG_VALUE_MAX];
	enum tag_source source;
};

struct tags {
	uint32_t count; /* <= CALL_TAGS_MAX; more are dropped */
	struct tag item[CALL_TAGS_MAX];
};

/*
 * Sets key to value unless a stronger source already did. Returns false when the table is full or
 * key is empty.
 */
bool tags_set(struct tags *tags, struct slice key, struct slice value, enum tag_source source);

struct cost {
	int64_t list_pusd; /* public price, picodollars; -1 = unpriced */
	int64_t cost_pusd; /* what this account owes; -1 = unpriced */
	/* What its cached input would have cost as plain input, less what it cost: below 0 where
	 * the writes cost more than was read. 0 when unpriced. */
	int64_t cache_savings_pusd;
	enum unpriced_reason unpriced;
	char price_id[CALL_NAME_MAX]; /* "provider/model@valid_from", "" = none */
	char prices_sha256[65];	      /* hex of the loaded table; "" = none */
};

struct call {
	uint8_t event_id[16];
	/*
	 * 0 = the call itself; n = the nth record of the same exchange that is billed at a model of
	 * its own (Anthropic's advisor). Part of the event's identity.
	 */
	int sub_index;
	int64_t started_at_us; /* wall clock, Unix epoch */
	int64_t dated_us;      /* when the provider says that it was; 0 = it is as it was seen */
	int64_t duration_us;
	int64_t time_to_first_token_us; /* -1 = unknown */

	char provider[32]; /* gen_ai.provider.name, or the vendor's short name */
	char host[CALL_HOST_MAX];
	enum host_role role;
	char operation[32]; /* gen_ai.operation.name: chat, text_completion, embeddings, ... */
	char api[32];	    /* chat.completions, responses, completions, embeddings, messages */
	char model_requested[CALL_NAME_MAX];
	char model[CALL_NAME_MAX]; /* the response's model, else the request's, else "" */
	bool stream;
	int status; /* HTTP status; 0 = no response head seen */
	enum outcome outcome;
	enum basis basis;
	enum usage_missing usage_missing; /* beside basis estimated and partial */
	/* Usage is known by an estimate of this method (agent/tokens), not by the provider. */
	char estimated_by[32];
	char error_class[64]; /* provider's error type, "" = none */

	struct usage usage;
	struct usage_key key;
	bool usage_conflict;   /* the same key was told with other usage: both rows say so */
	bool summed;	       /* usage of several requests in one: no prompt of a single length */
	char service_tier[32]; /* served tier, else requested, else "" */
	bool batch;
	char inference_geo[16]; /* price selectors of Anthropic */
	char speed[16];
	enum billing_mode billing_mode;
	bool billable; /* false: someone else pays (collapsed gateway leg, free path) */
	char billed_by[CALL_NAME_MAX]; /* who bills; the provider unless collapsed */
	enum collapse collapsed_by;    /* with billable false: this leg is in no sum */
	bool body_known;	       /* of the request, which was sent whole; not recorded */
	uint8_t body[16];	       /* a hash of it under the install's key */

	char response_id[CALL_NAME_MAX];
	char request_id[CALL_NAME_MAX];
	int attempt;	       /* 1 = first */
	char operation_id[40]; /* links attempts of one operation */
	char trace_id[33];
	char span_id[17];
	char session_id[CALL_NAME_MAX];
	char run_id[CALL_NAME_MAX]; /* "" = there is nothing others could be joined to it by */
	enum run_source joined_by;
	struct call_links asks;	  /* what its request goes on from */
	struct call_links gives;  /* what others may go on from */
	char key_fingerprint[9];  /* 8 hex of a per-install keyed hash; "" = no credential seen */
	char credential_kind[16]; /* api_key, oauth, azure_key, ... */

	struct workload workload;
	bool is_on_behalf;	      /* the workload is a gateway's */
	struct workload on_behalf_of; /* whose call it passed on */
	struct tags tags;
	int gaps; /* gaps in either direction of this call */

	struct cost cost;
};

/* Whose spend the call is. */
static inline const struct workload *call_payer(const struct call *call)
{
	return call->is_on_behalf ? &call->on_behalf_of : &call->workload;
}

/*
 * Leaves of it what privacy.profile=minimal promises: provider, model, tokens, cost and times, what
 * these depend on or how good they are, its own ids, and its tags. All else is as if unknown.
 */
void call_minimise(struct call *call);

/* A hash of what the usage counts; equal usage has an equal one. */
void usage_digest(const struct usage *usage, uint8_t digest[16]);

/* Sum of the input kinds: the prompt as tiers see it. */
int64_t usage_input_total(const struct usage *usage);
int64_t usage_output_total(const struct usage *usage);

#endif
