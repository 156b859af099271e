/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/options.h"

#include "agent/base/metric_tag.h"
#include "agent/attribution/rules.h"
#include "agent/base/ports.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/un.h>

/* unix(7): the path and its end */
#define SOCKET_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const attach_ways[] = {"auto", "session", "multi", "perf", NULL};
static const char *const return_ways[] = {"auto", "trampoline", "sites", NULL};
static const char *const privacy_profiles[] = {"standard", "minimal", NULL};
static const char *const yes_or_no[] = {"yes", "no", NULL};
static const char *const metrics_levels[] = {"node", "workload", "container", NULL};
static const char *const rule_modes[] = {"all", "first", NULL};
static const char *const output_forms[] = {"table", "json", "csv", NULL};

#define AT(field) offsetof(struct config, field)

const struct option options[] = {
	{"config.file", OPTION_TEXT, SCOPE_ALL, AT(config_file), 0, "/etc/tolltap/tolltap.yaml", "",
	 0, 0, NULL, "FILE", "YAML file with these options; the default one may be absent"},
	{"storage.path", OPTION_TEXT, SCOPE_ALL, AT(storage_path), 0, "/var/lib/tolltap", "", 0, 0,
	 NULL, "DIR", "directory of the ledger and the agent's status"},
	{"storage.retention-days", OPTION_INTEGER, SCOPE_AGENT, AT(retention_days), 0, "0", "", 0,
	 36500, NULL, "DAYS", "older calls of closed months go, their sums stay; 0 keeps all"},
	{"storage.retention-mib", OPTION_INTEGER, SCOPE_AGENT, AT(retention_mib), 0, "0", "", 0,
	 1 << 30, NULL, "MIB", "a larger ledger lets its oldest days go so; 0 keeps all"},
	{"web.listen-address", OPTION_ADDRESS, SCOPE_AGENT, AT(web_listen_address), 0,
	 "127.0.0.1:9465", "", 0, 0, NULL, "HOST:PORT",
	 "address of /metrics, /healthz, /readyz; port 0 takes a free one"},
	{"metrics.level", OPTION_CHOICE, SCOPE_AGENT, AT(metrics_level), 0, "container", "", 0, 0,
	 metrics_levels, "LEVEL", "how fine the workload labels of metrics are"},
	{"metrics.tag", OPTION_LIST, SCOPE_AGENT, AT(metrics_tags), AT(metrics_tag_count), "",
	 "none", 0, 0, NULL, METRIC_TAG_FORM,
	 "tag that is a label of metrics, with at most so many values (100); repeatable"},
	{"prices.file", OPTION_TEXT, SCOPE_ALL, AT(prices_file), 0, "", "the installed catalogue",
	 0, 0, NULL, "FILE", "price catalogue"},
	{"prices.dir", OPTION_TEXT, SCOPE_ALL, AT(prices_dir), 0, "", "none", 0, 0, NULL, "DIR",
	 "price files (*.json) that override the catalogue"},
	{"fingerprint.key-file", OPTION_TEXT, SCOPE_ALL, AT(fingerprint_key_file), 0, "",
	 "the install's own", 0, 0, NULL, "FILE|credential:NAME",
	 "secret that a fleet shares, so that a key has one fingerprint on all its hosts"},
	{"provider.host", OPTION_LIST, SCOPE_AGENT, AT(provider_hosts), AT(provider_host_count), "",
	 "none", 0, 0, NULL, "HOST=PROVIDER[,role=direct|gateway|self_hosted]",
	 "meter this host as that provider; repeatable"},
	{"gate.never-host", OPTION_LIST, SCOPE_AGENT, AT(never_hosts), AT(never_host_count), "",
	 "none", 0, 0, NULL, "HOST", "never look at connections to this host; repeatable"},
	{"container.socket", OPTION_LIST, SCOPE_AGENT, AT(container_sockets),
	 AT(container_socket_count), "", "/run/docker.sock, /run/podman/podman.sock", 0, 0, NULL,
	 "/PATH|none", "engine to ask for containers' names; none asks nobody; repeatable"},
	{"container.label", OPTION_LIST, SCOPE_AGENT, AT(container_labels),
	 AT(container_label_count), "", "none", 0, 0, NULL, "LABEL=TAG",
	 "label of containers, label or annotation of pods, that becomes a tag; repeatable"},
	{"kubernetes.kubelet-url", OPTION_TEXT, SCOPE_AGENT, AT(kubelet_url), 0, "",
	 "in a pod with NODE_NAME https://$NODE_NAME:10250, else none", 0, 0, NULL, "URL|none",
	 "kubelet of this node, asked for the pods of containers"},
	{"kubernetes.token-file", OPTION_TEXT, SCOPE_AGENT, AT(kubernetes_token), 0, "",
	 "the service account's", 0, 0, NULL, "FILE", "token for the kubelet, read each time"},
	{"kubernetes.ca-file", OPTION_TEXT, SCOPE_AGENT, AT(kubernetes_ca), 0, "",
	 "the service account's", 0, 0, NULL, "FILE",
	 "certificates that vouch for the kubelet's; no others do"},
	{"kubernetes.node-name", OPTION_TEXT, SCOPE_AGENT, AT(kubernetes_node), 0, "", "$NODE_NAME",
	 0, 0, NULL, "NAME", "name of this node"},
	{"courier.group", OPTION_LIST, SCOPE_AGENT, AT(courier_groups), AT(courier_group_count), "",
	 "none", 0, 0, NULL, "GROUP",
	 "group that may open those sockets (Docker's is as good as root); repeatable"},
	{"workload.argv", OPTION_LIST, SCOPE_AGENT, AT(argv_patterns), AT(argv_pattern_count), "",
	 "none", 0, 0, NULL, "REGEX",
	 "keep what this matches in command lines, and nothing else of them; repeatable"},
	{"privacy.keep", OPTION_LIST, SCOPE_AGENT, AT(privacy_keys), AT(privacy_key_count), "",
	 "ids of traces, sessions, conversations, accounts", 0, 0, NULL,
	 "header|answer|baggage|body:NAME[=plain|hash|drop]",
	 "keep this value of requests and answers, and how; repeatable"},
	{"privacy.profile", OPTION_CHOICE, SCOPE_AGENT, AT(privacy_profile), 0, "standard", "", 0,
	 0, privacy_profiles, "PROFILE",
	 "minimal keeps provider, model, tokens, cost, latency and configured tags only"},
	{"log.level", OPTION_LEVEL, SCOPE_ALL, AT(log_level), 0, "info", "", 0, 0, log_levels,
	 "LEVEL", "messages on stderr from this level on"},
	{"capture.ring-bytes", OPTION_POWER2, SCOPE_AGENT, AT(ring_bytes), 0, "16777216", "",
	 256 << 10, 1 << 30, NULL, "BYTES", "ring buffer between kernel and agent"},
	{"capture.attach", OPTION_CHOICE, SCOPE_AGENT, AT(attach), 0, "auto", "", 0, 0, attach_ways,
	 "WAY", "how probes are attached; auto takes the best this kernel passes"},
	{"capture.returns", OPTION_CHOICE, SCOPE_AGENT, AT(returns), 0, "auto", "", 0, 0,
	 return_ways, "WAY", "how results are read; auto follows the start-up self-test"},
	{"usage.estimate", OPTION_CHOICE, SCOPE_AGENT, AT(estimate), 0, "yes", "", 0, 0, yes_or_no,
	 "yes|no", "count the text of streams that were not asked for usage"},
	{"plaintext.ports", OPTION_PORTS, SCOPE_AGENT, AT(plaintext_ports), 0, "", "none", 0, 0,
	 NULL, "PORT,...", "meter plain HTTP to these ports too, at every socket of the host"},
	{"discovery.scan-interval-seconds", OPTION_INTEGER, SCOPE_AGENT, AT(scan_interval_s), 0,
	 "30", "", 1, 3600, NULL, "SECONDS", "safety-net scan of /proc beside process events"},
	{"rules.mode", OPTION_CHOICE, SCOPE_AGENT, AT(rules_mode), 0, "all", "", 0, 0, rule_modes,
	 "all|first", "all rules that match set their tags, or only the first one"},
	{"bill.openai-key-file", OPTION_TEXT, SCOPE_BILL, AT(bill_openai_key_file), 0, "", "none",
	 0, 0, NULL, "FILE", "holds the admin key that may read OpenAI's bill"},
	{"bill.anthropic-key-file", OPTION_TEXT, SCOPE_BILL, AT(bill_anthropic_key_file), 0, "",
	 "none", 0, 0, NULL, "FILE", "holds the admin key that may read Anthropic's bill"},
	{"report.timezone", OPTION_TEXT, SCOPE_ALL, AT(timezone), 0, "UTC", "", 0, 0, NULL, "ZONE",
	 "time zone of days and months in reports, like Europe/Berlin"},
	{"output", OPTION_CHOICE, SCOPE_QUERY, AT(output), 0, "table", "", 0, 0, output_forms,
	 "FORM", "form of what a command prints"},
};

