/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tolltap doctor: what this kernel can do, what is read, what is not and why, and what to do about
 * it. The facts of the running agent come from its status file; where none runs and we are root,
 * the same calibration and scan an agent would do are done here and undone.
 */
#include "agent/cli/flags.h"
#include "agent/cli/running.h"
#include "agent/status.h"
#include "agent/discovery/discovery.h"
#include "agent/providers/provider.h"
#include "exporter/query.h"
#include "pricing/catalog.h"

#include <errno.h>
#include <stdio.h>
#include <stdarg.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FINDINGS_MAX 64
#define TEXT_MAX     1024

enum state { STATE_OK, STATE_NOTE, STATE_BAD };
static const char *const state_names[] = {"ok", "note", "bad"};

/* One line of the result. Only a bad one keeps metering from working. */
struct finding {
	enum state state;
	const char *subject;
	char text[TEXT_MAX];
};

struct doctor {
	struct config config;
	cJSON *status; /* the agent's, or our own of the same form */
	bool running;
	int code; /* the exit code of the first bad finding */
	struct finding findings[FINDINGS_MAX];
	size_t finding_count;
};

static void help(void)
{
	printf("usage: tolltap doctor [flags]\n\n"
	       "What this kernel can do, each TLS file found and whether it is probed, each TLS\n"
	       "process that cannot be read and why, and what to do. Exits 0 when metering "
	       "works.\n");
	config_help("doctor");
}

__attribute__((format(printf, 5, 6))) static void find(struct doctor *d, enum state state, int code,
						       const char *subject, const char *fmt, ...)
{
	struct finding *f;
	va_list args;

	if (state == STATE_BAD && d->code == EXIT_OK)
		d->code = code;
	if (d->finding_count == FINDINGS_MAX)
		return;
	f = &d->findings[d->finding_count++];
	f->state = state;
	f->subject = subject;
	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
}

/* ---- what can be asked without an agent ------------------------------------------------------ */

/* The first line of a small file; "" when it cannot be read. */
static void first_line(const char *path, char *dst, size_t size)
{
	FILE *f = fopen(path, "re");

	dst[0] = '\0';
	if (f && fgets(dst, (int)size, f))
		dst[strcspn(dst, "\n")] = '\0';
	if (f)
		fclose(f);
}

static void check_kernel(struct doctor *d)
{
	char lockdown[128];
	struct utsname name;

	if (uname(&name) == 0)
		find(d, STATE_OK, 0, "kernel", "Linux %s %s", name.release, name.machine);
	if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
		find(d, STATE_BAD, EXIT_KERNEL, "kernel",
		     "no /sys/kernel/btf/vmlinux; boot a kernel with CONFIG_DEBUG_INFO_BTF=y");
	first_line("/sys/kernel/security/lockdown", lockdown, sizeof(lockdown));
	if (strstr(lockdown, "[confidentiality]"))
		find(d, STATE_BAD, EXIT_KERNEL, "kernel",
		     "lockdown=confidentiality forbids BPF to read memory; boot with "
		     "lockdown=integrity or none");
}

/* A capability and what is lost without it. */
struct capability {
	int bit;
	const char *name;
	enum state state; /* of its absence */
	int until;	  /* Linux MAJOR * 100 + MINOR that no longer needs it; 0 = all do */
	const char *cost;
};

static const struct capability capabilities[] = {
	{39, "CAP_BPF", STATE_BAD, 0, "no probe program can be loaded: nothing is metered"},
	{38, "CAP_PERFMON", STATE_BAD, 0, "no probe can be attached: nothing is metered"},
	{21, "CAP_SYS_ADMIN", STATE_NOTE, 0,
	 "needed to attach before Linux 6.6 and to open deleted or container files by map_files"},
	{19, "CAP_SYS_PTRACE", STATE_NOTE, 0,
	 "libraries, environment and executables of other users' processes stay unknown"},
	{2, "CAP_DAC_READ_SEARCH", STATE_NOTE, 0,
	 "libraries in directories closed to us (containers) are not found"},
	{24, "CAP_SYS_RESOURCE", STATE_NOTE, 511, "the memlock limit may refuse the maps"},
};

static int kernel_version(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return 0;
	return major * 100 + minor;
}

