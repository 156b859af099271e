/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cli.h"
#include "agent/config/config.h"

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
	       "  tolltap exec -- CMD       what one command and its children cost\n"
	       "  tolltap doctor            what this kernel can do, what is read, what is not and "
	       "why\n"
	       "  tolltap demo              see it work against a local provider\n");
	return EXIT_OK;
}

#define COMMANDS_MAX 32

static int unknown_command(const char *name)
{
	const char *names[COMMANDS_MAX + 1] = {NULL};
	const char *near;

	for (size_t i = 0; commands[i].name && i < COMMANDS_MAX; i++)
		names[i] = commands[i].name;
	near = closest_name(name, names);
	fprintf(stderr, "tolltap: unknown command '%s'%s%s%s; see tolltap --help\n", name,
		near ? ", did you mean '" : "", near ? near : "", near ? "'" : "");
	return EXIT_USAGE;
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
	return unknown_command(name);
}
