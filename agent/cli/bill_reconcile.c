/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/bill.h"
int bill_cmd_reconcile(const struct config *config, const struct bill_flags *flags, int argc,
		       char **argv)
{
	(void)config;
	(void)flags;
	(void)argc;
	(void)argv;
	return EXIT_FAILED;
}
