/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: YAML mappings whose joined keys are option names. */
#include "agent/base/input.h"
#include "agent/config/options.h"
#include "agent/config/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <yaml.h>

#define YAML_DEPTH_MAX 8 /* also what ends a mapping that contains itself by alias */

struct reader {
	yaml_document_t document;
	struct config *config;
	const char *path;
	int seen_line[CONFIG_OPTIONS_MAX]; /* first line of each option; 0 = not seen */
	int keys_line, rules_line;	   /* the same of `keys` and `rules` */
	char *err;
	size_t err_size;
};

static int line_of(const yaml_node_t *node)
{
	return (int)node->start_mark.line + 1;
}

static int read_node(struct reader *r, const char *name, const yaml_node_t *key,
		     const yaml_node_t *value, int depth);

static int unknown_key(struct reader *r, const char *name, const yaml_node_t *key)
{
	static const char *const sections[] = {"keys", "rules", "rules.list", NULL};
	const char *near = config_closest(name, sections);

	snprintf(r->err, r->err_size, "%s:%d: unknown key '%s'%s%s%s", r->path, line_of(key), name,
		 near ? "; did you mean '" : "; tolltap check config lists the known ones",
		 near ? near : "", near ? "'?" : "");
	return -EINVAL;
}

static int wrong_shape(struct reader *r, const char *name, const yaml_node_t *at,
		       const char *expected)
{
	snprintf(r->err, r->err_size, "%s:%d: '%s' needs %s", r->path, line_of(at), name, expected);
	return -EINVAL;
}

static int set_scalar(struct reader *r, const struct option *o, const yaml_node_t *value)
{
	const char *text = (const char *)value->data.scalar.value;
	char place[1024];

	if (strlen(text) != value->data.scalar.length)
		return wrong_shape(r, o->name, value, "text without NUL bytes");
	snprintf(place, sizeof(place), "%s:%d: %s", r->path, line_of(value), o->name);
	return option_set(r->config, o, text, (struct config_origin){CONFIG_FILE, line_of(value)},
			  place, r->err, r->err_size);
}

static int set_sequence(struct reader *r, const struct option *o, const yaml_node_t *list)
{
	if (o->kind != OPTION_LIST)
		return wrong_shape(r, o->name, list, "one value, not a list");
	for (const yaml_node_item_t *item = list->data.sequence.items.start;
	     item < list->data.sequence.items.top; item++) {
		const yaml_node_t *value = yaml_document_get_node(&r->document, *item);
		int rc;

		if (value->type != YAML_SCALAR_NODE)
			return wrong_shape(r, o->name, value, "plain values in its list");
		rc = set_scalar(r, o, value);
		if (rc)
			return rc;
	}
	return 0;
}

static int set_option(struct reader *r, const struct option *o, const yaml_node_t *key,
		      const yaml_node_t *value)
{
	int *seen = &r->seen_line[o - options];

	if (*seen) {
		snprintf(r->err, r->err_size, "%s:%d: '%s' is already set on line %d", r->path,
			 line_of(key), o->name, *seen);
		return -EINVAL;
	}
	*seen = line_of(key);
	if (!strcmp(o->name, "config.file"))
		return wrong_shape(r, o->name, key, "a flag or TOLLTAP_CONFIG_FILE, not a file");
	if (value->type == YAML_SCALAR_NODE)
		return set_scalar(r, o, value);
	if (value->type == YAML_SEQUENCE_NODE)
		return set_sequence(r, o, value);
	return wrong_shape(r, o->name, value, "a value, not a mapping");
}

/* ---- keys: a list of mappings ---------------------------------------------------------------- */

static int bad_key(struct reader *r, const yaml_node_t *at, const char *why)
{
	snprintf(r->err, r->err_size, "%s:%d: keys: %s", r->path, line_of(at), why);
	return -EINVAL;
}

static int read_key(struct reader *r, const yaml_node_t *entry)
{
	struct key_name row = {.line = line_of(entry)};
	char why[256];
	int rc;

	if (entry->type != YAML_MAPPING_NODE)
		return bad_key(r, entry, "each entry needs fingerprint: and name:");
	for (const yaml_node_pair_t *pair = entry->data.mapping.pairs.start;
	     pair < entry->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
		const yaml_node_t *value = yaml_document_get_node(&r->document, pair->value);
		const char *text;

		if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE)
			return bad_key(r, key, "an entry needs plain keys and values");
		text = (const char *)value->data.scalar.value;
		if (strlen(text) != value->data.scalar.length)
			return bad_key(r, value, "text with a NUL byte");
		if (config_key_set(&row, (const char *)key->data.scalar.value, text, why,
				   sizeof(why)))
			return bad_key(r, key, why);
	}
	rc = config_key_add(r->config, &row, why, sizeof(why));
	return rc == -EINVAL ? bad_key(r, entry, why) : rc;
}

