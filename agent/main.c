/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cli.h"

#include <stdio.h>

#ifndef TOLLTAP_VERSION
#define TOLLTAP_VERSION "0.0.0"
#endif

static int help(void)
{
	printf("tolltap meters every LLM API call on this host, with no code change.\n\n"
	       "usage: tolltap COMMAND [flags]      tolltap COMMAND --help\n\ncommands:\n");
	for (const struct command *c = commands; c->name; c++)
		printf("  %-8s %s\n", c->name, c->summary);
	printf("\nstart with:\n"
	       "  sudo tolltap run          meter this host (Ctrl-C stops and detaches)\n"
	       "  tolltap top               watch calls, tokens and dollars live\n"
	       "  tolltap spend --by=model  who spent what\n"
	       "  tolltap doctor            what this kernel can do, what is read, what is not and "
	       "why\n");
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "help";

	if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h"))
		return help();
	if (!strcmp(name, "version") || !strcmp(name, "--version"))
		return printf("tolltap %s\n", TOLLTAP_VERSION) < 0;
	for (const struct command *c = commands; c->name; c++) {
		if (!strcmp(c->name, name))
			return c->run(argc - 1, argv + 1);
	}
	fprintf(stderr, "tolltap: unknown command '%s'; see tolltap --help\n", name);
	return EXIT_USAGE;
}
