/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tolltap check: what is in force, without starting anything. `config` has the values and where
 * each comes from, `capabilities` what this process may do and what the agent needs it for.
 */
#include "agent/cli/cli.h"

#include "agent/cli/flags.h"
#include "agent/privsep/capabilities.h"

#include <stdio.h>

static void help(void)
{
	printf("usage: tolltap check config|capabilities [flags]\n\n"
	       "config        reads flags, environment and file as `run` would, refuses what is "
	       "wrong,\n              and prints the values in force with where each comes from\n"
	       "capabilities  which ones the agent needs, and which it would have if this user "
	       "started it\n");
	config_help("check");
}

static void check_config(const struct config *config, bool markdown)
{
	if (markdown)
		config_print_markdown();
	else
		config_print(config);
}

static void check_capabilities(const struct config *config, bool markdown)
{
	(void)config;
	if (markdown)
		capabilities_print_markdown();
	else
		capabilities_print(sandbox_permitted_caps());
}

static const struct check {
	const char *name;
	void (*print)(const struct config *config, bool markdown);
} checks[] = {
	{"config", check_config},
	{"capabilities", check_capabilities},
};

int cmd_check(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	bool markdown = false;
	const struct cli_flag own[] = {
		{.name = "markdown", .boolean = &markdown},
		{.name = NULL},
	};
	int rc = cli_begin(&config, &argc, argv, own, help);

	if (rc != CLI_GO_ON)
		return rc;
	for (size_t i = 0; argc == 2 && i < ARRAY_LEN(checks); i++) {
		if (strcmp(argv[1], checks[i].name) == 0) {
			checks[i].print(&config, markdown);
			return EXIT_OK;
		}
	}
	return cli_fail(EXIT_USAGE, "check",
			"what to check is missing; write: tolltap check config, or tolltap check "
			"capabilities");
}
