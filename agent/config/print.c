/* SPDX-License-Identifier: Apache-2.0 */
/* The options table as people read it: --help, check config, docs/configuration.md. */
#include "agent/attribution/rules.h"
#include "agent/config/options.h"

#include <cjson/cJSON.h>
#include <stdio.h>

static const char *const source_names[] = {"default", "file", "environment", "flag"};

static bool scope_shown(const struct option *o, const char *command)
{
	static const char *const agent_commands[] = {"run", "exec", "check"};
	static const char *const both[] = {"exec", "check"}; /* start an agent and print */

	bool agent = false, query = true;

	for (size_t i = 0; i < ARRAY_LEN(agent_commands); i++)
		agent |= !strcmp(agent_commands[i], command);
	query = !agent;
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		query |= !strcmp(both[i], command);
	if (o->scope == SCOPE_BILL)
		return !strcmp(command, "bill") || !strcmp(command, "check");
	return o->scope == SCOPE_ALL || (o->scope == SCOPE_AGENT ? agent : query);
}

static const char *shown_default(const struct option *o)
{
	return *o->fallback ? o->fallback : o->shown;
}

static void print_choices(const struct option *o, const char *before, const char *after)
{
	if (!o->choices)
		return;
	fputs(before, stdout);
	for (size_t i = 0; o->choices[i]; i++)
		printf("%s%s", i ? ", " : "", o->choices[i]);
	fputs(after, stdout);
}

void config_help(const char *command)
{
	printf("\nshared flags (also in the file as keys, and in the environment as "
	       "TOLLTAP_...):\n");
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &options[i];

		if (!scope_shown(o, command))
			continue;
		printf("  --%s=%s\n      %s", o->name, o->value, o->help);
		print_choices(o, ": ", "");
		printf(" [%s]\n", shown_default(o));
	}
}

static void print_origin(const struct config *c, size_t row, char *dst, size_t size)
{
	const struct config_origin *origin = &c->origin[row];

	if (origin->source == CONFIG_FILE)
		snprintf(dst, size, "%s:%d", c->config_file, origin->line);
	else if (origin->source == CONFIG_ENV)
		option_env_name(&options[row], dst);
	else
		snprintf(dst, size, "%s", source_names[origin->source]);
}

/* An entry of `keys` as one value. */
static const char *key_text(const struct key_name *row, char *dst, size_t size)
{
	snprintf(dst, size, "%s=%s", row->fingerprint, row->name);
	return dst;
}

static size_t key_count(const struct config *c)
{
	return c->keys ? c->keys->count : 0;
}

/* Of a rule its name is printed: tolltap check rules has the rest. */
static void print_rules(const struct config *c,
			void (*print)(const struct config *c, const struct rule_view *rule))
{
	for (size_t i = 0; i < rules_count(c->rules); i++) {
		const struct rule_view rule = rules_view(c->rules, i);

		print(c, &rule);
	}
}

static void print_table_rule(const struct config *c, const struct rule_view *rule)
{
	printf("%-32s %-32s %s:%d\n", "rules.list", rule->name, c->config_file, rule->line);
}

static void print_table(const struct config *c)
{
	char value[CONFIG_VALUE_MAX];
	char origin[CONFIG_VALUE_MAX + CONFIG_NAME_MAX];

	printf("%-32s %-32s %s\n", "OPTION", "VALUE", "FROM");
	for (size_t i = 0; i < option_count; i++) {
		size_t item = 0;

		print_origin(c, i, origin, sizeof(origin));
		if (!option_get(c, &options[i], 0, value, sizeof(value)))
			printf("%-32s %-32s %s\n", options[i].name, "(none)", origin);
		for (; option_get(c, &options[i], item, value, sizeof(value)); item++)
			printf("%-32s %-32s %s\n", options[i].name, value, origin);
	}
	for (size_t i = 0; i < key_count(c); i++)
		printf("%-32s %-32s %s:%d\n", "keys",
		       key_text(&c->keys->row[i], value, sizeof(value)), c->config_file,
		       c->keys->row[i].line);
	print_rules(c, print_table_rule);
}