static bool effective_capabilities(int pid, uint64_t *out)
{
	char path[64], line[256];
	bool found = false;
	FILE *f;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/status", pid);
	else
		snprintf(path, sizeof(path), "/proc/self/status");
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "CapEff:", 7)) {
			*out = strtoull(line + 7, NULL, 16);
			found = true;
		}
	}
	if (f)
		fclose(f);
	return found;
}

static void check_capabilities(struct doctor *d)
{
	int pid = d->running ? (int)status_number(d->status, "pid") : 0;
	const char *whose = d->running ? "the agent" : "this command";
	uint64_t have = 0;
	bool all = true;

	if (!effective_capabilities(pid, &have)) {
		find(d, STATE_NOTE, 0, "privilege", "the capabilities of %s cannot be read", whose);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(capabilities); i++) {
		const struct capability *c = &capabilities[i];

		if ((have >> c->bit & 1) || (c->until && kernel_version() >= c->until))
			continue;
		/* CAP_SYS_ADMIN holds what CAP_BPF and CAP_PERFMON were split from. */
		if (c->state == STATE_BAD && (have >> 21 & 1))
			continue;
		all = false;
		find(d, d->running ? STATE_NOTE : c->state, EXIT_PRIVILEGE, "privilege",
		     "%s lacks %s: %s%s", whose, c->name, c->cost,
		     d->running || geteuid() == 0 ? "" : "; run with sudo");
	}
	if (all)
		find(d, STATE_OK, 0, "privilege", "%s has every capability it can use", whose);
}

static void check_storage(struct doctor *d)
{
	char err[QUERY_ERROR_MAX];
	struct query *query = NULL;
	const char *dir = d->config.storage_path;
	int rc = query_open(&query, dir, err, sizeof(err));

	if (rc == 0)
		find(d, STATE_OK, 0, "storage", "the ledger in %s can be read", dir);
	else if (rc == -ENOENT)
		find(d, STATE_NOTE, 0, "storage", "%s", err);
	else
		find(d, rc == -EACCES ? STATE_NOTE : STATE_BAD, EXIT_STORAGE, "storage", "%s", err);
	query_close(query);
}

static void check_prices(struct doctor *d)
{
	struct catalog *catalog = NULL;
	char err[CATALOG_ERROR_MAX];

	if (!d->config.prices_file) {
		find(d, STATE_BAD, EXIT_CONFIG, "prices",
		     "no price catalogue is installed; give --prices.file=FILE");
		return;
	}
	if (catalog_load(&catalog, d->config.prices_file, d->config.prices_dir, err, sizeof(err)))
		find(d, STATE_BAD, EXIT_CONFIG, "prices", "%s", err);
	else
		find(d, STATE_OK, 0, "prices", "%s, sha256 %.12s", d->config.prices_file,
		     catalog_sha256(catalog));
	catalog_free(catalog);
}

static void check_hosts(struct doctor *d)
{
	struct provider_table *table = NULL;
	char err[CONFIG_ERROR_MAX];

	if (provider_table_new(&table))
		return;
	for (size_t i = 0; i < d->config.provider_host_count; i++) {
		if (provider_table_add_host(table, d->config.provider_hosts[i], err, sizeof(err)))
			find(d, STATE_BAD, EXIT_CONFIG, "config", "%s", err);
	}
	provider_table_free(table);
}

/* ---- what an agent knows --------------------------------------------------------------------- */

/* Loads, attaches, looks and lets go: what `run` would find. */
static void try_here(struct doctor *d)
{
	const struct broker_opts opts = {.ring_bytes = (uint32_t)d->config.ring_bytes,
					 .force_attach = -1,
					 .force_returns = -1};
	const struct discovery_ops ops = {0};
	struct discovery *discovery = NULL;
	struct broker *broker = NULL;
	char err[BROKER_ERROR_MAX];
	int rc = broker_new(&broker, &opts, err, sizeof(err));

	if (rc) {
		find(d, STATE_BAD, rc == -EPERM || rc == -EACCES ? EXIT_PRIVILEGE : EXIT_KERNEL,
		     "kernel", "%s", err);
		return;
	}
	d->status = cJSON_CreateObject();
	status_add_kernel(d->status, broker_caps(broker));
	rc = discovery_new(&discovery, broker, &ops, NULL);
	if (!rc)
		rc = discovery_scan(discovery);
	if (rc)
		find(d, STATE_BAD, EXIT_FAILED, "discovery", "the scan of /proc failed: %s",
		     strerror(-rc));
	else
		discovery_status(discovery, d->status);
	discovery_free(discovery);
	broker_free(broker);
}

