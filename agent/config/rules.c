/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/rules.h"

#include <errno.h>
#include <stdio.h>

#define WHY_MAX 700

struct reader {
	yaml_document_t *document;
	struct rules *rules;
	const char *path;
	const char *rule; /* the name of the one that is read, borrowed; NULL = not yet known */
	unsigned seen;	  /* which of its members */
	char *err;
	size_t err_size;
};

static int refuse(const struct reader *r, const yaml_node_t *at, const char *why)
{
	snprintf(r->err, r->err_size, "%s:%zu: rules: %s%.60s%s%s", r->path,
		 at->start_mark.line + 1, r->rule ? "'" : "", r->rule ? r->rule : "",
		 r->rule ? "': " : "", why);
	return -EINVAL;
}

/* The text of a plain value, or NULL. */
static const char *scalar(const yaml_node_t *node)
{
	const char *text;

	if (node->type != YAML_SCALAR_NODE)
		return NULL;
	text = (const char *)node->data.scalar.value;
	return strlen(text) == node->data.scalar.length ? text : NULL;
}

/* What a rule is made of, each given once and in any order but `name`, which is read first. */
typedef int (*member_reader)(struct reader *r, const yaml_node_t *key, const yaml_node_t *value);

/* Calls read() for each pair of a mapping. */
static int each_pair(struct reader *r, const yaml_node_t *mapping, member_reader read)
{
	for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
		const yaml_node_t *value = yaml_document_get_node(r->document, pair->value);
		int rc = scalar(key) ? read(r, key, value)
				     : refuse(r, key, "a key is plain text without NUL bytes");

		if (rc)
			return rc;
	}
	return 0;
}

/* ---- match ----------------------------------------------------------------------------------- */

static int add_pattern(struct reader *r, const char *kind, const yaml_node_t *value)
{
	char why[WHY_MAX];
	int rc;

	if (!scalar(value))
		return refuse(r, value,
			      "a pattern is plain text, or {exact|prefix|glob|regex: text}");
	rc = rules_pattern(r->rules, kind, scalar(value), why, sizeof(why));
	return rc == -EINVAL ? refuse(r, value, why) : rc;
}

/* {glob: "*.example"} */
static int read_way(struct reader *r, const yaml_node_t *key, const yaml_node_t *value)
{
	return add_pattern(r, scalar(key), value);
}

static int read_pattern(struct reader *r, const yaml_node_t *value)
{
	return value->type == YAML_MAPPING_NODE ? each_pair(r, value, read_way)
						: add_pattern(r, "exact", value);
}

/* fact: text, fact: {way: text}, or a list of these of which one is enough. */
static int read_condition(struct reader *r, const yaml_node_t *key, const yaml_node_t *value)
{
	char why[WHY_MAX];
	int rc = rules_condition(r->rules, scalar(key), why, sizeof(why));

	if (rc)
		return rc == -EINVAL ? refuse(r, key, why) : rc;
	if (value->type != YAML_SEQUENCE_NODE)
		return read_pattern(r, value);
	for (const yaml_node_item_t *item = value->data.sequence.items.start;
	     rc == 0 && item < value->data.sequence.items.top; item++)
		rc = read_pattern(r, yaml_document_get_node(r->document, *item));
	return rc;
}

static int read_match(struct reader *r, const yaml_node_t *key, const yaml_node_t *value)
{
	if (value->type != YAML_MAPPING_NODE)
		return refuse(r, key, "match: needs facts below it");
	return each_pair(r, value, read_condition);
}

/* ---- tags ------------------------------------------------------------------------------------ */

static int add_tag(struct reader *r, const yaml_node_t *key, const yaml_node_t *value,
		   enum tag_source source)
{
	char why[WHY_MAX];
	int rc;

	if (!scalar(value))
		return refuse(r, value, "the value of a tag is plain text");
	rc = rules_tag(r->rules, scalar(key), scalar(value), source, why, sizeof(why));
	return rc == -EINVAL ? refuse(r, key, why) : rc;
}

static int add_set(struct reader *r, const yaml_node_t *key, const yaml_node_t *value)
{
	return add_tag(r, key, value, TAG_RULE);
}

static int add_default(struct reader *r, const yaml_node_t *key, const yaml_node_t *value)
{
	return add_tag(r, key, value, TAG_DEFAULT);
}

static int read_set(struct reader *r, const yaml_node_t *key, const yaml_node_t *value)
{
	if (value->type != YAML_MAPPING_NODE)
		return refuse(r, key, "set: needs tags below it");
	return each_pair(r, value, add_set);
}

static int read_default(struct reader *r, const yaml_node_t *key, const yaml_node_t *value)
{
	if (value->type != YAML_MAPPING_NODE)
		return refuse(r, key, "default: needs tags below it");
	return each_pair(r, value, add_default);
}

/* ---- a rule ---------------------------------------------------------------------------------- */

/* So that every other error can name the rule. */
static int read_name(struct reader *r, const yaml_node_t *key, const yaml_node_t *value)
{
	char why[WHY_MAX];
	int rc;

	if (strcmp(scalar(key), "name") != 0)
		return 0;
	if (r->rule)
		return refuse(r, key, "name: is given twice");
	if (!scalar(value))
		return refuse(r, value, "name: is plain text");
	rc = rules_name(r->rules, scalar(value), why, sizeof(why));
	if (rc == 0)
		r->rule = scalar(value);
	return rc == -EINVAL ? refuse(r, value, why) : rc;
}

static int read_member(struct reader *r, const yaml_node_t *key, const yaml_node_t *value)
{
	static const struct {
		const char *name;
		member_reader read;
	} members[] = {{"name", NULL},
		       {"match", read_match},
		       {"set", read_set},
		       {"default", read_default}};
	char why[WHY_MAX];

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		if (strcmp(members[i].name, scalar(key)) != 0)
			continue;
		if (r->seen & 1u << i)
			break;
		r->seen |= 1u << i;
		return members[i].read ? members[i].read(r, key, value) : 0;
	}
	snprintf(why, sizeof(why),
		 "key '%.60s' is unknown or given twice; known: name, match, set, default",
		 scalar(key));
	return refuse(r, key, why);
}

static int read_rule(struct reader *r, const yaml_node_t *entry)
{
	char why[WHY_MAX];
	int rc;

	r->rule = NULL;
	r->seen = 0;
	if (entry->type != YAML_MAPPING_NODE)
		return refuse(r, entry, "each entry needs name: and set:");
	rc = rules_begin(r->rules, (int)entry->start_mark.line + 1, why, sizeof(why));
	if (rc)
		return rc == -EINVAL ? refuse(r, entry, why) : rc;
	rc = each_pair(r, entry, read_name);
	if (rc == 0)
		rc = each_pair(r, entry, read_member);
	if (rc)
		return rc;
	rc = rules_end(r->rules, why, sizeof(why));
	return rc == -EINVAL ? refuse(r, entry, why) : rc;
}

int config_read_rules(struct rules **out, yaml_document_t *document, const yaml_node_t *list,
		      const char *path, char *err, size_t err_size)
{
	struct reader r = {.document = document, .path = path, .err = err, .err_size = err_size};
	int rc = rules_new(&r.rules);

	if (rc)
		return rc;
	for (const yaml_node_item_t *item = list->data.sequence.items.start;
	     rc == 0 && item < list->data.sequence.items.top; item++)
		rc = read_rule(&r, yaml_document_get_node(document, *item));
	if (rc) {
		rules_free(r.rules);
		return rc;
	}
	*out = r.rules;
	return 0;
}