static void print_csv_row(const char *option, const char *value, const char *source)
{
	printf("%s,\"", option);
	for (const char *p = value; *p; p++)
		printf(*p == '"' ? "\"\"" : "%c", *p);
	printf("\",%s\r\n", source);
}

static void print_csv_rule(const struct config *c, const struct rule_view *rule)
{
	(void)c;
	print_csv_row("rules.list", rule->name, source_names[CONFIG_FILE]);
}

static void print_csv(const struct config *c)
{
	char value[CONFIG_VALUE_MAX];

	printf("option,value,source\r\n");
	for (size_t i = 0; i < option_count; i++) {
		for (size_t item = 0; option_get(c, &options[i], item, value, sizeof(value));
		     item++)
			print_csv_row(options[i].name, value, source_names[c->origin[i].source]);
	}
	for (size_t i = 0; i < key_count(c); i++)
		print_csv_row("keys", key_text(&c->keys->row[i], value, sizeof(value)),
			      source_names[CONFIG_FILE]);
	print_rules(c, print_csv_rule);
}

static cJSON *json_value(const struct config *c, const struct option *o)
{
	char value[CONFIG_VALUE_MAX];
	cJSON *list;

	if (o->kind != OPTION_LIST)
		return option_get(c, o, 0, value, sizeof(value)) ? cJSON_CreateString(value)
								 : cJSON_CreateNull();
	list = cJSON_CreateArray();
	for (size_t item = 0; list && option_get(c, o, item, value, sizeof(value)); item++)
		cJSON_AddItemToArray(list, cJSON_CreateString(value));
	return list;
}

static void print_json_row(cJSON *row)
{
	char *text = cJSON_PrintUnformatted(row);

	if (text)
		puts(text);
	cJSON_free(text);
	cJSON_Delete(row);
}

static void print_json_keys(const struct config *c)
{
	char value[CONFIG_VALUE_MAX];
	cJSON *row = cJSON_CreateObject(), *list;

	cJSON_AddStringToObject(row, "option", "keys");
	list = cJSON_AddArrayToObject(row, "value");
	for (size_t i = 0; i < key_count(c); i++)
		cJSON_AddItemToArray(
			list, cJSON_CreateString(key_text(&c->keys->row[i], value, sizeof(value))));
	cJSON_AddStringToObject(row, "option", "keys");
	cJSON_AddStringToObject(row, "source",
				source_names[c->keys ? CONFIG_FILE : CONFIG_DEFAULT]);
	print_json_row(row);
}

static void print_json_rules(const struct config *c)
{
	cJSON *row = cJSON_CreateObject(), *list;

	cJSON_AddStringToObject(row, "option", "rules.list");
	list = cJSON_AddArrayToObject(row, "value");
	for (size_t i = 0; i < rules_count(c->rules); i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(rules_view(c->rules, i).name));
	cJSON_AddStringToObject(row, "source",
				source_names[c->rules ? CONFIG_FILE : CONFIG_DEFAULT]);
	print_json_row(row);
}

static void print_json(const struct config *c)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct config_origin *origin = &c->origin[i];
		cJSON *row = cJSON_CreateObject();

		cJSON_AddStringToObject(row, "option", options[i].name);
		cJSON_AddItemToObject(row, "value", json_value(c, &options[i]));
		cJSON_AddStringToObject(row, "source", source_names[origin->source]);
		if (origin->source == CONFIG_FILE)
			cJSON_AddNumberToObject(row, "line", origin->line);
		print_json_row(row);
	}
	print_json_keys(c);
	print_json_rules(c);
}

void config_print(const struct config *c)
{
	if (!strcmp(c->output, "json"))
		print_json(c);
	else if (!strcmp(c->output, "csv"))
		print_csv(c);
	else
		print_table(c);
}

