/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/options.h"

#include "agent/attribution/rules.h"

#include <errno.h>
#include <stdio.h>

static const char list_separators[] = "; \t\n"; /* a list in one environment variable */

static int set_defaults(struct config *c, char *err, size_t err_size)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &options[i];
		int rc;

		if (o->kind == OPTION_LIST)
			continue;
		rc = option_set(c, o, o->fallback, (struct config_origin){CONFIG_DEFAULT, 0},
				o->name, err, err_size);
		if (rc)
			return rc;
	}
	return 0;
}

static int set_from_env(struct config *c, const struct option *o, const char *name,
			const char *value, char *err, size_t err_size)
{
	const struct config_origin from = {CONFIG_ENV, 0};
	_cleanup_(freep) char *copy = NULL;
	char *rest;

	if (o->kind != OPTION_LIST)
		return option_set(c, o, value, from, name, err, err_size);
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	rest = copy;
	for (char *item; (item = strsep(&rest, list_separators));) {
		int rc = *item ? option_set(c, o, item, from, name, err, err_size) : 0;

		if (rc)
			return rc;
	}
	return 0;
}

static int read_env(struct config *c, const struct option *only, char *err, size_t err_size)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &options[i];
		char name[CONFIG_NAME_MAX];
		const char *value;
		int rc;

		if (only && o != only)
			continue;
		option_env_name(o, name);
		value = getenv(name);
		if (!value || !*value)
			continue;
		rc = set_from_env(c, o, name, value, err, err_size);
		if (rc)
			return rc == -EINVAL ? -EBADMSG : rc;
	}
	return 0;
}

/* One argument of the command line as the table sees it. */
struct flag {
	const struct option *option; /* NULL: not in the table */
	const char *value;	     /* NULL: missing */
	int words;		     /* 1 for --name=value, 2 for --name value */
};

static struct flag flag_at(int argc, char **argv, int at)
{
	const char *text = argv[at];
	struct flag flag = {NULL, NULL, 1};
	size_t len;

	if (strncmp(text, "--", 2) != 0)
		return flag;
	text += 2;
	len = strcspn(text, "=");
	flag.option = option_find((struct slice){text, len});
	if (!flag.option)
		return flag;
	if (text[len] == '=') {
		flag.value = text + len + 1;
	} else if (at + 1 < argc && strcmp(argv[at + 1], "--") != 0) {
		flag.value = argv[at + 1];
		flag.words = 2;
	}
	return flag;
}

static int flag_apply(struct config *c, const struct flag *flag, char *err, size_t err_size)
{
	char place[CONFIG_NAME_MAX];

	snprintf(place, sizeof(place), "--%s", flag->option->name);
	if (!flag->value) {
		snprintf(err, err_size, "%s: value missing; write %s=%s", place, place,
			 flag->option->value);
		return -EINVAL;
	}
	return option_set(c, flag->option, flag->value, (struct config_origin){CONFIG_FLAG, 0},
			  place, err, err_size);
}

/* Applies every flag of the table, or only one option's; argv is not changed. */
static int read_flags(struct config *c, int argc, char **argv, const struct option *only, char *err,
		      size_t err_size)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0;) {
		struct flag flag = flag_at(argc, argv, i);
		int rc = 0;

		if (flag.option && (!only || only == flag.option))
			rc = flag_apply(c, &flag, err, err_size);
		if (rc)
			return rc;
		i += flag.words;
	}
	return 0;
}

/* Takes the table's flags out of argv. */
static void drop_flags(int *argc, char **argv)
{
	int kept = *argc > 0 ? 1 : 0;
	int i = kept;

	while (i < *argc && strcmp(argv[i], "--") != 0) {
		struct flag flag = flag_at(*argc, argv, i);

		if (!flag.option)
			argv[kept++] = argv[i];
		i += flag.words;
	}
	while (i < *argc)
		argv[kept++] = argv[i++];
	argv[kept] = NULL;
	*argc = kept;
}

static int read_file(struct config *c, char *err, size_t err_size)
{
	const struct option *file = option_find(SLICE("config.file"));
	/* The file may not rename itself: the path is fixed before it is read. */
	_cleanup_(freep) char *path = strdup(c->config_file);
	int rc;

	if (!path)
		return -ENOMEM;
	rc = config_read_file(c, path, err, err_size);
	if (rc == -ENOENT && c->origin[file - options].source == CONFIG_DEFAULT)
		return 0;
	return rc && rc != -ENOMEM ? -EBADMSG : rc;
}

static int find_catalogue(struct config *c)
{
	int rc;

	if (c->prices_file)
		return 0;
	rc = share_find("pricing/catalog.json", "catalog.json", &c->prices_file);
	return rc == -ENOENT ? 0 : rc; /* whoever needs prices says that there are none */
}

static int load(struct config *c, int argc, char **argv, char *err, size_t err_size)
{
	const struct option *file = option_find(SLICE("config.file"));
	int rc = set_defaults(c, err, err_size);

	if (!rc)
		rc = read_env(c, file, err, err_size);
	if (!rc)
		rc = read_flags(c, argc, argv, file, err, err_size);
	if (!rc)
		rc = read_file(c, err, err_size);
	if (!rc)
		rc = read_env(c, NULL, err, err_size);
	if (!rc)
		rc = read_flags(c, argc, argv, NULL, err, err_size);
	if (!rc)
		rc = find_catalogue(c);
	return rc;
}

int config_load(struct config *out, int *argc, char **argv, char *err, size_t err_size)
{
	struct config fresh = {0};
	int rc;

	snprintf(err, err_size, "out of memory");
	rc = load(&fresh, *argc, argv, err, err_size);
	if (rc) {
		config_free(&fresh);
		/* Keys and values of the file stand in it, and it goes to a terminal. */
		slice_copy(err, err_size, slice_of(err));
		return rc;
	}
	drop_flags(argc, argv);
	err[0] = '\0';
	key_names_use(fresh.keys);
	if (fresh.rules)
		rules_settle(fresh.rules, !strcmp(fresh.rules_mode, "first"), fresh.keys);
	*out = fresh;
	return 0;
}
