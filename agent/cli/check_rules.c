/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/check_rules.h"

#include "agent/attribution/rule_facts.h"
#include "agent/attribution/rules.h"
#include "agent/cli/events.h"
#include "agent/cli/output.h"
#include "agent/cli/progress.h"
#include "exporter/query.h"
#include "exporter/text.h"

#include <errno.h>

#define COMMAND "check"

static int printed(struct output *o)
{
	int rc = output_end(o);

	if (rc && rc != -EPIPE)
		return cli_fail(EXIT_FAILED, COMMAND, "cannot write: %s", strerror(-rc));
	return EXIT_OK;
}

/* ---- the list -------------------------------------------------------------------------------- */

static int list_rules(const struct config *config, enum output_form form)
{
	static const struct output_column columns[] = {{"line", OUTPUT_RIGHT},
						       {"rule", OUTPUT_LEFT},
						       {"match", OUTPUT_LEFT},
						       {"set", OUTPUT_LEFT}};
	struct output *o;
	char text[4096];

	if (output_new(&o, stdout, form, columns, ARRAY_LEN(columns)))
		return cli_fail(EXIT_FAILED, COMMAND, "no memory");
	for (size_t i = 0; i < rules_count(config->rules); i++) {
		const struct rule_view rule = rules_view(config->rules, i);

		output_int(o, rule.line);
		output_text(o, rule.name);
		rules_conditions_text(config->rules, i, text, sizeof(text));
		output_text(o, *text ? text : "every call");
		rules_tags_text(config->rules, i, text, sizeof(text));
		output_text(o, text);
		output_row(o);
	}
	return printed(o);
}

/* ---- one call -------------------------------------------------------------------------------- */

struct search {
	uint8_t id[16];
	struct event found;
	bool is_found;
	int64_t looked_at;
};

static bool parse_id(const char *text, uint8_t id[16])
{
	static const char digits[] = "0123456789abcdef";

	if (!slice_is_hex(slice_of(text), 32))
		return false;
	for (int i = 0; i < 16; i++)
		id[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 |
				  (strchr(digits, text[2 * i + 1]) - digits));
	return true;
}

static int look(void *user, const struct event *event)
{
	struct search *search = user;

	if (++search->looked_at % 4096 == 0)
		progress_show("looking for the call", search->looked_at, 0, "calls");
	if (memcmp(event->call.event_id, search->id, sizeof(search->id)) != 0)
		return 0;
	search->found = *event;
	search->is_found = true;
	return -ECANCELED;
}

static int find_event(struct search *search, const char *event_id, const char *dir)
{
	const struct query_filter all = {0};
	char err[QUERY_ERROR_MAX];
	struct query *q;
	int code = EXIT_OK;

	if (!parse_id(event_id, search->id))
		return cli_fail(EXIT_USAGE, COMMAND,
				"--explain: an event_id is 32 lower-case hex digits; tolltap "
				"events --explain shows them");
	if (query_open(&q, dir, err, sizeof(err)))
		return cli_fail(EXIT_STORAGE, COMMAND, "%s", err);
	if (query_events(q, &all, 0, 0, look, search) < 0 && !search->is_found)
		code = cli_fail(EXIT_STORAGE, COMMAND, "%s", query_error(q));
	else if (!search->is_found)
		code = cli_fail(EXIT_FAILED, COMMAND, "no call of the ledger has the event_id %s",
				event_id);
	progress_end();
	query_close(q);
	return code;
}

/*
 * Takes the tags of rules off: they are what is to be explained. What a rule had replaced is not
 * recorded, so a fact of such a name is not known.
 */
static void take_rule_tags(struct tags *tags, struct tags *taken)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < tags->count; i++) {
		const struct tag *tag = &tags->item[i];

		if (tag->source == TAG_RULE && strcmp(tag->key, RULES_OWN_MARK) != 0)
			taken->item[taken->count++] = *tag;
		else
			tags->item[kept++] = *tag;
	}
	tags->count = kept;
}

struct explanation {
	struct output *output;
	struct tags taken;
};

