/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options: one table row gives the flag, the YAML key, the environment variable, the default,
 * bounds, help text and documentation. Precedence: flag > environment > file > default. To add an
 * option, add a field here and a row in options.c.
 */
#ifndef TT_CONFIG_H
#define TT_CONFIG_H

#include "agent/base/base.h"
#include "agent/base/log.h"

#define CONFIG_HOSTS_MAX 256
#define CONFIG_ERROR_MAX 512

struct config {
	char *config_file;	  /* --config.file */
	char *storage_path;	  /* --storage.path */
	char *web_listen_address; /* --web.listen-address */
	char *prices_file; /* --prices.file: the catalogue; default: installed, else in tree */
	char *prices_dir;  /* --prices.dir: overrides */
	char *provider_hosts[CONFIG_HOSTS_MAX]; /* --provider.host, repeatable */
	size_t provider_host_count;
	char *never_hosts[CONFIG_HOSTS_MAX]; /* --gate.never-host, repeatable */
	size_t never_host_count;
	enum log_level log_level; /* --log.level */
	int64_t ring_bytes;	  /* --capture.ring-bytes */
	char *attach;		  /* --capture.attach: auto, session, multi, perf */
	char *returns;		  /* --capture.returns: auto, trampoline, sites */
	int64_t scan_interval_s;  /* --discovery.scan-interval-seconds */
	char *output;		  /* --output: table, json, csv (query commands) */
};

/*
 * Reads flags of one command (argv[0] is the command's name), the environment (TOLLTAP_STORAGE_PATH
 * ...), the file and defaults. Flags not in the table are left to the command: they stay in argv,
 * in order, and *argc is lowered. Returns 0, or -EINVAL with one line in err. config_free what was
 * filled.
 */
int config_load(struct config *out, int *argc, char **argv, char *err,
		size_t err_size) TT_MUST_CHECK;
void config_free(struct config *c);

/* The flags a command shares with all others, as --help prints them. */
void config_help(const char *command);
/* `tolltap check config`: the effective values with where each came from. */
void config_print(const struct config *c);

#endif
