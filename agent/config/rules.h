/* SPDX-License-Identifier: Apache-2.0 */
/* The list of rules in the configuration file, read into agent/attribution/rules.h. */
#ifndef TT_CONFIG_RULES_H
#define TT_CONFIG_RULES_H

#include <yaml.h>

#include "agent/attribution/rules.h"

/*
 * Reads a YAML list of rules. path starts the line in err, which names the line and the rule.
 * Returns 0 and *out, -EINVAL (err filled) or -ENOMEM.
 */
int config_read_rules(struct rules **out, yaml_document_t *document, const yaml_node_t *list,
		      const char *path, char *err, size_t err_size) TT_MUST_CHECK;

#endif
