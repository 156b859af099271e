/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tolltap top: who spends now, per process and model, from the ledger; what is and is not seen,
 * from the agent's status. A frame is text made from one snapshot; drawing it is terminal.c's.
 */
#include "agent/cli/flags.h"
#include "agent/cli/running.h"
#include "agent/cli/terminal.h"
#include "exporter/query.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define REFRESH_MS 1000
#define LIST_MAX   5 /* processes and files of each sort named on an empty screen */
#define ROWS_ONCE  1000
#define HEAD_ROWS  8 /* lines above the table's rows */
#define BOLD	   "\033[1m"
#define DIM	   "\033[2m"
#define INVERSE	   "\033[7m"
#define YELLOW	   "\033[33m"
#define PLAIN	   "\033[0m"

/* What rows stand for; b goes to the next. */
static const char *const groupings[][4] = {
	{"pid", "comm", "model", NULL}, {"comm", "model", NULL}, {"model", NULL},
	{"user", "model", NULL},	{"unit", "model", NULL}, {"provider", NULL},
};

enum sort_by { SORT_COST, SORT_RATE, SORT_CALLS, SORT_TOKENS, SORTS };
static const char *const sort_names[SORTS] = {"cost", "last minute", "calls", "tokens"};

struct row {
	struct spend *today;
	pusd_sum minute_cost;
};

struct snapshot {
	cJSON *status;	/* NULL: no agent ever wrote here, or not readable */
	int agent_code; /* EXIT_OK: it runs */
	char why[512];	/* why not */
	char ledger_error[QUERY_ERROR_MAX];
	int ledger_rc;
	struct spend *today, *minute;
	size_t today_count, minute_count;
	struct row *rows; /* sorted */
	struct spend total, last_minute;
	size_t key_count;
};

struct view {
	struct config config;
	size_t grouping;
	enum sort_by sort;
	bool once;
	bool colour;
};

static void help(void)
{
	printf("usage: tolltap top [--once] [flags]\n\n"
	       "Calls, tokens and dollars of today, live. Keys: q quit, s sort, b group by.\n"
	       "--once, or output that is no terminal, prints one frame; --output=json one "
	       "object.\n");
	config_help("top");
}

/* ---- snapshot -------------------------------------------------------------------------------- */

static int64_t tokens_all(const struct spend *s)
{
	int64_t sum = 0;

	for (size_t i = 0; i < TOKEN_KINDS; i++)
		sum += s->tokens[i];
	return sum;
}

static int64_t tokens_in(const struct spend *s)
{
	return tokens_all(s) - s->tokens[TOKEN_OUTPUT_TEXT] - s->tokens[TOKEN_OUTPUT_REASONING] -
	       s->tokens[TOKEN_OUTPUT_AUDIO] - s->tokens[TOKEN_OUTPUT_IMAGE];
}

static bool same_group(const struct spend *a, const struct spend *b, size_t keys)
{
	for (size_t i = 0; i < keys; i++) {
		const char *left = a->group[i] ? a->group[i] : QUERY_NONE;
		const char *right = b->group[i] ? b->group[i] : QUERY_NONE;

		if (strcmp(left, right) != 0)
			return false;
	}
	return true;
}

static int compare_rows(const void *left, const void *right, void *user)
{
	const struct row *a = left, *b = right;
	pusd_sum difference = 0;

	switch (*(const enum sort_by *)user) {
	case SORT_RATE:
		difference = b->minute_cost - a->minute_cost;
		break;
	case SORT_CALLS:
		difference = b->today->calls - a->today->calls;
		break;
	case SORT_TOKENS:
		difference = (pusd_sum)tokens_all(b->today) - tokens_all(a->today);
		break;
	default:
		break;
	}
	if (!difference)
		difference = b->today->cost - a->today->cost;
	return difference > 0 ? 1 : difference < 0 ? -1 : 0;
}

static int64_t start_of_today_us(void)
{
	time_t now = time(NULL);
	struct tm local;

	localtime_r(&now, &local);
	local.tm_hour = local.tm_min = local.tm_sec = 0;
	local.tm_isdst = -1;
	return (int64_t)mktime(&local) * 1000000;
}

