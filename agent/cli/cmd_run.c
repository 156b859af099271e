/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "agent/agent.h"

int cmd_run(int argc, char **argv)
{
	struct config config = {0};
	char err[CONFIG_ERROR_MAX];
	char **all = calloc((size_t)argc + 1, sizeof(*all)); /* reloads parse the flags again */
	int count = argc, code;

	if (!all)
		return cli_fail(EXIT_FAILED, argv[0], "out of memory");
	memcpy(all, argv, (size_t)argc * sizeof(*all));
	if (config_load(&config, &argc, argv, err, sizeof(err)) < 0)
		code = cli_fail(EXIT_USAGE, argv[0], "%s", err);
	else if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		code = (printf("usage: tolltap run [flags]\n\n"
			       "Meters this host in the foreground until Ctrl-C; prints `ready` "
			       "when "
			       "probes are attached.\nSIGHUP reloads hosts, prices and log "
			       "level.\n\n"),
			config_help(argv[0]), EXIT_OK);
	else if (argc > 1)
		code = cli_fail(EXIT_USAGE, argv[0],
				"unexpected argument '%s'; see tolltap run --help", argv[1]);
	else
		code = agent_run(&config, count, all);
	config_free(&config);
	free(all);
	return code;
}