static void look(struct doctor *d)
{
	char why[TEXT_MAX];
	int rc = running_status(d->config.storage_path, &d->status, why, sizeof(why));

	d->running = rc == EXIT_OK;
	if (d->running) {
		find(d, STATE_OK, 0, "agent", "running as pid %lld since %s, storage %s",
		     (long long)status_number(d->status, "pid"),
		     status_text(d->status, "started_at"), d->config.storage_path);
		return;
	}
	cJSON_Delete(d->status); /* of an agent that has ended */
	d->status = NULL;
	find(d, STATE_NOTE, 0, "agent", "%s", why);
	if (geteuid() == 0)
		try_here(d);
	else
		find(d, STATE_BAD, rc, "agent",
		     "not root and no readable agent: probes and processes cannot be examined; run "
		     "sudo tolltap doctor");
}

static const cJSON *part(const struct doctor *d, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(d->status, key);
}

static void judge_kernel(struct doctor *d)
{
	const cJSON *kernel = part(d, "kernel");

	if (!kernel)
		return;
	find(d, STATE_OK, 0, "probes", "attached by %s, results read by %s",
	     status_text(kernel, "attach"), status_text(kernel, "returns"));
	if (!status_flag(kernel, "multi"))
		find(d, STATE_NOTE, 0, "probes",
		     "no uprobe_multi links (Linux 6.6): one perf event per probe instead");
	if (!status_flag(kernel, "session"))
		find(d, STATE_NOTE, 0, "probes",
		     "no uprobe sessions (Linux 6.13): muted traffic "
		     "costs a little more");
	if (!status_flag(kernel, "trampoline_safe"))
		find(d, STATE_NOTE, 0, "probes",
		     "return trampolines would kill processes under strict seccomp here: return "
		     "instructions are probed instead");
}

static void judge_files(struct doctor *d)
{
	const cJSON *file;
	int attached = 0;

	cJSON_ArrayForEach(file, part(d, "files"))
	{
		attached += !strcmp(status_text(file, "state"), "attached");
	}
	if (!d->status)
		return;
	if (attached)
		find(d, STATE_OK, 0, "files", "%d TLS files are probed", attached);
	else
		find(d, STATE_NOTE, 0, "files",
		     "no TLS library or program found yet; one is probed within a second of its "
		     "start");
}

static void judge_losses(struct doctor *d)
{
	int64_t lost = status_counter(d->status, "tolltap_capture_lost_events_total");
	int64_t dropped = status_counter(d->status, "tolltap_ledger_dropped_total");

	if (lost)
		find(d, STATE_NOTE, 0, "losses",
		     "%lld events lost; calls they belong to carry gaps. Try a larger "
		     "--capture.ring-bytes",
		     (long long)lost);
	if (dropped)
		find(d, STATE_BAD, EXIT_STORAGE, "losses",
		     "%lld calls could not be recorded; is the disk of %s full or slow?",
		     (long long)dropped, d->config.storage_path);
}

static void judge_blind(struct doctor *d)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, part(d, "blind"))
	{
		find(d, STATE_NOTE, 0, "blind", "%lld connections of %s (pid %lld) to %s: %s",
		     (long long)status_number(item, "count"), status_text(item, "comm"),
		     (long long)status_number(item, "pid"), status_text(item, "host"),
		     status_text(item, "reason"));
	}
	cJSON_ArrayForEach(item, part(d, "hints"))
	{
		find(d, STATE_NOTE, 0, "hint", "%s: %s; add %s", status_text(item, "host"),
		     status_text(item, "kind"), status_text(item, "line"));
	}
}

/* ---- output ---------------------------------------------------------------------------------- */

