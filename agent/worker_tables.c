/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/arguments.h"
#include "agent/worker_parts.h"

#include <errno.h>

#include "agent/base/counters.h"
#include "agent/exchange/privacy.h"
#include "agent/pipeline.h"
#include "agent/privsep/broker.h"
#include "exporter/aggregate.h"

static void list_provider_host(void *user, const char *suffix)
{
	struct worker *w = user;
	int err = broker_list_host(w->broker, suffix, true);

	if (err)
		log_warn("gate", "host %s not listed: %s", suffix, strerror(-err));
}

static void list_candidate_path(void *user, const char *suffix)
{
	struct worker *w = user;
	int err = broker_list_path(w->broker, suffix);

	if (err)
		log_warn("gate", "path %s not listed: %s", suffix, strerror(-err));
}

void worker_list_paths(struct worker *w)
{
	provider_each_shape(list_candidate_path, w);
}

void worker_fill_gate(struct worker *w, const struct config *config)
{
	provider_table_each_host(pipeline_providers(w->pipeline), list_provider_host, w);
	for (size_t i = 0; i < config->never_host_count; i++) {
		int err = broker_list_host(w->broker, config->never_hosts[i], false);

		if (err)
			log_warn("gate", "host %s not listed: %s", config->never_hosts[i],
				 strerror(-err));
	}
	broker_settle_hosts(w->broker);
}

static int load_providers(struct provider_table **out, const struct config *config, char *err,
			  size_t err_size)
{
	struct provider_table *table = NULL;
	int rc = provider_table_new(&table);

	for (size_t i = 0; rc == 0 && i < config->provider_host_count; i++)
		rc = provider_table_add_host(table, config->provider_hosts[i], err, err_size);
	if (rc) {
		provider_table_free(table);
		return rc;
	}
	*out = table;
	return 0;
}

/* config_load takes the flags it knows out of argv: it works on a copy. */
static int read_config(struct config *out, const struct worker *w, char *err, size_t err_size)
{
	_cleanup_(freep) char **argv = calloc((size_t)w->opts->argc + 1, sizeof(*argv));
	int argc = w->opts->argc;

	if (!argv)
		return -ENOMEM;
	memcpy(argv, w->opts->argv, (size_t)argc * sizeof(*argv));
	return config_load(out, &argc, argv, err, err_size);
}

/* The configuration is the worker's from now on; the rules of the one before go with it. */
static void take_config(struct worker *w, struct config *config)
{
	pipeline_set_rules(w->pipeline, config->rules);
	config_free(&w->fresh);
	w->fresh = *config;
	*config = (struct config){0};
	w->tables = &w->fresh;
}

void worker_reload(struct worker *w)
{
	struct config config = {0};
	struct catalog *catalog = NULL;
	struct provider_table *providers = NULL;
	struct argument_patterns *arguments = NULL;
	char err[CONFIG_ERROR_MAX] = "out of memory";

	if (read_config(&config, w, err, sizeof(err)) < 0 ||
	    load_providers(&providers, &config, err, sizeof(err)) < 0 ||
	    argument_patterns_new(&arguments, config.argv_patterns, config.argv_pattern_count, err,
				  sizeof(err)) < 0) {
		counter_add(COUNTER_CONFIG_RELOADS_BAD, 1);
		log_error("reload", "the old configuration stays: %s", err);
	} else if (catalog_load(&catalog, config.prices_file, config.prices_dir, err, sizeof(err)) <
		   0) {
		counter_add(COUNTER_PRICES_RELOADS_BAD, 1);
		counter_add(COUNTER_CONFIG_RELOADS_BAD, 1);
		log_error("reload", "the old prices stay: %s", err);
	} else {
		log_set_level(config.log_level);
		pipeline_set_catalog(w->pipeline, catalog);
		aggregate_set_prices(w->aggregate, catalog_sha256(catalog));
		pipeline_set_hosts(w->pipeline, providers);
		pipeline_allow_arguments(w->pipeline, TAKE_PTR(arguments));
		worker_fill_gate(w, &config);
		take_config(w, &config);
		counter_add(COUNTER_CONFIG_RELOADS, 1);
		log_info("reload",
			 "hosts, prices, rules, patterns of arguments and log level are reloaded; "
			 "storage, address, privacy, capture and metrics options need a restart");
	}
	argument_patterns_free(arguments);
	provider_table_free(providers);
	config_free(&config); /* what was refused; its names of keys were in use */
	key_names_use(w->tables->keys);
}

void worker_refresh_config(struct worker *w)
{
	char err[CONFIG_ERROR_MAX];

	if (worker_is_first(w))
		return;
	if (read_config(&w->fresh, w, err, sizeof(err)) == 0) {
		w->tables = &w->fresh;
		log_set_level(w->fresh.log_level);
	} else {
		log_error("reload", "the configuration of the start is used: %s", err);
	}
}

int worker_load_arguments(struct worker *w)
{
	struct argument_patterns *arguments;
	char err[ARGUMENT_ERROR_MAX] = "out of memory";

	if (argument_patterns_new(&arguments, w->tables->argv_patterns,
				  w->tables->argv_pattern_count, err, sizeof(err)) < 0)
		return cli_fail(EXIT_CONFIG, "run", "%s", err);
	pipeline_allow_arguments(w->pipeline, arguments);
	return EXIT_OK;
}

int worker_load_tables(struct worker *w, struct provider_table **providers,
		       struct catalog **catalog, struct privacy *privacy)
{
	char err[CATALOG_ERROR_MAX] = "out of memory";

	if (privacy_load(privacy, w->tables->privacy_profile, w->tables->privacy_keys,
			 w->tables->privacy_key_count, err, sizeof(err)) < 0 ||
	    load_providers(providers, w->tables, err, sizeof(err)) < 0 ||
	    catalog_load(catalog, w->tables->prices_file, w->tables->prices_dir, err, sizeof(err)) <
		    0)
		return cli_fail(EXIT_CONFIG, "run", "%s", err);
	return EXIT_OK;
}