static int read_ledger(struct snapshot *s, const struct view *view)
{
	struct query_filter today = {.since_us = start_of_today_us()};
	struct query_filter minute = {.since_us = ((int64_t)time(NULL) - 60) * 1000000};
	struct query_key keys[4];
	struct query *query = NULL;
	int rc;

	for (const char *const *name = groupings[view->grouping]; *name; name++) {
		if (!query_key_parse(slice_of(*name), &keys[s->key_count++]))
			return -EINVAL;
	}
	rc = query_open(&query, view->config.storage_path, s->ledger_error,
			sizeof(s->ledger_error));
	if (rc)
		return rc;
	rc = query_spend(query, &today, keys, s->key_count, &s->today, &s->today_count);
	if (!rc)
		rc = query_spend(query, &minute, keys, s->key_count, &s->minute, &s->minute_count);
	if (rc)
		snprintf(s->ledger_error, sizeof(s->ledger_error), "%s", query_error(query));
	query_close(query);
	return rc;
}

static int make_rows(struct snapshot *s, enum sort_by sort)
{
	s->rows = calloc(s->today_count ? s->today_count : 1, sizeof(*s->rows));
	if (!s->rows)
		return -ENOMEM;
	for (size_t i = 0; i < s->today_count; i++) {
		s->rows[i].today = &s->today[i];
		spend_add(&s->total, &s->today[i]);
		for (size_t k = 0; k < s->minute_count; k++) {
			if (same_group(&s->today[i], &s->minute[k], s->key_count))
				s->rows[i].minute_cost = s->minute[k].cost;
		}
	}
	for (size_t k = 0; k < s->minute_count; k++)
		spend_add(&s->last_minute, &s->minute[k]);
	qsort_r(s->rows, s->today_count, sizeof(*s->rows), compare_rows, &sort);
	return 0;
}

static void snapshot_take(struct snapshot *s, const struct view *view)
{
	memset(s, 0, sizeof(*s));
	s->agent_code =
		running_status(view->config.storage_path, &s->status, s->why, sizeof(s->why));
	s->ledger_rc = read_ledger(s, view);
	if (!s->ledger_rc)
		s->ledger_rc = make_rows(s, view->sort);
	if (s->ledger_rc && s->rows == NULL)
		s->today_count = s->minute_count = 0;
}

static void snapshot_free(struct snapshot *s)
{
	cJSON_Delete(s->status);
	query_spend_free(s->today, s->today_count);
	query_spend_free(s->minute, s->minute_count);
	free(s->rows);
}

/* ---- the frame ------------------------------------------------------------------------------- */

static const char *style(const struct view *view, const char *sequence)
{
	return view->colour ? sequence : "";
}

static const char *money(char *dst, pusd_sum amount, int decimals)
{
	return pusd_format_rounded(dst, amount, decimals);
}

static void put_label(FILE *f, const struct view *view, const char *label)
{
	fprintf(f, "%s%-12s%s ", style(view, DIM), label, style(view, PLAIN));
}

static void put_sum(FILE *f, const struct view *view, const char *label, const struct spend *sum)
{
	char cost[PUSD_TEXT_MAX], calls[32], tokens[32];

	put_label(f, view, label);
	fprintf(f, "%s%s%s USD%s  %s calls  %s tokens\n", spend_prefix(sum), style(view, BOLD),
		money(cost, sum->cost, 6), style(view, PLAIN),
		count_text(calls, sizeof(calls), sum->calls),
		count_text(tokens, sizeof(tokens), tokens_all(sum)));
}

static int64_t count_state(const cJSON *list, const char *key, const char *value)
{
	const cJSON *item;
	int64_t count = 0;

	cJSON_ArrayForEach(item, list)
	{
		count += !strcmp(status_text(item, key), value);
	}
	return count;
}

static const cJSON *list_of(const cJSON *status, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(status, key);
}

