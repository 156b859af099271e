/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/flags.h"

#include <errno.h>
#include <stdio.h>

#define OWN_FLAGS_MAX 32

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	}
	return false;
}

static int unknown_flag(const char *command, const char *flag, const struct cli_flag *own)
{
	const char *names[OWN_FLAGS_MAX + 1] = {0};
	const char *near;

	for (size_t i = 0; own && own[i].name && i < OWN_FLAGS_MAX; i++)
		names[i] = own[i].name;
	near = config_closest(flag, names);
	return cli_fail(EXIT_USAGE, command, "unknown flag '%s'%s%s%s; see tolltap %s --help", flag,
			near ? ", did you mean '--" : "", near ? near : "", near ? "'" : "",
			command);
}

static const struct cli_flag *own_flag(const struct cli_flag *own, const char *arg)
{
	bool is_long = arg[1] == '-';
	size_t len = strcspn(arg + 2, "=");

	for (; own && own->name; own++) {
		if (is_long ? slice_eq(slice_of(own->name), (struct slice){arg + 2, len})
			    : own->letter && !strcmp(own->letter, arg + 1))
			return own;
	}
	return NULL;
}

/* Applies argv[*at] to flag; moves *at over a value in the next word. */
static int take_flag(const struct cli_flag *flag, const char *command, int argc, char **argv,
		     int *at)
{
	const char *arg = argv[*at];
	const char *equals = arg[1] == '-' ? strchr(arg, '=') : NULL;
	const char *value;

	if (flag->boolean) {
		if (equals)
			return cli_fail(EXIT_USAGE, command, "--%s takes no value", flag->name);
		*flag->boolean = true;
		return CLI_GO_ON;
	}
	if (!equals && *at + 1 >= argc)
		return cli_fail(EXIT_USAGE, command, "--%s: value missing; write --%s=VALUE",
				flag->name, flag->name);
	value = equals ? equals + 1 : argv[++*at];
	if (flag->text) {
		*flag->text = value;
		return CLI_GO_ON;
	}
	if (flag->list->count == CLI_LIST_MAX)
		return cli_fail(EXIT_USAGE, command, "--%s: at most %d times", flag->name,
				CLI_LIST_MAX);
	flag->list->item[flag->list->count++] = value;
	return CLI_GO_ON;
}

static int take_own_flags(int *argc, char **argv, const struct cli_flag *own)
{
	int kept = 1;
	int i = 1;

	for (; i < *argc; i++) {
		const struct cli_flag *flag;
		int rc;

		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		if (argv[i][0] != '-' || !argv[i][1]) {
			argv[kept++] = argv[i];
			continue;
		}
		flag = own_flag(own, argv[i]);
		if (!flag)
			return unknown_flag(argv[0], argv[i], own);
		rc = take_flag(flag, argv[0], *argc, argv, &i);
		if (rc != CLI_GO_ON)
			return rc;
	}
	while (i < *argc)
		argv[kept++] = argv[i++];
	argv[kept] = NULL;
	*argc = kept;
	return CLI_GO_ON;
}

int cli_begin(struct config *config, int *argc, char **argv, const struct cli_flag *own,
	      void (*help)(void))
{
	char err[CONFIG_ERROR_MAX];
	int rc;

	if (asks_for_help(*argc, argv)) {
		help();
		return EXIT_OK;
	}
	rc = config_load(config, argc, argv, err, sizeof(err));
	if (rc)
		return cli_fail(rc == -EINVAL ? EXIT_USAGE : EXIT_CONFIG, argv[0], "%s", err);
	log_set_level(config->log_level);
	return take_own_flags(argc, argv, own);
}