static int read_keys(struct reader *r, const yaml_node_t *key, const yaml_node_t *list)
{
	if (r->keys_line) {
		snprintf(r->err, r->err_size, "%s:%d: 'keys' is already set on line %d", r->path,
			 line_of(key), r->keys_line);
		return -EINVAL;
	}
	r->keys_line = line_of(key);
	if (list->type == YAML_SCALAR_NODE && list->data.scalar.length == 0)
		return 0; /* `keys:` with everything below commented out */
	if (list->type != YAML_SEQUENCE_NODE)
		return wrong_shape(r, "keys", list, "a list of entries below it");
	for (const yaml_node_item_t *item = list->data.sequence.items.start;
	     item < list->data.sequence.items.top; item++) {
		int rc = read_key(r, yaml_document_get_node(&r->document, *item));

		if (rc)
			return rc;
	}
	return 0;
}

/* ---- rules: a list, or `mode` and the list ------------------------------------------------- */

static bool is_rules(const char *name, const yaml_node_t *value)
{
	return !strcmp(name, "rules.list") ||
	       (!strcmp(name, "rules") && value->type == YAML_SEQUENCE_NODE);
}

static int read_rules(struct reader *r, const char *name, const yaml_node_t *key,
		      const yaml_node_t *list)
{
	if (r->rules_line) {
		snprintf(r->err, r->err_size, "%s:%d: rules are already listed on line %d", r->path,
			 line_of(key), r->rules_line);
		return -EINVAL;
	}
	r->rules_line = line_of(key);
	if (list->type == YAML_SCALAR_NODE && list->data.scalar.length == 0)
		return 0; /* `list:` with everything below commented out */
	if (list->type != YAML_SEQUENCE_NODE)
		return wrong_shape(r, name, list, "a list of rules below it");
	return config_read_rules(&r->config->rules, &r->document, list, r->path, r->err,
				 r->err_size);
}

/* ---- the rest ------------------------------------------------------------------------------ */

static int read_mapping(struct reader *r, const char *prefix, const yaml_node_t *mapping, int depth)
{
	for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
		const yaml_node_t *value = yaml_document_get_node(&r->document, pair->value);
		char name[CONFIG_NAME_MAX];
		int rc;

		if (key->type != YAML_SCALAR_NODE)
			return wrong_shape(r, prefix, key, "plain keys");
		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "",
			 (const char *)key->data.scalar.value);
		rc = read_node(r, name, key, value, depth + 1);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_node(struct reader *r, const char *name, const yaml_node_t *key,
		     const yaml_node_t *value, int depth)
{
	const struct option *o = option_find(slice_of(name));

	if (o)
		return set_option(r, o, key, value);
	if (!strcmp(name, "keys"))
		return read_keys(r, key, value);
	if (is_rules(name, value))
		return read_rules(r, name, key, value);
	if (!option_is_group(name))
		return unknown_key(r, name, key);
	if (value->type == YAML_SCALAR_NODE && value->data.scalar.length == 0)
		return 0; /* `storage:` with everything below commented out */
	if (value->type != YAML_MAPPING_NODE || depth > YAML_DEPTH_MAX)
		return wrong_shape(r, name, value, "keys below it");
	return read_mapping(r, name, value, depth);
}

static int read_document(struct reader *r)
{
	const yaml_node_t *root = yaml_document_get_root_node(&r->document);

	if (!root || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
		return 0; /* empty file */
	if (root->type != YAML_MAPPING_NODE) {
		snprintf(r->err, r->err_size, "%s:%d: expected 'key: value' lines", r->path,
			 line_of(root));
		return -EINVAL;
	}
	return read_mapping(r, "", root, 0);
}

static int parse(struct reader *r, const char *text, size_t len)
{
	yaml_parser_t parser;
	int rc = 0;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &r->document)) {
		snprintf(r->err, r->err_size, "%s:%zu: not YAML: %s", r->path,
			 parser.problem_mark.line + 1,
			 parser.problem ? parser.problem : "unreadable");
		rc = -EINVAL;
	} else {
		rc = read_document(r);
		yaml_document_delete(&r->document);
	}
	yaml_parser_delete(&parser);
	return rc;
}

/* The whole file, at most CONFIG_FILE_BYTES_MAX. Returns 0 or -errno. */
static int slurp(const char *path, char **text, size_t *len)
{
	_cleanup_(closep) int fd = input_open(path);
	_cleanup_(freep) char *buf = NULL;
	size_t have = 0;

	if (fd < 0)
		return fd;
	buf = malloc(CONFIG_FILE_BYTES_MAX + 1);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, buf + have, CONFIG_FILE_BYTES_MAX + 1 - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
		if (have > CONFIG_FILE_BYTES_MAX)
			return -EFBIG;
	}
	*text = TAKE_PTR(buf);
	*len = have;
	return 0;
}

int config_read_file(struct config *c, const char *path, char *err, size_t err_size)
{
	struct reader r = {.config = c, .path = path, .err = err, .err_size = err_size};
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int rc = slurp(path, &text, &len);

	if (rc) {
		snprintf(err, err_size, "%s: %s; check --config.file", path, strerror(-rc));
		return rc;
	}
	return parse(&r, text, len);
}