static void print_findings(const struct doctor *d)
{
	for (size_t i = 0; i < d->finding_count; i++)
		printf("%-5s %-10s %s\n", state_names[d->findings[i].state], d->findings[i].subject,
		       d->findings[i].text);
}

static void print_files(const struct doctor *d)
{
	const cJSON *file;

	if (!cJSON_GetArraySize(part(d, "files")))
		return;
	printf("\nTLS files:\n  %-9s %7s %-14s %9s  %s\n", "STATE", "PROBES", "ON", "PROCESSES",
	       "PATH");
	cJSON_ArrayForEach(file, part(d, "files"))
	{
		const char *reason = status_text(file, "reason");

		printf("  %-9s %7lld %-14s %9lld  %s%s%s%s%s\n", status_text(file, "state"),
		       (long long)status_number(file, "probes"), status_text(file, "site_class"),
		       (long long)status_number(file, "processes"), status_text(file, "path"),
		       status_flag(file, "deleted") ? " (deleted)" : "", *reason ? " (" : "",
		       reason, *reason ? ")" : "");
	}
}

static void print_blind_processes(const struct doctor *d)
{
	const cJSON *process;
	char reason[256];
	bool any = false;

	cJSON_ArrayForEach(process, part(d, "processes"))
	{
		if (strcmp(status_text(process, "tls"), "blind") != 0)
			continue;
		if (!any)
			printf("\nTLS in processes that cannot be read:\n");
		any = true;
		printf("  %-8lld %-16s %s: %s\n", (long long)status_number(process, "pid"),
		       status_text(process, "comm"), status_text(process, "exe"),
		       status_blind_reason(reason, sizeof(reason), part(d, "processes"), process));
	}
}

static void print_table(const struct doctor *d)
{
	print_findings(d);
	print_files(d);
	print_blind_processes(d);
	printf("\n%s\n", d->code      ? "metering does not work here; see the lines marked bad"
			 : d->running ? "metering works"
				      : "metering would work; start it with: sudo tolltap run");
}

static void print_json(const struct doctor *d)
{
	static const char *const copied[] = {"kernel",	    "files", "processes",
					     "connections", "blind", "hints"};
	cJSON *root = cJSON_CreateObject();
	cJSON *findings;
	char *text;

	cJSON_AddBoolToObject(root, "ok", d->code == EXIT_OK);
	cJSON_AddBoolToObject(root, "agent_running", d->running);
	findings = cJSON_AddArrayToObject(root, "findings");
	for (size_t i = 0; i < d->finding_count; i++) {
		cJSON *item = cJSON_CreateObject();

		cJSON_AddStringToObject(item, "state", state_names[d->findings[i].state]);
		cJSON_AddStringToObject(item, "subject", d->findings[i].subject);
		cJSON_AddStringToObject(item, "text", d->findings[i].text);
		cJSON_AddItemToArray(findings, item);
	}
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		const cJSON *item = part(d, copied[i]);

		cJSON_AddItemToObject(root, copied[i],
				      item ? cJSON_Duplicate(item, true) : cJSON_CreateNull());
	}
	text = cJSON_PrintUnformatted(root);
	if (text)
		puts(text);
	cJSON_free(text);
	cJSON_Delete(root);
}

static void examine(struct doctor *d)
{
	static void (*const steps[])(struct doctor *) = {
		look,	     check_kernel, check_capabilities, judge_kernel, judge_files,
		judge_blind, judge_losses, check_storage,      check_prices, check_hosts,
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		steps[i](d);
}

int cmd_doctor(int argc, char **argv)
{
	struct doctor *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return cli_fail(EXIT_FAILED, "doctor", "out of memory");
	rc = cli_begin(&d->config, &argc, argv, NULL, help);
	if (rc == CLI_GO_ON && argc > 1)
		rc = cli_fail(EXIT_USAGE, "doctor", "unexpected '%s'", argv[1]);
	if (rc == CLI_GO_ON) {
		if (config_source_of(&d->config, "log.level") == CONFIG_DEFAULT)
			log_set_level(LOG_LEVEL_WARN);
		examine(d);
		if (!strcmp(d->config.output, "json"))
			print_json(d);
		else
			print_table(d);
		rc = d->code;
	}
	cJSON_Delete(d->status);
	config_free(&d->config);
	free(d);
	return rc;
}
