/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options: one table row gives the flag, the YAML key, the environment variable, the default,
 * bounds, help text and documentation. Precedence: flag > environment > file > default. A list
 * given by a stronger source replaces the weaker one's whole list. To add an option, add a field
 * here and a row in options.c.
 */
#ifndef TT_CONFIG_H
#define TT_CONFIG_H

#include "agent/base/base.h"
#include "agent/base/key_names.h"
#include "agent/base/log.h"

#define CONFIG_HOSTS_MAX      256
#define CONFIG_ERROR_MAX      1024
#define CONFIG_OPTIONS_MAX    48
#define CONFIG_FILE_BYTES_MAX (1u << 20)
#define CONFIG_VALUE_MAX      4096

struct rules; /* agent/attribution/rules.h */

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_FLAG };

/* Where the value in force came from; line is the file's, counted from 1. */
struct config_origin {
	enum config_source source;
	int line;
};

struct config {
	char *config_file;	  /* --config.file */
	char *storage_path;	  /* --storage.path */
	char *web_listen_address; /* --web.listen-address */
	char *prices_file; /* --prices.file: the catalogue; default: installed, else in tree */
	char *prices_dir;  /* --prices.dir: overrides; NULL = none */
	char *fingerprint_key_file; /* --fingerprint.key-file; NULL = the install's own */
	char *provider_hosts[CONFIG_HOSTS_MAX]; /* --provider.host, repeatable */
	size_t provider_host_count;
	char *never_hosts[CONFIG_HOSTS_MAX]; /* --gate.never-host, repeatable */
	size_t never_host_count;
	char *container_sockets[CONFIG_HOSTS_MAX]; /* --container.socket, repeatable */
	size_t container_socket_count;
	char *container_labels[CONFIG_HOSTS_MAX]; /* --container.label, repeatable */
	size_t container_label_count;
	char *kubelet_url;	/* --kubernetes.kubelet-url; NULL = as in a pod */
	char *kubernetes_token; /* --kubernetes.token-file; NULL = the service account's */
	char *kubernetes_ca;	/* --kubernetes.ca-file; NULL = the service account's */
	char *kubernetes_node;	/* --kubernetes.node-name; NULL = $NODE_NAME */
	char *courier_groups[CONFIG_HOSTS_MAX]; /* --courier.group, repeatable */
	size_t courier_group_count;
	char *argv_patterns[CONFIG_HOSTS_MAX]; /* --workload.argv, repeatable */
	size_t argv_pattern_count;
	char *metrics_tags[CONFIG_HOSTS_MAX]; /* --metrics.tag, repeatable */
	size_t metrics_tag_count;
	char *metrics_level;		      /* --metrics.level: node, workload, container */
	char *privacy_keys[CONFIG_HOSTS_MAX]; /* --privacy.keep, repeatable */
	size_t privacy_key_count;
	char *privacy_profile;	       /* --privacy.profile: standard, minimal */
	enum log_level log_level;      /* --log.level */
	int64_t ring_bytes;	       /* --capture.ring-bytes */
	char *attach;		       /* --capture.attach: auto, session, multi, perf */
	char *returns;		       /* --capture.returns: auto, trampoline, sites */
	char *estimate;		       /* --usage.estimate: yes, no */
	char *plaintext_ports;	       /* --plaintext.ports: "8000,11434"; NULL = none */
	int64_t retention_days;	       /* --storage.retention-days */
	int64_t retention_mib;	       /* --storage.retention-mib */
	int64_t scan_interval_s;       /* --discovery.scan-interval-seconds */
	char *bill_openai_key_file;    /* --bill.openai-key-file; NULL = none */
	char *bill_anthropic_key_file; /* --bill.anthropic-key-file; NULL = none */
	char *timezone;		       /* --report.timezone */
	char *output;		       /* --output: table, json, csv (query commands) */
	struct key_names *keys;	       /* the file's section `keys`; NULL = none */
	char *rules_mode;	       /* --rules.mode: all, first */
	struct rules *rules;	       /* the file's section `rules`; NULL = none */
	struct config_origin origin[CONFIG_OPTIONS_MAX]; /* by row of the table */
};

/*
 * Reads flags of one command (argv[0] is the command's name), the environment (TOLLTAP_STORAGE_PATH
 * ...), the file and defaults. Flags not in the table are left to the command: they stay in argv,
 * in order, and *argc is lowered; reading stops at "--". Keeps no pointer into argv and no state
 * between calls: to reload, call again with a copy of the first argv. *out changes only on success;
 * its keys are the names in use (agent/base/key_names.h) until it is freed.
 *
 * Returns 0, or with one line in err: -EINVAL for a bad flag (EXIT_USAGE), -EBADMSG for a bad
 * environment value or file (EXIT_CONFIG), -ENOMEM. config_free what was filled.
 */
int config_load(struct config *out, int *argc, char **argv, char *err,
		size_t err_size) TT_MUST_CHECK;
void config_free(struct config *c);

/* Where the value of an option comes from, by its name ("storage.path"). */
enum config_source config_source_of(const struct config *c, const char *name);

/* The flags a command shares with all others, as --help prints them. */
void config_help(const char *command);
/* `tolltap check config`: the effective values with where each came from, in c->output's form. */
void config_print(const struct config *c);
/* docs/configuration.md, made from the table. */
void config_print_markdown(void);

/*
 * The known name nearest to a mistyped flag ("--storage.pth" or "storage.pth"), among the table's
 * and the NULL-ended extra names (may be NULL); NULL when none is near.
 */
const char *config_closest(const char *name, const char *const *extra);

/* The name of a NULL-ended list nearest to a mistyped one, or NULL. */
const char *closest_name(const char *name, const char *const *names);

/*
 * Finds a data file: in the source tree beside build/, else under PREFIX/share/tolltap relative to
 * this executable, else under the compiled share directory. Returns 0 and a path to free, or
 * -ENOENT, -ENOMEM.
 */
int share_find(const char *tree_name, const char *installed_name, char **out) TT_MUST_CHECK;

#endif