const size_t option_count = ARRAY_LEN(options);
_Static_assert(ARRAY_LEN(options) <= CONFIG_OPTIONS_MAX, "every option has an origin");
_Static_assert(sizeof(enum log_level) == sizeof(int), "OPTION_LEVEL writes an int");

const struct option *option_find(struct slice name)
{
	for (size_t i = 0; i < option_count; i++) {
		if (slice_eq(slice_of(options[i].name), name))
			return &options[i];
	}
	return NULL;
}

bool option_is_group(const char *prefix)
{
	size_t len = strlen(prefix);

	for (size_t i = 0; i < option_count; i++) {
		if (!strncmp(options[i].name, prefix, len) && options[i].name[len] == '.')
			return true;
	}
	return false;
}

void option_env_name(const struct option *o, char *dst)
{
	snprintf(dst, CONFIG_NAME_MAX, "TOLLTAP_%s", o->name);
	for (char *p = dst; *p; p++)
		*p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
}

static void *field(const struct config *c, size_t offset)
{
	return (char *)(uintptr_t)c + offset;
}

static struct config_origin *origin_of(struct config *c, const struct option *o)
{
	return &c->origin[o - options];
}

static int refuse(char *err, size_t err_size, const char *place, const char *value,
		  const char *allowed)
{
	snprintf(err, err_size, "%s: bad value '%.120s'; allowed: %s", place, value, allowed);
	return -EINVAL;
}

