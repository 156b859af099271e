/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tolltap replay FILE`: a recording through the same path as live traffic, into a temporary ledger
 * (--into=DIR keeps it), then printed as `tolltap events` prints it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/capture/capture.h"
#include "agent/cli/child.h"
#include "agent/cli/flags.h"
#include "agent/exchange/privacy.h"
#include "agent/pipeline.h"
#include "exporter/ledger.h"
#include "exporter/secret.h"

struct replay {
	struct ledger *ledger;
};

static void on_call(void *user, const struct call *call, const char *model_id)
{
	struct replay *r = user;

	(void)model_id;
	while (ledger_append(r->ledger, call) == -EAGAIN)
		usleep(1000);
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	(void)user;
	log_debug("replay", "%s: no row: %s", provider, ignored_reason_names[reason]);
}

static void on_judge(void *user, uint32_t tgid, uint64_t ssl, bool watch)
{
	(void)user, (void)tgid, (void)ssl, (void)watch;
}

static const struct pipeline_ops replay_ops = {
	.call = on_call,
	.ignored = on_ignored,
	.judge = on_judge,
};

static int open_pipeline(struct pipeline **out, const struct config *config, struct replay *replay,
			 const uint8_t *key, char *err, size_t err_size)
{
	struct privacy privacy;
	struct pipeline_opts opts = {
		.ops = &replay_ops, .user = replay, .rules = config->rules, .privacy = &privacy};
	int rc = privacy_load(&privacy, config->privacy_profile, config->privacy_keys,
			      config->privacy_key_count, err, err_size);

	rc = rc ? rc : provider_table_new(&opts.providers);
	memcpy(opts.fingerprint_key, key, sizeof(opts.fingerprint_key));
	for (size_t i = 0; rc == 0 && i < config->provider_host_count; i++)
		rc = provider_table_add_host(opts.providers, config->provider_hosts[i], err,
					     err_size);
	if (rc == 0)
		rc = catalog_load(&opts.catalog, config->prices_file, config->prices_dir, err,
				  err_size);
	if (rc == 0)
		rc = pipeline_new(out, &opts);
	if (rc) {
		provider_table_free(opts.providers);
		catalog_free(opts.catalog);
	}
	return rc;
}

static int replay_into(const char *file, const char *dir, const struct config *config)
{
	struct replay replay = {0};
	struct pipeline *pipeline = NULL;
	char err[512] = "out of memory";
	uint8_t key[32];
	int code = EXIT_OK;

	if (ledger_open(&replay.ledger, dir, NULL, err, sizeof(err)) < 0 ||
	    secret_load(key, config->fingerprint_key_file, dir, err, sizeof(err)) < 0)
		code = cli_fail(EXIT_STORAGE, "replay", "%s", err);
	else if (open_pipeline(&pipeline, config, &replay, key, err, sizeof(err)) < 0)
		code = cli_fail(EXIT_CONFIG, "replay", "%s", err);
	else if (recording_replay(file, &pipeline_capture_ops, pipeline, err, sizeof(err)) < 0)
		code = cli_fail(EXIT_FAILED, "replay", "%s", err);
	pipeline_free(pipeline);
	ledger_close(replay.ledger);
	return code;
}

static int print_events(const char *dir, const char *output)
{
	char storage[4200], form[64];
	char *argv[] = {"events", storage, form, NULL};

	snprintf(storage, sizeof(storage), "--storage.path=%s", dir);
	snprintf(form, sizeof(form), "--output=%s", output);
	return cmd_events(3, argv);
}

static void help(void)
{
	printf("usage: tolltap replay FILE [--into=DIR] [flags]\n\n"
	       "Feeds a recording through the same path as live traffic and prints its calls. "
	       "Needs no "
	       "privilege and\nno kernel support. The rows go to a temporary ledger, or to "
	       "--into=DIR.\n\n");
	config_help("replay");
}

int cmd_replay(int argc, char **argv)
{
	struct config config = {0};
	const char *into = NULL;
	const struct cli_flag own[] = {{.name = "into", .text = &into}, {.name = NULL}};
	char temporary[PATH_MAX];
	int rc, code = cli_begin(&config, &argc, argv, own, help);

	if (code == CLI_GO_ON && argc != 2)
		code = cli_fail(EXIT_USAGE, argv[0],
				"give one recording; see tolltap replay --help");
	if (code == CLI_GO_ON && !into && (rc = temp_dir(temporary, sizeof(temporary))))
		code = cli_fail(EXIT_STORAGE, argv[0], "cannot make %s: %s", temporary,
				strerror(-rc));
	if (code == CLI_GO_ON) {
		code = replay_into(argv[1], into ? into : temporary, &config);
		if (code == EXIT_OK)
			code = print_events(into ? into : temporary, config.output);
		if (!into)
			remove_tree(temporary);
	}
	config_free(&config);
	return code;
}
