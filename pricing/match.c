/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Name to model: exact or alias, then an anchored dated suffix, then a fine-tune of a base. Names
 * are compared without regard to ASCII case. Nothing else matches: no substring, no fuzziness.
 */
#include "pricing/table.h"

#include <ctype.h>
#include <stdio.h>

static bool name_key(char key[NAME_KEY_MAX], enum name_rule rule, const char *provider,
		     struct slice name)
{
	int n;

	if (!name.ptr || name.len == 0)
		return false;
	n = snprintf(key, NAME_KEY_MAX, "%c%s/%.*s", rule, provider, SLICE_FMT(name));
	if (n < 0 || n >= NAME_KEY_MAX)
		return false;
	for (char *p = key + 1; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return true;
}

static const struct model *find(const struct catalog *c, enum name_rule rule, const char *provider,
				struct slice name)
{
	struct name_entry *entry = NULL;
	char key[NAME_KEY_MAX];

	if (!name_key(key, rule, provider, name))
		return NULL;
	HASH_FIND_STR(c->names, key, entry);
	return entry ? &c->models[entry->model] : NULL;
}

int catalog_add_name(struct reader *r, struct catalog *c, enum name_rule rule, const char *provider,
		     const char *name, uint32_t model)
{
	struct name_entry *entry, *old = NULL;

	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return price_error(r, "out of memory");
	if (!name_key(entry->key, rule, provider, slice_of(name))) {
		free(entry);
		return price_error(r, "name \"%s\" is empty or too long", name);
	}
	HASH_FIND_STR(c->names, entry->key, old);
	if (old) {
		free(entry);
		if (old->model == model)
			return 0;
		return price_error(r, "name \"%s\" already belongs to %s; keep it in one place",
				   name, c->models[old->model].id);
	}
	entry->model = model;
	entry->in_table = true;
	HASH_ADD_STR(c->names, key, entry);
	if (!entry->in_table) {
		free(entry);
		return price_error(r, "out of memory");
	}
	return 0;
}

static int two_digits(const char *p)
{
	return (p[0] - '0') * 10 + p[1] - '0';
}

/* Does text fit the form: Y, M, D are digits, month and day in range, the rest literal. */
static bool suffix_fits(const char *form, const char *text)
{
	int month = 1, day = 1;

	for (size_t i = 0; form[i]; i++) {
		bool digit = strchr("YMD", form[i]) != NULL;

		if (digit ? !isdigit((unsigned char)text[i]) : text[i] != form[i])
			return false;
		if (form[i] == 'M' && i && form[i - 1] == 'M')
			month = two_digits(text + i - 1);
		if (form[i] == 'D' && i && form[i - 1] == 'D')
			day = two_digits(text + i - 1);
	}
	return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

static const struct model *find_dated(const struct catalog *c, const char *provider,
				      const char *name)
{
	const struct provider_facts *facts = catalog_provider(c, provider);
	size_t len = strlen(name);

	for (uint32_t i = 0; facts && i < facts->suffix_count; i++) {
		const char *form = facts->suffixes[i];
		size_t tail = strlen(form);
		const struct model *model;

		if (len <= tail || !suffix_fits(form, name + len - tail))
			continue;
		model = find(c, NAME_DATED, provider, (struct slice){name, len - tail});
		if (model)
			return model;
	}
	return NULL;
}

/* "ft:gpt-4o-2024-08-06:org:name:id": the base ends at its second colon. */
static const struct model *find_fine_tuned(const struct catalog *c, const char *provider,
					   const char *name)
{
	const char *end;

	if (strncmp(name, "ft:", 3) != 0)
		return NULL;
	end = strchr(name + 3, ':');
	if (!end || !end[1])
		return NULL;
	return find(c, NAME_FINE_TUNED, provider, (struct slice){name, (size_t)(end - name)});
}

const struct model *catalog_find(const struct catalog *c, const char *provider, const char *name)
{
	const struct model *model = find(c, NAME_PLAIN, provider, slice_of(name));

	if (!model)
		model = find_dated(c, provider, name);
	if (!model)
		model = find_fine_tuned(c, provider, name);
	return model;
}

/* "REGION/model", of the region that is a label of the host; exact, as a region has no snapshots.
 */
static const struct model *find_regional(const struct catalog *c, const struct call *call,
					 const char *name)
{
	const char *label = call->host;

	while (*name && *label) {
		size_t n = strcspn(label, ".:");
		char text[CALL_NAME_MAX];
		const struct model *model;
		int len = snprintf(text, sizeof(text), "%.*s/%s", (int)n, label, name);

		if (len > 0 && (size_t)len < sizeof(text)) {
			model = find(c, NAME_PLAIN, call->provider, slice_of(text));
			if (model)
				return model;
		}
		label += n + (label[n] != '\0');
	}
	return NULL;
}

/*
 * Where the request's name is billed it tells what the answer's leaves out: region and version. A
 * gateway serves many vendors under one host and tells them by a prefix; it bills as they do. On
 * any other host such a name is its own (OpenRouter's, Hugging Face's) or unknown.
 */
const struct model *catalog_find_call(const struct catalog *c, const struct call *call)
{
	const struct provider_facts *facts = catalog_provider(c, call->provider);
	const struct model *model = NULL;
	const char *slash = strchr(call->model, '/');
	char provider[32];

	if (facts && facts->regional_names)
		model = find_regional(c, call, call->model_requested);
	if (!model && facts && facts->request_names)
		model = catalog_find(c, call->provider, call->model_requested);
	if (!model)
		model = catalog_find(c, call->provider, call->model);
	if (model || call->role != ROLE_GATEWAY || !slash)
		return model;
	slice_copy(provider, sizeof(provider),
		   (struct slice){call->model, (size_t)(slash - call->model)});
	return catalog_find(c, provider, slash + 1);
}

const struct provider_facts *catalog_provider(const struct catalog *c, const char *provider)
{
	for (uint32_t i = 0; i < c->provider_count; i++) {
		if (!strcmp(c->providers[i].provider, provider))
			return &c->providers[i];
	}
	return NULL;
}

const char *catalog_model_id(const struct catalog *c, const struct call *call)
{
	const struct model *found = catalog_find_call(c, call);

	return found ? found->id : NULL;
}

bool host_is(const char *host, const char *wanted)
{
	size_t n = strlen(wanted);

	return strncasecmp(host, wanted, n) == 0 && (host[n] == '\0' || host[n] == ':');
}

bool period_holds(const struct period *p, int64_t when_us)
{
	int64_t minute = when_us / 60000000;
	int of_day = (int)(((minute % 1440) + 1440) % 1440);

	if (when_us < p->from_us || when_us >= p->to_us)
		return false;
	if (p->daily_from_min == p->daily_to_min)
		return true;
	if (p->daily_from_min < p->daily_to_min)
		return of_day >= p->daily_from_min && of_day < p->daily_to_min;
	return of_day >= p->daily_from_min || of_day < p->daily_to_min;
}

const struct period *period_at(const struct model *model, int64_t when_us)
{
	for (uint32_t i = 0; i < model->period_count; i++) {
		if (period_holds(&model->periods[i], when_us))
			return &model->periods[i];
	}
	return NULL;
}
