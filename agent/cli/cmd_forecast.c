/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cli.h"
int cmd_forecast(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return 0;
}