static int check_choice(const struct option *o, const char *value, int *index, const char *place,
			char *err, size_t err_size)
{
	char allowed[160] = "";
	size_t used = 0;

	for (int i = 0; o->choices[i]; i++) {
		if (!strcmp(o->choices[i], value)) {
			*index = i;
			return 0;
		}
		used += (size_t)snprintf(allowed + used, sizeof(allowed) - used, "%s%s",
					 i ? ", " : "", o->choices[i]);
		if (used >= sizeof(allowed))
			break;
	}
	return refuse(err, err_size, place, value, allowed);
}

static int check_integer(const struct option *o, const char *value, int64_t *number,
			 const char *place, char *err, size_t err_size)
{
	bool power2 = o->kind == OPTION_POWER2;
	char allowed[120];
	char *end;
	long long n;

	errno = 0;
	n = strtoll(value, &end, 10);
	if (!errno && end != value && !*end && n >= o->min && n <= o->max &&
	    (!power2 || (n & (n - 1)) == 0)) {
		*number = n;
		return 0;
	}
	snprintf(allowed, sizeof(allowed), "%s from %lld to %lld",
		 power2 ? "a power of two" : "an integer", (long long)o->min, (long long)o->max);
	return refuse(err, err_size, place, value, allowed);
}

static bool address_ok(const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;

	if (!digits || digits > 5 || colon[1 + digits] || strtol(colon + 1, NULL, 10) > 65535)
		return false;
	if (text[0] == '[')
		return colon > text + 1 && colon[-1] == ']';
	return memchr(text, ':', (size_t)(colon - text)) == NULL;
}