static void put_agent(FILE *f, const struct view *view, const struct snapshot *s)
{
	const cJSON *connections = list_of(s->status, "connections");
	const cJSON *kernel = list_of(s->status, "kernel");
	int64_t lost = status_counter(s->status, "tolltap_capture_lost_events_total");

	if (s->agent_code != EXIT_OK)
		fprintf(f, "%s%s%s\n", style(view, YELLOW), s->why, style(view, PLAIN));
	if (!s->status)
		return;
	put_label(f, view, "connections");
	fprintf(f, "%lld decoded  %lld muted  %lld blind   %s%lld lost events%s\n",
		(long long)status_number(connections, "decoded"),
		(long long)status_number(connections, "muted"),
		(long long)status_number(connections, "blind"), lost ? style(view, YELLOW) : "",
		(long long)lost, style(view, PLAIN));
	put_label(f, view, "TLS");
	fprintf(f, "%lld files attached  %lld processes read  %lld blind   by %s, %s\n",
		(long long)count_state(list_of(s->status, "files"), "state", "attached"),
		(long long)count_state(list_of(s->status, "processes"), "tls", "readable"),
		(long long)count_state(list_of(s->status, "processes"), "tls", "blind"),
		status_text(kernel, "attach"), status_text(kernel, "returns"));
}

static int key_width(const char *key)
{
	static const struct {
		const char *key;
		int width;
	} widths[] = {{"pid", 7}, {"comm", 15}, {"user", 15}, {"model", 26}, {"unit", 30}};

	for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
		if (!strcmp(widths[i].key, key))
			return widths[i].width;
	}
	return 24;
}

/* At most `width` characters, and spaces up to it. */
static void put_key(FILE *f, const char *text, int width)
{
	int bytes = 0;

	for (; text[bytes] && width > 0; width--) {
		do {
			bytes++;
		} while ((text[bytes] & 0xc0) == 0x80);
	}
	fprintf(f, "%.*s%*s ", bytes, text, width, "");
}

static void put_row(FILE *f, const struct view *view, const struct snapshot *s,
		    const struct row *row)
{
	char calls[32], input[32], output[32], cost[PUSD_TEXT_MAX], rate[PUSD_TEXT_MAX];
	const struct spend *t = row->today;
	int64_t in = tokens_in(t);

	for (size_t i = 0; i < s->key_count; i++)
		put_key(f, t->group[i] ? t->group[i] : QUERY_NONE,
			key_width(groupings[view->grouping][i]));
	fprintf(f, "%12s%s %11s %7s %12s %11s\n", money(cost, t->cost, 6),
		t->estimated	       ? "~"
		: spend_is_at_least(t) ? "+"
				       : " ",
		money(rate, row->minute_cost, 6), count_text(calls, sizeof(calls), t->calls),
		count_text(input, sizeof(input), in),
		count_text(output, sizeof(output), tokens_all(t) - in));
}

static void put_rows(FILE *f, const struct view *view, const struct snapshot *s, size_t max)
{
	fprintf(f, "%s", style(view, INVERSE));
	for (size_t i = 0; i < s->key_count; i++)
		fprintf(f, "%-*s ", key_width(groupings[view->grouping][i]),
			groupings[view->grouping][i]);
	fprintf(f, "%12s  %11s %7s %12s %11s%s\n", "USD today", "last minute", "calls", "tokens in",
		"out", style(view, PLAIN));
	for (size_t i = 0; i < s->today_count && i < max; i++)
		put_row(f, view, s, &s->rows[i]);
	if (s->today_count > max)
		fprintf(f, "%s... %zu more%s\n", style(view, DIM), s->today_count - max,
			style(view, PLAIN));
}

static void put_blind(FILE *f, const struct snapshot *s)
{
	const cJSON *item;
	char reason[256];
	int shown = 0;

	cJSON_ArrayForEach(item, list_of(s->status, "processes"))
	{
		if (strcmp(status_text(item, "tls"), "blind") != 0)
			continue;
		if (shown++ == LIST_MAX)
			break;
		fprintf(f, "  blind: %s (pid %lld): %s\n", status_text(item, "comm"),
			(long long)status_number(item, "pid"),
			status_blind_reason(reason, sizeof(reason), list_of(s->status, "processes"),
					    item));
	}
	if (shown > LIST_MAX)
		fprintf(f, "  ... more: tolltap doctor\n");
}

