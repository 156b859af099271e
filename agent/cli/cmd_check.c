/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tolltap check: what is in force, without starting anything. `config` has the values and where
 * each comes from, `capabilities` what this process may do and what the agent needs it for, `rules`
 * the rules and what they make of a recorded call.
 */
#include "agent/cli/cli.h"

#include "agent/cli/check_rules.h"
#include "agent/cli/flags.h"
#include "agent/privsep/capabilities.h"

#include <stdio.h>

static void help(void)
{
	printf("usage: tolltap check config|capabilities|rules [flags]\n\n"
	       "config        reads flags, environment and file as `run` would, refuses what is "
	       "wrong,\n              and prints the values in force with where each comes from\n"
	       "capabilities  which ones the agent needs, and which it would have if this user "
	       "started it\n"
	       "rules         the rules of the file: what each matches and which tags it sets\n\n"
	       "flags of rules:\n"
	       "  --explain=EVENT_ID  what each rule makes of this call of the ledger, and why; "
	       "nothing\n                      is changed (tolltap events --explain shows ids)\n");
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
	const char *event_id = NULL;
	bool markdown = false;
	const struct cli_flag own[] = {
		{.name = "markdown", .boolean = &markdown},
		{.name = "explain", .text = &event_id},
		{.name = NULL},
	};
	int rc = cli_begin(&config, &argc, argv, own, help);

	if (rc != CLI_GO_ON)
		return rc;
	if (argc == 2 && !strcmp(argv[1], "rules"))
		return check_rules(&config, event_id);
	if (event_id)
		return cli_fail(EXIT_USAGE, "check", "--explain is for: tolltap check rules");
	for (size_t i = 0; argc == 2 && i < ARRAY_LEN(checks); i++) {
		if (strcmp(argv[1], checks[i].name) == 0) {
			checks[i].print(&config, markdown);
			return EXIT_OK;
		}
	}
	return cli_fail(EXIT_USAGE, "check",
			"what to check is missing; write: tolltap check config, tolltap check "
			"capabilities, or tolltap check rules");
}