/*
 * The form a list's help promises: HOST, HOST=PROVIDER, NAME[=WAY], the /PATH of a socket, or any
 * REGEX.
 */
static bool list_item_ok(const struct option *o, const char *value)
{
	size_t host = strcspn(value, "=");

	if (!strcmp(o->value, "REGEX"))
		return *value;
	if (!host || strpbrk(value, " \t\r\n"))
		return false;
	if (!strcmp(o->value, METRIC_TAG_FORM))
		return metric_tag_parse(value, NULL) == NULL;
	if (o->value[0] == '/')
		return !strcmp(value, "none") ||
		       (value[0] == '/' && strlen(value) < SOCKET_PATH_MAX);
	if (strstr(o->value, "[="))
		return !value[host] || value[host + 1];
	return strchr(o->value, '=') ? value[host] == '=' && value[host + 1] : !value[host];
}

static void list_clear(struct config *c, const struct option *o)
{
	char **items = field(c, o->offset);
	size_t *count = field(c, o->count_offset);

	while (*count)
		free(items[--*count]);
}

static int list_add(struct config *c, const struct option *o, const char *value, const char *place,
		    char *err, size_t err_size)
{
	char **items = field(c, o->offset);
	size_t *count = field(c, o->count_offset);
	char *copy;

	if (*count == CONFIG_HOSTS_MAX) {
		snprintf(err, err_size, "%s: more than %d entries", place, CONFIG_HOSTS_MAX);
		return -EINVAL;
	}
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	items[(*count)++] = copy;
	return 0;
}

static int text_set(struct config *c, const struct option *o, const char *value)
{
	char **slot = field(c, o->offset);
	char *copy = NULL;

	if (*value) {
		copy = strdup(value);
		if (!copy)
			return -ENOMEM;
	}
	free(*slot);
	*slot = copy;
	return 0;
}

/* Checks value by the row's kind; fills the parsed form. */
static int value_check(const struct option *o, const char *value, bool is_default, int *index,
		       int64_t *number, const char *place, char *err, size_t err_size)
{
	switch (o->kind) {
	case OPTION_TEXT:
		return *value || is_default ? 0 : refuse(err, err_size, place, "", o->value);
	case OPTION_ADDRESS:
		return address_ok(value) ? 0
					 : refuse(err, err_size, place, value,
						  "HOST:PORT, [V6]:PORT or :PORT, port 0 to 65535");
	case OPTION_PORTS:
		return is_default || port_set_parse(NULL, value)
			       ? 0
			       : refuse(err, err_size, place, value,
					"ports from 1 to 65535, separated by commas");
	case OPTION_CHOICE:
	case OPTION_LEVEL:
		return check_choice(o, value, index, place, err, err_size);
	case OPTION_INTEGER:
	case OPTION_POWER2:
		return check_integer(o, value, number, place, err, err_size);
	case OPTION_LIST:
		return list_item_ok(o, value) ? 0 : refuse(err, err_size, place, value, o->value);
	}
	return -EINVAL;
}

int option_set(struct config *c, const struct option *o, const char *value,
	       struct config_origin from, const char *place, char *err, size_t err_size)
{
	struct config_origin *origin = origin_of(c, o);
	int64_t number = 0;
	int index = 0;
	int rc;