static void put_read(FILE *f, const struct snapshot *s)
{
	const cJSON *item;
	int shown = 0;

	cJSON_ArrayForEach(item, list_of(s->status, "processes"))
	{
		if (strcmp(status_text(item, "tls"), "readable") != 0)
			continue;
		if (shown++ == LIST_MAX)
			break;
		fprintf(f, "  read: %s (pid %lld), by %s\n", status_text(item, "comm"),
			(long long)status_number(item, "pid"), status_text(item, "library"));
	}
	if (shown > LIST_MAX)
		fprintf(f, "  ... more: tolltap doctor\n");
}

/* Nothing metered yet: what would be, what would not, and how to see it work. */
static void put_empty(FILE *f, const struct snapshot *s)
{
	const cJSON *item;
	int shown = 0;

	fprintf(f, "no LLM call seen today\n");
	cJSON_ArrayForEach(item, list_of(s->status, "files"))
	{
		if (strcmp(status_text(item, "state"), "attached") != 0)
			continue;
		if (shown++ == LIST_MAX)
			break;
		fprintf(f, "  attached: %s (%lld processes)\n", status_text(item, "path"),
			(long long)status_number(item, "processes"));
	}
	if (shown > LIST_MAX)
		fprintf(f, "  ... more: tolltap doctor\n");
	put_read(f, s);
	put_blind(f, s);
	fprintf(f, "try one (any answer counts, even a refusal):\n"
		   "  curl https://api.openai.com/v1/chat/completions \\\n"
		   "    -H \"Authorization: Bearer $OPENAI_API_KEY\" -H 'Content-Type: "
		   "application/json' \\\n"
		   "    -d '{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\","
		   "\"content\":\"hi\"}]}'\n");
}

static void put_frame(FILE *f, const struct view *view, const struct snapshot *s, size_t max_rows)
{
	char clock[32];
	time_t now = time(NULL);
	struct tm local;

	localtime_r(&now, &local);
	strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	fprintf(f, "%stolltap%s %s   sort: %s%s\n", style(view, BOLD), style(view, PLAIN), clock,
		sort_names[view->sort], view->once ? "" : "   q quit  s sort  b group by");
	put_sum(f, view, "today", &s->total);
	put_sum(f, view, "last minute", &s->last_minute);
	put_agent(f, view, s);
	if (s->ledger_rc)
		fprintf(f, "%s%s%s\n", style(view, YELLOW), s->ledger_error, style(view, PLAIN));
	fputc('\n', f);
	if (s->today_count)
		put_rows(f, view, s, max_rows);
	else
		put_empty(f, s);
}

/* ---- json ------------------------------------------------------------------------------------ */

static cJSON *json_spend(const struct spend *s)
{
	cJSON *object = cJSON_CreateObject();
	char text[PUSD_TEXT_MAX];

	cJSON_AddNumberToObject(object, "calls", (double)s->calls);
	cJSON_AddNumberToObject(object, "tokens_input", (double)tokens_in(s));
	cJSON_AddNumberToObject(object, "tokens_output", (double)(tokens_all(s) - tokens_in(s)));
	cJSON_AddStringToObject(object, "cost_usd", pusd_format(text, s->cost));
	cJSON_AddBoolToObject(object, "at_least", spend_is_at_least(s));
	cJSON_AddBoolToObject(object, "estimated", s->estimated);
	return object;
}

