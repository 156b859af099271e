/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration: lines before the first empty one are arguments, or variables of the environment
 * where they begin with TOLLTAP_; what follows is the file. Values in force keep their bounds, what
 * is refused is told in one line, and flags that say what is in force load to the same.
 */
#include "agent/attribution/rules.h"
#include "agent/config/options.h"
#include "agent/exchange/privacy.h"
#include "agent/providers/provider.h"
#include "tests/fuzz/fuzz.h"

#define LINES_MAX  64
#define VALUES_MAX 1024

struct lines {
	char *arg[LINES_MAX + 4];
	int args;
	char *env[LINES_MAX]; /* names, set by now */
	size_t envs;
};

static char *copy_of(const char *ptr, size_t len)
{
	char *text = strndup(ptr, len);

	if (!text)
		abort();
	return text;
}

static void add_line(struct lines *l, const char *ptr, size_t len)
{
	char *line = copy_of(ptr, len), *equals = strchr(line, '=');

	if (strncmp(line, "TOLLTAP_", 8) != 0) {
		l->arg[l->args++] = line;
		return;
	}
	if (!equals) {
		free(line);
		return;
	}
	*equals = '\0';
	setenv(line, equals + 1, 1);
	l->env[l->envs++] = line;
}

/* Returns where the file begins. */
static size_t take_lines(struct lines *l, const char *text, size_t size)
{
	size_t at = 0;

	for (int i = 0; i < LINES_MAX && at < size; i++) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t len = end ? (size_t)(end - text) - at : size - at;

		if (len)
			add_line(l, text + at, len);
		at += len + (end != NULL);
		if (!len)
			break;
	}
	return at;
}

static void drop_lines(struct lines *l, char **all, int count)
{
	for (size_t i = 0; i < l->envs; i++) {
		unsetenv(l->env[i]);
		free(l->env[i]);
	}
	for (int i = 0; i < count; i++)
		free(all[i]);
}

static void must_keep_bounds(const struct config *c)
{
	char value[CONFIG_VALUE_MAX + 1];

	must_hold(c->provider_host_count <= CONFIG_HOSTS_MAX);
	must_hold(c->never_host_count <= CONFIG_HOSTS_MAX);
	must_hold(!c->keys || c->keys->count <= KEY_NAMES_MAX);
	for (size_t i = 0; c->keys && i < c->keys->count; i++) {
		const struct key_name *row = &c->keys->row[i];

		must_hold(slice_is_hex(slice_of(row->fingerprint), FINGERPRINT_DIGITS) &&
			  *row->name);
		must_hold(key_names_find(c->keys, row->fingerprint) == row);
	}
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &options[i];

		if (!option_get(c, o, 0, value, sizeof(value)))
			continue;
		must_hold(memchr(value, '\0', sizeof(value)));
		if (o->kind == OPTION_INTEGER || o->kind == OPTION_POWER2) {
			long long n = strtoll(value, NULL, 10);

			must_hold(n >= o->min && n <= o->max);
			must_hold(o->kind != OPTION_POWER2 || !(n & (n - 1)));
		}
	}
}

/* What is in force, said by flags alone. */
static void must_load_again(const struct config *c)
{
	static char value[CONFIG_VALUE_MAX + 1];
	char err[CONFIG_ERROR_MAX];
	struct config again;
	char *arg[VALUES_MAX + 1] = {copy_of("run", 3)}, *all[VALUES_MAX + 1];
	int count = 1, args;

	for (size_t i = 0; i < option_count; i++) {
		for (size_t item = 0; count < VALUES_MAX; item++) {
			if (!option_get(c, &options[i], item, value, sizeof(value)))
				break;
			if (asprintf(&arg[count], "--%s=%s", options[i].name, value) < 0)
				abort();
			count++;
			if (options[i].kind != OPTION_LIST)
				break;
		}
	}
	args = count;
	memcpy(all, arg, sizeof(all)); /* config_load takes what it knows out of its array */
	must_hold(config_load(&again, &args, arg, err, sizeof(err)) == 0 && args == 1);
	must_hold(again.provider_host_count == c->provider_host_count);
	must_hold(again.ring_bytes == c->ring_bytes && again.log_level == c->log_level);
	must_hold(again.scan_interval_s == c->scan_interval_s);
	must_hold(strcmp(again.storage_path, c->storage_path) == 0);
	config_free(&again);
	for (int i = 0; i < count; i++)
		free(all[i]);
}