static void print_allowed(const struct option *o)
{
	switch (o->kind) {
	case OPTION_CHOICE:
	case OPTION_LEVEL:
		print_choices(o, "", "");
		break;
	case OPTION_INTEGER:
		printf("%lld to %lld", (long long)o->min, (long long)o->max);
		break;
	case OPTION_POWER2:
		printf("power of two, %lld to %lld", (long long)o->min, (long long)o->max);
		break;
	default:
		for (const char *p = o->value; *p; p++)
			printf(*p == '|' ? "\\|" : "%c", *p);
	}
}

void config_print_markdown(void)
{
	printf("# Configuration\n\n"
	       "Made from the options table by `tolltap check config --markdown`; a test keeps it "
	       "so.\n\n"
	       "Each option is a flag (`--storage.path=DIR`), an environment variable\n"
	       "(`TOLLTAP_STORAGE_PATH`) and a YAML key, nested or dotted. A flag wins over the\n"
	       "environment, the environment over the file, the file over the default. A list\n"
	       "from a stronger source replaces the weaker one's whole list; in a variable its\n"
	       "entries stand apart by spaces or `;`. `tolltap check config` prints the values "
	       "in\nforce and where each comes from. SIGHUP makes a running agent read the file "
	       "again.\n\n"
	       "```yaml\nstorage:\n  path: /srv/tolltap\nweb.listen-address: 127.0.0.1:9465\n"
	       "provider:\n  host:\n    - llm.corp.example=openai\n"
	       "    - gateway.corp.example=anthropic,role=gateway\n```\n\n"
	       "| option | what | allowed | default | environment |\n| --- | --- | --- | --- | --- "
	       "|\n");
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &options[i];
		char env[CONFIG_NAME_MAX];

		option_env_name(o, env);
		printf("| `%s` | %s | ", o->name, o->help);
		print_allowed(o);
		printf(" | %s | `%s` |\n", shown_default(o), env);
	}
	printf("\n## keys\n\n"
	       "A list in the file alone: what the credentials are called whose fingerprints\n"
	       "stand on calls. `tolltap keys fingerprint` tells a key's fingerprint,\n"
	       "`tolltap keys list` what is configured; `--by=key`, `--by=key_owner`,\n"
	       "`--where=key=NAME` and prices ([prices](prices.md)) use the names. At most %d\n"
	       "entries; `fingerprint` and `name` are required, and several fingerprints may\n"
	       "have one name (a key that was renewed).\n\n"
	       "```yaml\nkeys:\n  - fingerprint: \"0badcafe\"\n    name: nightly-batch\n"
	       "    owner: data-team\n    provider: openai\n    key_id: key_abc123\n```\n\n"
	       "`key_id` is what the provider calls the key in its bill: `tolltap bill reconcile "
	       "--key-id` compares\nthe calls of the fingerprints that have it with that part of "
	       "the bill.\n\n"
	       "A fingerprint is made with a secret that each install makes for itself, so one\n"
	       "key has another fingerprint on each host. With `fingerprint.key-file` the hosts\n"
	       "of a fleet share one: a file of 32 bytes, or 64 hex digits, that only its owner\n"
	       "and group can read (`openssl rand -hex 32`), or `credential:NAME`, a systemd\n"
	       "credential (`LoadCredential=NAME:FILE`). It is read at the start; fingerprints\n"
	       "change with it, and those in the ledger stay as they were.\n",
	       KEY_NAMES_MAX);
	printf("\n## rules\n\n"
	       "A list in the file alone: which calls get which tags ([rules](rules.md)). At most\n"
	       "%d rules; `name` and `set` or `default` are required.\n\n"
	       "```yaml\nrules:\n  - name: ci\n    match:\n      unit: {prefix: \"ci-\"}\n"
	       "    set: {environment: ci}\n```\n\n"
	       "With a mode, `rules:` holds it beside the list:\n\n"
	       "```yaml\nrules:\n  mode: first\n  list:\n    - name: ci\n      ...\n```\n",
	       RULES_MAX);
}