static bool was_taken(const struct explanation *e, const char *fact)
{
	const char *colon = strchr(fact, ':');

	for (uint32_t i = 0; colon && i < e->taken.count; i++) {
		if (!strcmp(e->taken.item[i].key, colon + 1))
			return true;
	}
	return false;
}

static void emit_why(const struct explanation *e, const struct rule_step *step)
{
	char text[RULE_FACT_NAME_MAX + CALL_PATH_MAX + 128] = "";

	switch (step->verdict) {
	case RULE_MATCHES:
	case RULE_VERDICTS:
		break;
	case RULE_DIFFERS:
		snprintf(text, sizeof(text), "%s is '%s'", step->fact, step->value);
		break;
	case RULE_FACT_UNKNOWN:
		snprintf(text, sizeof(text),
			 was_taken(e, step->fact)
				 ? "%s: a rule replaced it when the call was recorded"
				 : "%s is not known",
			 step->fact);
		break;
	case RULE_GAVE_UP:
		snprintf(text, sizeof(text), "a regex gave up on %s '%s' after %d steps",
			 step->fact, step->value, RULES_MATCH_LIMIT);
		break;
	case RULE_NOT_TRIED:
		snprintf(text, sizeof(text), "an earlier rule matched, and rules.mode is first");
		break;
	}
	output_text(e->output, text);
}

static void emit_tags(const struct explanation *e, const struct rule_step *step)
{
	static const char *const outcomes[] = {
		[RULE_TAG_SET] = "",
		[RULE_TAG_STRONGER] = " (not set: a stronger source says otherwise)",
		[RULE_TAG_UNKNOWN] = " (not set: a part of its value is not known)",
		[RULE_TAG_FULL] = " (not set: the call has no room for another tag)",
	};
	struct text text = TEXT_INIT(OUTPUT_CELL_MAX);

	for (size_t i = 0; i < step->tag_count; i++) {
		const struct rule_tag *tag = &step->tags[i];
		bool known = tag->outcome != RULE_TAG_UNKNOWN;

		text_printf(&text, "%s%s%s%s%s%s", i ? ", " : "", tag->key, known ? "=" : "",
			    known ? tag->value : "",
			    known && tag->source == TAG_DEFAULT ? " (default)" : "",
			    outcomes[tag->outcome]);
	}
	output_text(e->output, text_cstr(&text));
	text_free(&text);
}

static void emit_step(void *user, const struct rule_step *step)
{
	static const char *const verdicts[RULE_VERDICTS] = {
		[RULE_MATCHES] = "matches",	 [RULE_DIFFERS] = "differs",
		[RULE_FACT_UNKNOWN] = "unknown", [RULE_GAVE_UP] = "gave up",
		[RULE_NOT_TRIED] = "not tried",
	};
	const struct explanation *e = user;

	output_int(e->output, step->line);
	output_text(e->output, step->name);
	output_text(e->output, verdicts[step->verdict]);
	emit_why(e, step);
	emit_tags(e, step);
	output_row(e->output);
}

static int explain(const struct config *config, const char *event_id, enum output_form form)
{
	static const struct output_column columns[] = {{"line", OUTPUT_RIGHT},
						       {"rule", OUTPUT_LEFT},
						       {"result", OUTPUT_LEFT},
						       {"why", OUTPUT_LEFT},
						       {"tags", OUTPUT_LEFT}};
	struct explanation e = {0};
	struct search search = {0};
	int code = find_event(&search, event_id, config->storage_path);

	if (code != EXIT_OK)
		return code;
	if (output_new(&e.output, stdout, form, columns, ARRAY_LEN(columns)))
		return cli_fail(EXIT_FAILED, COMMAND, "no memory");
	take_rule_tags(&search.found.call.tags, &e.taken);
	rules_apply(config->rules, &search.found.call, emit_step, &e);
	return printed(e.output);
}

int check_rules(const struct config *config, const char *event_id)
{
	enum output_form form;

	if (!output_form_parse(config->output, &form))
		return cli_fail(EXIT_USAGE, COMMAND, "--output: table, json or csv");
	if (!rules_count(config->rules))
		fprintf(stderr, "tolltap check: %s has no rules\n", config->config_file);
	return event_id ? explain(config, event_id, form) : list_rules(config, form);
}