	if (strlen(value) >= CONFIG_VALUE_MAX)
		return refuse(err, err_size, place, "(too long)", o->value);
	rc = value_check(o, value, from.source == CONFIG_DEFAULT, &index, &number, place, err,
			 err_size);
	if (rc)
		return rc;
	if (o->kind == OPTION_LIST) {
		if (from.source != origin->source)
			list_clear(c, o);
		rc = list_add(c, o, value, place, err, err_size);
	} else if (o->kind == OPTION_LEVEL) {
		memcpy(field(c, o->offset), &index, sizeof(index));
	} else if (o->kind == OPTION_INTEGER || o->kind == OPTION_POWER2) {
		memcpy(field(c, o->offset), &number, sizeof(number));
	} else {
		rc = text_set(c, o, value);
	}
	if (!rc)
		*origin = from;
	return rc;
}

bool option_get(const struct config *c, const struct option *o, size_t item, char *dst, size_t size)
{
	const void *at = field(c, o->offset);

	switch (o->kind) {
	case OPTION_LIST:
		if (item >= *(const size_t *)field(c, o->count_offset))
			return false;
		snprintf(dst, size, "%s", ((char *const *)at)[item]);
		return true;
	case OPTION_LEVEL:
		snprintf(dst, size, "%s", o->choices[*(const int *)at]);
		return item == 0;
	case OPTION_INTEGER:
	case OPTION_POWER2:
		snprintf(dst, size, "%lld", (long long)*(const int64_t *)at);
		return item == 0;
	default:
		if (item || !*(char *const *)at)
			return false;
		snprintf(dst, size, "%s", *(char *const *)at);
		return true;
	}
}

enum config_source config_source_of(const struct config *c, const char *name)
{
	const struct option *o = option_find(slice_of(name));

	return o ? c->origin[o - options].source : CONFIG_DEFAULT;
}

void config_free(struct config *c)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &options[i];

		if (o->kind == OPTION_LIST) {
			list_clear(c, o);
		} else if (o->kind == OPTION_TEXT || o->kind == OPTION_ADDRESS ||
			   o->kind == OPTION_CHOICE || o->kind == OPTION_PORTS) {
			char **slot = field(c, o->offset);

			free(*slot);
			*slot = NULL;
		}
	}
	if (key_names_in_use() == c->keys)
		key_names_use(NULL);
	key_names_free(c->keys);
	c->keys = NULL;
	rules_free(c->rules);
	c->rules = NULL;
}

/* ---- the nearest name ----------------------------------------------------------------------- */

#define NAME_COMPARE_MAX 64

/* Edits (insert, delete, replace) from a to b; names beyond NAME_COMPARE_MAX are far from all. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[NAME_COMPARE_MAX + 1];
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > NAME_COMPARE_MAX || b_len > NAME_COMPARE_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t replace = diagonal + (a[i - 1] != b[j - 1]);
			size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

			diagonal = row[j];
			row[j] = replace < best ? replace : best;
		}
	}
	return row[b_len];
}

static const char *last_part(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot + 1 : name;
}

static void consider(const char *name, const char *candidate, const char **best, size_t *best_cost)
{
	size_t cost = edit_distance(name, candidate);

	/* "path" for "storage.path": people forget the group first. */
	if (!strcmp(name, last_part(candidate)) && cost > 1)
		cost = 1;
	if (cost < *best_cost) {
		*best_cost = cost;
		*best = candidate;
	}
}

/* A name is near when at most so many edits lead to it. */
static size_t near_enough(const char *name)
{
	return 2 + strlen(name) / 3;
}

const char *closest_name(const char *name, const char *const *names)
{
	const char *best = NULL;
	size_t best_cost = near_enough(name);

	for (; *names; names++)
		consider(name, *names, &best, &best_cost);
	return best;
}

const char *config_closest(const char *name, const char *const *extra)
{
	const char *best = NULL;
	char bare[NAME_COMPARE_MAX + 2];
	size_t best_cost;

	name += strspn(name, "-");
	snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(name, "="), name);
	best_cost = near_enough(bare);
	for (size_t i = 0; i < option_count; i++)
		consider(bare, options[i].name, &best, &best_cost);
	for (; extra && *extra; extra++)
		consider(bare, *extra, &best, &best_cost);
	return best;
}
