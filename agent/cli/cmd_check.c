/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap check config: what is in force and where it comes from, without starting anything. */
#include "agent/cli/cli.h"

#include "agent/cli/flags.h"

#include <stdio.h>

static void help(void)
{
	printf("usage: tolltap check config [flags]\n\n"
	       "Reads flags, environment and file as `run` would, refuses what is wrong, and "
	       "prints\nthe values in force with where each comes from.\n");
	config_help("check");
}

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
	if (argc != 2 || strcmp(argv[1], "config") != 0)
		return cli_fail(EXIT_USAGE, "check",
				"what to check is missing; write: tolltap "
				"check config");
	if (markdown)
		config_print_markdown();
	else
		config_print(&config);
	return EXIT_OK;
}
