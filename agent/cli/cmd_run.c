/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "agent/agent.h"
#include "agent/cli/flags.h"

static void help(void)
{
	printf("usage: tolltap run [flags]\n\n"
	       "Meters this host in the foreground until Ctrl-C; prints `ready` when probes are "
	       "attached.\nSIGHUP reloads hosts, prices and log level.\n\n");
	config_help("run");
}

int cmd_run(int argc, char **argv)
{
	struct config config = {0};
	_cleanup_(freep) char **all = calloc((size_t)argc + 1, sizeof(*all));
	int count = argc, code;

	if (!all)
		return cli_fail(EXIT_FAILED, argv[0], "out of memory");
	memcpy(all, argv, (size_t)argc * sizeof(*all)); /* reloads read the flags again */
	code = cli_begin(&config, &argc, argv, NULL, help);
	if (code == CLI_GO_ON && argc > 1)
		code = cli_fail(EXIT_USAGE, argv[0],
				"unexpected argument '%s'; see tolltap run --help", argv[1]);
	if (code == CLI_GO_ON)
		code = agent_run(&config, count, all);
	config_free(&config);
	return code;
}
