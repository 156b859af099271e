/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap check rules: the rules as they were read, or what they make of one recorded call. */
#ifndef TT_CLI_CHECK_RULES_H
#define TT_CLI_CHECK_RULES_H

#include "agent/config/config.h"

/* event_id NULL: lists the rules. Returns an exit code, the reason is printed. */
int check_rules(const struct config *config, const char *event_id);

#endif