static void print_json(const struct view *view, const struct snapshot *s)
{
	static const char *const copied[] = {"kernel", "files", "processes", "connections",
					     "hints"};
	cJSON *root = cJSON_CreateObject();
	cJSON *rows = cJSON_AddArrayToObject(root, "rows");
	char text[PUSD_TEXT_MAX];
	char *out;

	cJSON_AddBoolToObject(root, "agent_running", s->agent_code == EXIT_OK);
	cJSON_AddItemToObject(root, "today", json_spend(&s->total));
	cJSON_AddItemToObject(root, "last_minute", json_spend(&s->last_minute));
	cJSON_AddNumberToObject(
		root, "lost_events",
		(double)status_counter(s->status, "tolltap_capture_lost_events_total"));
	for (size_t i = 0; i < s->today_count; i++) {
		cJSON *row = json_spend(s->rows[i].today);

		for (size_t k = 0; k < s->key_count; k++)
			cJSON_AddStringToObject(row, groupings[view->grouping][k],
						s->rows[i].today->group[k]
							? s->rows[i].today->group[k]
							: QUERY_NONE);
		cJSON_AddStringToObject(row, "last_minute_usd",
					pusd_format(text, s->rows[i].minute_cost));
		cJSON_AddItemToArray(rows, row);
	}
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		const cJSON *item = list_of(s->status, copied[i]);

		cJSON_AddItemToObject(root, copied[i],
				      item ? cJSON_Duplicate(item, true) : cJSON_CreateNull());
	}
	out = cJSON_PrintUnformatted(root);
	if (out)
		puts(out);
	cJSON_free(out);
	cJSON_Delete(root);
}

/* ---- modes ----------------------------------------------------------------------------------- */

/* Nothing at all can be shown: neither an agent's status nor a ledger. */
static int nothing_to_show(const struct snapshot *s)
{
	if (!s->status && s->ledger_rc)
		return cli_fail(s->agent_code, "top", "%s", s->why);
	if (s->ledger_rc == -EACCES)
		return cli_fail(EXIT_PRIVILEGE, "top", "%s", s->ledger_error);
	return EXIT_OK;
}

static int show_once(const struct view *view)
{
	struct snapshot s;
	int rc;

	snapshot_take(&s, view);
	rc = nothing_to_show(&s);
	if (rc == EXIT_OK && !strcmp(view->config.output, "json"))
		print_json(view, &s);
	else if (rc == EXIT_OK)
		put_frame(stdout, view, &s, ROWS_ONCE);
	snapshot_free(&s);
	return rc;
}

static void draw(const struct view *view)
{
	char *text = NULL;
	size_t size = 0;
	int columns, rows;
	struct snapshot s;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return;
	terminal_size(&columns, &rows);
	snapshot_take(&s, view);
	put_frame(f, view, &s, rows > HEAD_ROWS + 1 ? (size_t)rows - HEAD_ROWS - 1 : 1);
	fclose(f);
	terminal_draw(text);
	free(text);
	snapshot_free(&s);
}

static int show_live(struct view *view)
{
	struct snapshot s;
	int key = 0;
	int rc;

	snapshot_take(&s, view);
	rc = nothing_to_show(&s);
	snapshot_free(&s);
	if (rc != EXIT_OK)
		return rc;
	rc = terminal_open();
	if (rc)
		return cli_fail(EXIT_FAILED, "top", "the terminal cannot be used (%s); try --once",
				strerror(-rc));
	while (key >= 0 && key != 'q') {
		if (key == 's')
			view->sort = (view->sort + 1) % SORTS;
		if (key == 'b')
			view->grouping = (view->grouping + 1) % ARRAY_LEN(groupings);
		draw(view);
		key = terminal_key(REFRESH_MS);
	}
	terminal_close();
	return EXIT_OK;
}

int cmd_top(int argc, char **argv)
{
	struct view view = {.grouping = 0, .sort = SORT_COST};
	const struct cli_flag own[] = {
		{.name = "once", .boolean = &view.once},
		{.name = NULL},
	};
	int rc = cli_begin(&view.config, &argc, argv, own, help);

	if (rc == CLI_GO_ON && argc > 1)
		rc = cli_fail(EXIT_USAGE, "top", "unexpected '%s'", argv[1]);
	if (rc == CLI_GO_ON) {
		view.once |= !terminal_usable() || strcmp(view.config.output, "table") != 0;
		view.colour = !view.once && !getenv("NO_COLOR");
		rc = view.once ? show_once(&view) : show_live(&view);
	}
	config_free(&view.config);
	return rc;
}
