/* SPDX-License-Identifier: Apache-2.0 */
/* The options table, shared by the readers of flags, environment and file. Private to config/. */
#ifndef TT_OPTIONS_H
#define TT_OPTIONS_H

#include "agent/config/config.h"

enum option_kind {
	OPTION_TEXT,	/* char *; "" in the table = NULL */
	OPTION_ADDRESS, /* char *: HOST:PORT, [V6]:PORT or :PORT */
	OPTION_PORTS,	/* char *: "8000,11434"; "" in the table = NULL */
	OPTION_CHOICE,	/* char *: one of choices */
	OPTION_LEVEL,	/* enum: index in choices */
	OPTION_INTEGER, /* int64_t in [min, max] */
	OPTION_POWER2,	/* int64_t in [min, max], a power of two */
	OPTION_LIST,	/* char *[CONFIG_HOSTS_MAX] and its count */
};

/* Who uses it, for --help: the agent (run, exec, demo), commands that print, bill, or all. */
enum option_scope { SCOPE_ALL, SCOPE_AGENT, SCOPE_QUERY, SCOPE_BILL };

struct option {
	const char *name; /* "storage.path": flag, YAML key; TOLLTAP_STORAGE_PATH in environment */
	enum option_kind kind;
	enum option_scope scope;
	size_t offset;
	size_t count_offset;  /* of a list */
	const char *fallback; /* the default, as text; "" = none or found at run time */
	const char *shown;    /* the default in documentation when fallback is "" */
	int64_t min, max;
	const char *const *choices; /* NULL-ended */
	const char *value;	    /* what stands after = in --help */
	const char *help;
};

extern const struct option options[];
extern const size_t option_count;

/* The row of a name of this length, or NULL. */
const struct option *option_find(struct slice name);
/* True when some option's name begins with prefix + ".". */
bool option_is_group(const char *prefix);
/* "storage.path" -> "TOLLTAP_STORAGE_PATH"; dst holds CONFIG_NAME_MAX. */
#define CONFIG_NAME_MAX 96
void option_env_name(const struct option *o, char *dst);

/*
 * Sets the value from a source; a stronger source than the present one replaces, a weaker one is
 * ignored after being checked. `place` starts the error line ("--storage.path", "file.yaml:3").
 * Returns 0, -EINVAL (err filled), -ENOMEM.
 */
int option_set(struct config *c, const struct option *o, const char *value,
	       struct config_origin from, const char *place, char *err,
	       size_t err_size) TT_MUST_CHECK;
/* The value in force as text; item counts through a list. False when there is none (any more). */
bool option_get(const struct config *c, const struct option *o, size_t item, char *dst,
		size_t size);

/*
 * One entry of `keys`: its fields by name, then the whole. Returns 0, -EINVAL (why filled, without
 * the place) or -ENOMEM.
 */
int config_key_set(struct key_name *row, const char *field, const char *value, char *why,
		   size_t size) TT_MUST_CHECK;
int config_key_add(struct config *c, const struct key_name *row, char *why,
		   size_t size) TT_MUST_CHECK;

/* Reads the YAML file into c. Returns 0, or -errno with one line in err; -ENOENT when absent. */
int config_read_file(struct config *c, const char *path, char *err, size_t err_size) TT_MUST_CHECK;

#endif
