/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dialect says what an answer's JSON means: rows of (path, meaning), the same for a JSON body and
 * for the events of a stream, since their paths differ. Where an answer is gRPC's, the paths are of
 * protobuf field numbers, and nothing else is different. Code stands only in `finish`, which turns
 * the provider's raw counts into disjoint kinds (design section 3, rule 1), and in `item`, which
 * reads one element of a list (Anthropic's iterations, the output items of Responses).
 *
 * To add one: rows, a finish, an extern below, and vectors in tests/unit/usage.
 */
#ifndef TT_DIALECT_H
#define TT_DIALECT_H

#include "agent/usage/call.h"

/* Counts as the provider sends them; what each includes differs by dialect. */
enum raw_field {
	RAW_INPUT,
	RAW_OUTPUT,
	RAW_TOTAL,
	RAW_CACHED,
	RAW_CACHED_AUDIO, /* part of RAW_CACHED and of RAW_INPUT_AUDIO */
	RAW_CACHED_IMAGE,
	RAW_CACHE_WRITE,
	RAW_CACHE_WRITE_5M,
	RAW_CACHE_WRITE_1H,
	RAW_INPUT_AUDIO,
	RAW_INPUT_IMAGE,
	RAW_REASONING,
	RAW_OUTPUT_AUDIO,
	RAW_OUTPUT_IMAGE,
	RAW_WEB_SEARCH,
	RAW_FILE_SEARCH,
	RAW_CODE_INTERPRETER,
	RAW_AUDIO_SECONDS,
	RAW_PAGES,
	RAW_IMAGES,
	RAW_SEARCH_UNITS,
	RAW_CLASSIFICATIONS,
	RAW_TOOL_INPUT, /* results of tools, beside RAW_INPUT */
	RAW_CHARACTERS,
	RAW_BILLED_INPUT, /* what a host says it bills, beside its models' own counts */
	RAW_BILLED_OUTPUT,
	RAW_BILLED_CACHED,
	RAW_BILLED_CACHE_WRITE,
	RAW_COST_TICKS,	   /* 10^-10 USD (xAI) */
	RAW_COST,	   /* picodollars, from decimal USD on the wire */
	RAW_UPSTREAM_COST, /* picodollars billed to the customer's own key (OpenRouter BYOK) */
	RAW_BYOK,	   /* 1 = RAW_UPSTREAM_COST comes on top of RAW_COST */
	RAW_FIELDS
};
#define RAW_ABSENT    (-1)
#define RAW_COUNT_MAX 1000000000000000LL /* larger counts are no counts */

enum answer_text {
	TEXT_MODEL,
	TEXT_RESPONSE_ID,
	TEXT_SERVICE_TIER,
	TEXT_INFERENCE_GEO,
	TEXT_SPEED,
	TEXT_ERROR_TYPE,
	TEXT_ERROR_CODE,
	TEXT_EVENT,  /* the document's type, where the dialect has sessions */
	TEXT_STATUS, /* how a response ended, or an error's HTTP status */
	TEXT_SIDE_ID,
	TEXT_SIDE_MODEL, /* of work beside the responses: transcription */
	TEXT_SESSION_ID,
	TEXT_SESSION_MODEL,
	TEXT_ITEM_TYPE, /* of the item being read */
	TEXT_ITEM_ACTION,
	TEXT_ITEM_MODEL,
	TEXT_ITEM_CONTAINER,
	/* Of the document around the units of usage, where it holds several. */
	TEXT_DATE,   /* when the work was done: Unix seconds or RFC 3339 */
	TEXT_OUTPUT, /* the file that holds the parts of what this usage is the sum of */
	ANSWER_TEXTS
};

enum row_kind {
	ROW_COUNT,	/* integer into raw[field]; the last one wins, null changes nothing. With
			   a prefix also kept as the provider's own number of that name */
	ROW_SECONDS,	/* as ROW_COUNT, to the nearest second */
	ROW_USD,	/* decimal USD into raw[field] as picodollars */
	ROW_TRUE,	/* true puts 1 into raw[field] */
	ROW_TEXT,	/* identifier into text[field]; the last non-empty one wins, of those that
			   start with `prefix` where there is one */
	ROW_RAW,	/* "x.**": the provider's own numbers, kept unchanged; one of them with
			   its name as prefix */
	ROW_USAGE,	/* "x{}": its end makes the usage final as far as this document goes */
	ROW_LAST,	/* the same, and nothing follows its document */
	ROW_CONTENT,	/* "x#": generated text, whose length is seen; "x~": and its bytes pass */
	ROW_FINISH,	/* a string here says that generation ended */
	ROW_TYPE,	/* the event's type: see end_types; a mark of the dialect */
	ROW_MARK,	/* text that starts with `prefix` shows that this dialect is spoken */
	ROW_ERROR,	/* "x{}": an error object */
	ROW_FAILED,	/* text that starts with `prefix`: the answer failed */
	ROW_LINE,	/* false: a line of a stream, more follow; true: nothing follows */
	ROW_ITEM,	/* "x[]{}": one element of the item list `field` begins or ends */
	ROW_ITEM_COUNT, /* integer into item_raw[field] */
	ROW_ELEMENT,	/* "[]{}": the body is one array, of which each element is an event */
	ROW_SEARCH,	/* a string here, or with `prefix` just this value, is one web search; the
			   last document with any counts */
	ROW_REFUSED,	/* a string here, or an enum's number but 0, says that the prompt was
			   refused before any work */
	ROW_UNIT,	/* "x[]{}": one element is a unit of usage of its own */
	ROW_UNIT_NAME,	/* what the client calls it: a batch's custom id */
	ROW_TOOL_CALL,	/* the id of a tool call that the answer asks for; passes, is not kept */
};

struct dialect_row {
	const char *path;
	enum row_kind kind;
	uint8_t field;	    /* enum raw_field or enum answer_text */
	const char *prefix; /* of a text; in ROW_COUNT and ROW_RAW a name */
};

/* An error object below p, classed by its member of that name, else by its code. */
#define ROWS_ERROR(p, member)                                                                    \
	{p "error{}", ROW_ERROR, 0, NULL}, {p "error." member, ROW_TEXT, TEXT_ERROR_TYPE, NULL}, \
	{                                                                                        \
		p "error.code", ROW_TEXT, TEXT_ERROR_CODE, NULL                                  \
	}

/* A value of text[field] that is told by another name: the provider's enums as numbers. */
struct dialect_name {
	enum answer_text field;
	const char *from, *to;
};

/* A count in the answer's head, which is final; kept as the provider's own number of that name. */
struct dialect_head {
	const char *header;
	enum raw_field field;
	const char *name;
};

#define ANSWER_UNIT_NAME_MAX  512 /* a longer one names nothing */
#define ANSWER_SUBS_MAX	      8
#define ANSWER_CONTAINERS_MAX 8

/* Usage at another model than the answer's: its own row (Anthropic's advisor). */
struct answer_sub {
	char model[CALL_NAME_MAX];
	int64_t raw[RAW_FIELDS];
};

/* All that was read of one answer. */
struct answer {
	int64_t raw[RAW_FIELDS];
	char text[ANSWER_TEXTS][CALL_NAME_MAX];
	uint64_t content_bytes;
	bool unreadable; /* a count was sent that is none (-1, 1.5, 1e999): all are doubted */
	bool refused;	 /* the prompt was refused before any work */
	uint32_t searches;
	uint32_t unit_name_len;
	char unit_name[ANSWER_UNIT_NAME_MAX]; /* as it came: to be hashed */
	int64_t item_raw[RAW_FIELDS];	      /* of the item being read */
	uint8_t item_list;		      /* field of its row */

	/* What `item` gathers; cleared when a later document lists its items anew. */
	int64_t item_sum[RAW_FIELDS]; /* 0 = none */
	uint32_t items_unlike;	      /* items that make the top level incomplete */
	bool items_fallback;	      /* an item says that the top level is whole */
	bool items_unknown;	      /* items of a kind this dialect does not know */
	bool items_unbilled;	      /* items whose bill stands nowhere in the usage */
	uint32_t container_count;
	uint64_t container[ANSWER_CONTAINERS_MAX];
	uint32_t sub_count;
	struct answer_sub sub[ANSWER_SUBS_MAX];
};

/* What an event of a session means. */
enum session_event {
	SESSION_NOTHING,
	SESSION_BEGIN, /* a call begins */
	SESSION_DONE,  /* it ends, with its usage */
	SESSION_SIDE,  /* work beside the calls, a record when it has usage */
	SESSION_ERROR, /* ends a call before its time */
};

struct session_row {
	const char *type; /* TEXT_EVENT; NULL ends the list */
	enum session_event event;
};

/* How the messages of a connection that stays (WebSocket) make calls; exchange/session.h. */
struct session_rules {
	/* NULL: no message names its type; the first with content begins a call, usage ends it. */
	const struct session_row *events;
	bool asked;	 /* each call answers one request of the client, in order */
	bool deployment; /* what the target names is no model */
};

/* How an answer stands on the wire. */
enum dialect_wire {
	WIRE_JSON, /* a document, or events, lines or messages that hold some */
	WIRE_GRPC, /* one protobuf message (agent/grpc) */
	WIRE_GRPC_STREAM,
};

/* A field of a gRPC request, and the member of a JSON request that says the same. */
struct request_field {
	const char *path; /* NULL ends the list */
	const char *name;
	const char *behind; /* only what follows this counts, where it is there; or NULL */
};

struct dialect {
	const char *name;
	const struct dialect_row *rows;
	size_t row_count;
	enum dialect_wire wire;
	const struct request_field *request; /* of gRPC; else NULL */
	bool usage_on_request;		     /* of a stream: only where include_usage asks for it */
	bool free;		 /* what answers in it costs nothing, whatever it counts */
	const char *unit_models; /* models of this prefix are billed by what no usage tells */
	const struct session_rules *session; /* NULL: bodies of HTTP */
	const struct dialect_head *head;     /* `header` NULL ends it; NULL = none */
	const char *const *end_types; /* values of ROW_TYPE that end a stream; NULL-ended or NULL */
	bool chunks;		      /* AWS "chunk" events hold the model's own events */
	/*
	 * The kind of object that its usage is of and is told of again, or NULL. A POST or a
	 * session makes one, a GET reads it back.
	 */
	const char *object;
	bool batch;  /* at the prices of batches */
	bool units;  /* each element with ROW_UNIT, or each line, stands alone */
	bool summed; /* its usage is that of several requests */
	bool lines;  /* a stream is JSON documents, one a line, each with a ROW_LINE */
	const struct dialect_name *names; /* `to` NULL ends it; NULL = none */
	/*
	 * Each usage object tells all anew: the last one with a count stands whole, with its items,
	 * and is never merged with those before it.
	 */
	bool usage_whole;
	void (*item)(struct answer *a); /* at the end of each item; may be NULL */
	/*
	 * Sets known, mismatch, lower_bound, tokens and tool units from the raw counts; NULL: no
	 * count in it is usage.
	 */
	void (*finish)(const struct answer *a, struct usage *u);
	/* Same for one sub-model's counts; NULL where there are none. */
	void (*finish_sub)(const struct answer_sub *sub, struct usage *u);
};

extern const struct dialect dialect_openai_chat; /* chat and legacy completions, embeddings */
extern const struct dialect dialect_openai_responses;
extern const struct dialect dialect_anthropic;
extern const struct dialect dialect_foundry;	   /* Azure AI Foundry /models: grok's rule */
extern const struct dialect dialect_gemini_compat; /* Gemini's OpenAI path hides its thinking */
extern const struct dialect dialect_openai_images;
extern const struct dialect dialect_openai_audio; /* transcription, translation */
extern const struct dialect dialect_openai_speech;
extern const struct dialect dialect_openai_runs;	/* of assistants */
extern const struct dialect dialect_openai_batch;	/* the object: usage of the whole */
extern const struct dialect dialect_openai_batch_lines; /* its output file */
extern const struct dialect dialect_xai_batch_results;
extern const struct dialect dialect_mistral_batch;
extern const struct dialect dialect_anthropic_batch; /* the object: no usage, but its end */
extern const struct dialect dialect_anthropic_batch_results;
extern const struct dialect dialect_gemini_batch;
extern const struct dialect dialect_gemini; /* also Google's models on Vertex AI */
extern const struct dialect dialect_gemini_interactions;
extern const struct dialect dialect_gemini_cache; /* creating a cache */
extern const struct dialect dialect_vertex_predict;
extern const struct dialect dialect_mistral_ocr;
extern const struct dialect dialect_vertex_grpc;
extern const struct dialect dialect_vertex_grpc_stream;
extern const struct dialect dialect_xai_grpc;
extern const struct dialect dialect_xai_grpc_stream;
extern const struct dialect dialect_xai_grpc_deferred;
extern const struct dialect dialect_free;
extern const struct dialect dialect_bedrock_converse;
extern const struct dialect dialect_bedrock_invoke;
extern const struct dialect dialect_cohere;
extern const struct dialect dialect_ollama;
extern const struct dialect dialect_vercel;
extern const struct dialect dialect_openai_responses_socket;
extern const struct dialect dialect_openai_realtime; /* xAI's too */
extern const struct dialect dialect_azure_realtime;
extern const struct dialect dialect_gemini_live;

/* The count, or 0 when absent. */
static inline int64_t raw_or_zero(const int64_t raw[RAW_FIELDS], enum raw_field field)
{
	return raw[field] == RAW_ABSENT ? 0 : raw[field];
}

void raw_clear(int64_t raw[RAW_FIELDS]); /* all absent */

/* True when one of these fields was told. */
#define RAW_ANY(raw, ...)                                   \
	raw_any(raw, (const enum raw_field[]){__VA_ARGS__}, \
		ARRAY_LEN(((const enum raw_field[]){__VA_ARGS__})))
bool raw_any(const int64_t raw[RAW_FIELDS], const enum raw_field *fields, size_t count);

/* Moves at most `part` out of *rest; returns what was moved. *clamped is set when it was less. */
int64_t usage_take(int64_t *rest, int64_t part, bool *clamped);

#endif