/* The hosts go on to their own parser. */
static void check_hosts(const struct config *c)
{
	struct provider_table *table;
	char err[CONFIG_ERROR_MAX];

	if (provider_table_new(&table))
		abort();
	for (size_t i = 0; i < c->provider_host_count; i++) {
		err[0] = '\0';
		if (provider_table_add_host(table, c->provider_hosts[i], err, sizeof(err)))
			must_hold(is_one_line(err, sizeof(err)));
		(void)provider_table_host(table, slice_of(c->provider_hosts[i]));
	}
	provider_table_free(table);
}

/* Rules are tried on a call, whose tags stay whole. */
static void check_rules(const struct config *c)
{
	static struct call call;
	char text[4096];

	must_hold(rules_count(c->rules) <= RULES_MAX);
	memset(&call, 0, sizeof(call));
	slice_copy(call.model, sizeof(call.model), SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"));
	slice_copy(call.host, sizeof(call.host), SLICE("api.openai.com"));
	slice_copy(call.workload.unit, sizeof(call.workload.unit), SLICE("ci-web-7.service"));
	tags_set(&call.tags, SLICE("team"), SLICE("web"), TAG_ENV);
	rules_apply(c->rules, &call, NULL, NULL);
	must_hold(call.tags.count <= CALL_TAGS_MAX);
	for (uint32_t i = 0; i < call.tags.count; i++) {
		must_hold(is_one_line(call.tags.item[i].key, TAG_KEY_MAX));
		must_hold(is_one_line(call.tags.item[i].value, TAG_VALUE_MAX));
	}
	for (size_t i = 0; i < rules_count(c->rules); i++) {
		rules_conditions_text(c->rules, i, text, sizeof(text));
		rules_tags_text(c->rules, i, text, sizeof(text));
	}
}

/* So do keys whose values are kept. */
static void check_privacy(const struct config *c)
{
	struct privacy p;
	char err[CONFIG_ERROR_MAX] = "";

	if (privacy_load(&p, c->privacy_profile, c->privacy_keys, c->privacy_key_count, err,
			 sizeof(err)))
		must_hold(is_one_line(err, sizeof(err)));
	must_hold(p.count <= PRIVACY_KEYS_MAX);
	for (size_t i = 0; i < p.count; i++)
		must_hold(p.keys[i].name[0] && (p.keys[i].place != PLACE_TAG || p.keys[i].tag[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lines l = {.arg = {copy_of("run", 3), NULL}, .args = 2};
	char err[CONFIG_ERROR_MAX] = "";
	char *all[LINES_MAX + 4];
	struct config c;
	int args, rc;
	size_t at;

	at = take_lines(&l, (const char *)data, size);
	if (asprintf(&l.arg[1], "--config.file=%s", fuzz_path(data + at, size - at)) < 0)
		abort();
	memcpy(all, l.arg, sizeof(all));
	args = l.args;
	rc = config_load(&c, &args, l.arg, err, sizeof(err));
	if (rc) {
		must_hold(is_one_line(err, sizeof(err)));
	} else {
		must_hold(args >= 1 && args <= l.args && !l.arg[args]);
		must_keep_bounds(&c);
		check_hosts(&c);
		check_rules(&c);
		check_privacy(&c);
	}
	drop_lines(&l, all, l.args);
	if (!rc) {
		must_load_again(&c);
		config_free(&c);
	}
	return 0;
}
