/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tolltap doctor: what this kernel can do, what is read, what is not and why, and what to do about
 * it. The facts of the running agent come from its status file; where none runs and we are root,
 * the same calibration and scan an agent would do are done here and undone.
 */
#include "agent/base/clock.h"
#include "agent/cli/family.h"
#include "agent/cli/flags.h"
#include "agent/cli/missing.h"
#include "agent/cli/running.h"
#include "agent/privsep/capabilities.h"
#include "agent/status.h"
#include "agent/discovery/discovery.h"
#include "agent/privsep/local.h"
#include "agent/providers/provider.h"
#include "exporter/query.h"
#include "exporter/salvage.h"
#include "pricing/catalog.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdarg.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FINDINGS_MAX 96
#define MISSING_MAX  32
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
	struct family_member family[FAMILY_MAX]; /* of a running agent */
	size_t family_size;
	const struct capability *missing[MISSING_MAX];
	size_t missing_count;
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

/* What this host is known to need: calibration knows better than the version. */
static void know_facts(const struct doctor *d, struct capability_facts *facts)
{
	const cJSON *kernel = cJSON_GetObjectItemCaseSensitive(d->status, "kernel");

	capability_facts_read(facts);
	if (kernel)
		facts->multi = status_flag(kernel, "multi");
}

/* What the processes of the running agent hold together, or this command. */
static uint64_t look_at_privilege(struct doctor *d)
{
	uint64_t held = 0;

	if (!d->running)
		return sandbox_permitted_caps();
	d->family_size = family_of((pid_t)status_number(d->status, "pid"), d->family);
	for (size_t i = 0; i < d->family_size; i++)
		held |= d->family[i].caps;
	return held;
}

/* Only an agent that does not run yet can fail for lack of one: a running one has started. */
static void check_capabilities(struct doctor *d)
{
	const char *whose = d->running ? "the agent" : "this command";
	uint64_t held = look_at_privilege(d);
	struct capability_facts facts;

	know_facts(d, &facts);
	d->missing_count = capabilities_missing(held, &facts, !d->running, d->missing, MISSING_MAX);
	for (size_t i = 0; i < d->missing_count; i++) {
		const struct capability *row = d->missing[i];

		find(d, row->vital && !d->running ? STATE_BAD : STATE_NOTE, EXIT_PRIVILEGE,
		     "privilege", "%s lacks %s: %s%s", whose, row->name, row->cost,
		     d->running || geteuid() == 0 ? "" : "; run with sudo");
	}
	if (!d->missing_count)
		find(d, STATE_OK, 0, "privilege", "%s has every capability it can use", whose);
}

static void check_recorded_losses(struct doctor *d, struct query *query)
{
	char at[CLOCK_TEXT_MAX];
	struct query_losses lost;

	if (query_losses(query, 0, 0, &lost))
		find(d, STATE_BAD, EXIT_STORAGE, "storage", "%s", query_error(query));
	else if (lost.occasions)
		find(d, STATE_NOTE, 0, "losses",
		     "recorded in the ledger: %lld calls lost and %lld s not metered, on %lld "
		     "occasions, the last %s (%s)",
		     (long long)lost.calls, (long long)lost.unmetered_seconds,
		     (long long)lost.occasions, clock_format_us(at, lost.last_at_us),
		     lost.last_reason);
}

static void note_missing(void *d, const char *line)
{
	find(d, STATE_NOTE, 0, "usage", "%s", line);
}

/* Of the last day. */
static void check_missing_usage(struct doctor *d, struct query *query)
{
	const int64_t day_us = 86400 * INT64_C(1000000);
	int64_t now_us = (int64_t)(clock_wall_ns() / NSEC_PER_USEC);
	int rc = missing_tell(query, now_us - day_us, note_missing, d);

	if (rc)
		find(d, rc == -ENOTSUP ? STATE_NOTE : STATE_BAD, EXIT_STORAGE, "usage", "%s",
		     query_error(query));
}

static void check_kept_aside(struct doctor *d, const char *dir)
{
	char newest[NAME_MAX + 1];
	size_t count = salvage_kept_aside(dir, newest, sizeof(newest));

	if (count)
		find(d, STATE_NOTE, 0, "storage",
		     "the ledger was damaged; %zu damaged file%s kept, the newest %s/%s: remove "
		     "when nothing of it is wanted any more, and look for errors of its disk",
		     count, count == 1 ? " is" : "s are", dir, newest);
}

static void check_storage(struct doctor *d)
{
	char err[QUERY_ERROR_MAX];
	struct query *query = NULL;
	const char *dir = d->config.storage_path;
	int rc = query_open(&query, dir, err, sizeof(err));

	if (rc == 0) {
		find(d, STATE_OK, 0, "storage", "the ledger in %s can be read", dir);
		check_recorded_losses(d, query);
		check_missing_usage(d, query);
		check_kept_aside(d, dir);
	}
	if (rc == -ENOENT)
		find(d, STATE_NOTE, 0, "storage", "%s", err);
	else if (rc)
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
	const struct probe_opts opts = {.ring_bytes = (uint32_t)d->config.ring_bytes,
					.force_attach = -1,
					.force_returns = -1};
	const struct discovery_ops ops = {0};
	struct discovery *discovery = NULL;
	struct local_broker local = {0};
	char err[BROKER_ERROR_MAX];
	int rc = local_broker_start(&local, &opts, err, sizeof(err));

	if (rc) {
		find(d, STATE_BAD, rc == -EPERM || rc == -EACCES ? EXIT_PRIVILEGE : EXIT_KERNEL,
		     "kernel", "%s", err);
		return;
	}
	d->status = cJSON_CreateObject();
	status_add_kernel(d->status, broker_caps(local.broker));
	rc = discovery_new(&discovery, local.broker, &ops, NULL);
	if (!rc)
		rc = discovery_scan(discovery);
	if (rc)
		find(d, STATE_BAD, EXIT_FAILED, "discovery", "the scan of /proc failed: %s",
		     strerror(-rc));
	else
		discovery_status(discovery, d->status);
	discovery_free(discovery);
	local_broker_stop(&local);
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

/* How each kind of attachment reads to somebody who has not read the kernel's sources. */
static const struct {
	const char *kind, *text;
} attach_texts[] = {
	{"session", "session links: one program sees a call's entry and its return, and unread "
		    "connections skip the return"},
	{"multi", "multi links: one link for all places in a file"},
	{"perf", "perf events: one for each place in a file, the only way before Linux 6.6"},
};

/* The start-up test and what was chosen after it. */
static const struct {
	const char *returns;
	bool safe;
	enum state state;
	const char *text;
} return_texts[] = {
	{"trampoline", true, STATE_OK,
	 "by the kernel's return trampoline: the start-up test ran a child under a strict seccomp "
	 "filter through it, and the child lived"},
	{"trampoline", false, STATE_NOTE,
	 "by the kernel's return trampoline, as --capture.returns asks, although the start-up test "
	 "FAILED: it kills processes under strict seccomp filters"},
	{"sites", false, STATE_OK,
	 "by probes on the functions' return instructions: in the start-up test the kernel's "
	 "return "
	 "trampoline killed a child under a strict seccomp filter (Linux 6.11 to 6.13 without the "
	 "fix), so it is never used here"},
	{"sites", true, STATE_OK,
	 "by probes on the functions' return instructions, as --capture.returns asks; the kernel's "
	 "return trampoline passed the start-up test too"},
};

static void judge_kernel(struct doctor *d)
{
	const cJSON *kernel = part(d, "kernel");

	if (!kernel)
		return;
	for (size_t i = 0; i < ARRAY_LEN(attach_texts); i++) {
		if (!strcmp(attach_texts[i].kind, status_text(kernel, "attach")))
			find(d, STATE_OK, 0, "probes", "attached by %s", attach_texts[i].text);
	}
	for (size_t i = 0; i < ARRAY_LEN(return_texts); i++) {
		bool safe = status_flag(kernel, "trampoline_safe");

		if (!strcmp(return_texts[i].returns, status_text(kernel, "returns")) &&
		    return_texts[i].safe == safe)
			find(d, return_texts[i].state, 0, "probes", "returns are seen %s",
			     return_texts[i].text);
	}
	if (status_number(kernel, "plaintext_ports"))
		find(d, STATE_OK, 0, "probes",
		     "plain HTTP to %lld ports is read when system calls on sockets return",
		     (long long)status_number(kernel, "plaintext_ports"));
	if (!status_flag(kernel, "multi"))
		find(d, STATE_NOTE, 0, "probes",
		     "this kernel has no uprobe_multi links (Linux 6.6): attaching needs "
		     "CAP_SYS_ADMIN");
	if (!status_flag(kernel, "session"))
		find(d, STATE_NOTE, 0, "probes",
		     "this kernel has no uprobe sessions (Linux 6.13): traffic that is not read "
		     "costs a little more");
}

/* Why a file that has the functions is left alone (agent/discovery/sites.h). */
static const struct {
	const char *reason, *text;
} refusal_texts[] = {
	{"function_is_indirect", "its TLS functions are chosen anew at each load (IFUNC)"},
	{"function_defined_twice", "it defines a TLS function twice"},
	{"function_bounds_unknown",
	 "where its TLS functions end is written neither in its symbols nor in its unwind table"},
	{"function_bounds_disagree",
	 "its symbols and its unwind table contradict each other about its TLS functions"},
	{"code_not_decoded", "the code of its TLS functions does not decode from start to end"},
};

static void judge_refusal(struct doctor *d, const cJSON *file)
{
	for (size_t i = 0; i < ARRAY_LEN(refusal_texts); i++) {
		if (!strcmp(refusal_texts[i].reason, status_text(file, "reason")))
			find(d, STATE_NOTE, 0, "files",
			     "%s is not probed: %s, and a probe could land inside an instruction",
			     status_text(file, "path"), refusal_texts[i].text);
	}
}

static void judge_files(struct doctor *d)
{
	const cJSON *file;
	int attached = 0;

	cJSON_ArrayForEach(file, part(d, "files"))
	{
		attached += !strcmp(status_text(file, "state"), "attached");
		judge_refusal(d, file);
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
	int64_t evicted = status_counter(d->status, "tolltap_capture_evicted_entries_total");
	int64_t dropped = status_counter(d->status, "tolltap_ledger_dropped_total");

	if (lost)
		find(d, STATE_NOTE, 0, "losses",
		     "%lld events lost; calls they belong to carry gaps. Try a larger "
		     "--capture.ring-bytes",
		     (long long)lost);
	if (evicted)
		find(d, STATE_NOTE, 0, "losses",
		     "%lld entries in use were recycled: more connections or calls were open at "
		     "one time than the kernel's tables hold (docs/limits.md)",
		     (long long)evicted);
	if (dropped)
		find(d, STATE_BAD, EXIT_STORAGE, "losses",
		     "%lld calls could not be recorded; is the disk of %s full or slow?",
		     (long long)dropped, d->config.storage_path);
}

static void judge_hosts(struct doctor *d)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, part(d, "hints"))
	{
		find(d, STATE_NOTE, 0, "hint", "%s: %s; add %s", status_text(item, "host"),
		     status_text(item, "kind"), status_text(item, "line"));
	}
}

static void judge_connections(struct doctor *d)
{
	const cJSON *connections = part(d, "connections");
	double unlisted = cJSON_GetNumberValue(
		cJSON_GetObjectItemCaseSensitive(connections, "http2_unlisted"));

	if (unlisted > 0)
		find(d, STATE_NOTE, 0, "http2",
		     "%.0f HTTP/2 connections to hosts that are not listed were left alone, and "
		     "HTTP/2 packs what would tell LLM traffic; name a gateway of yours with "
		     "--provider.host=HOST=PROVIDER,role=gateway",
		     unlisted);
}

static void judge_containers(struct doctor *d)
{
	const char *socket = status_text(part(d, "containers"), "forbidden_socket");

	if (*socket)
		find(d, STATE_NOTE, 0, "containers",
		     "the courier may not open %s: containers keep their ids instead of names; "
		     "give its group by --courier.group (Docker's is as good as root), or say "
		     "--container.socket=none or --kubernetes.kubelet-url=none",
		     socket);
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
	family_print(d->family, d->family_size);
	print_files(d);
	print_blind_processes(d);
	printf("\n%s\n", d->code      ? "metering does not work here; see the lines marked bad"
			 : d->running ? "metering works"
				      : "metering would work; start it with: sudo tolltap run");
}

static void add_missing(const struct doctor *d, cJSON *rows)
{
	for (size_t i = 0; i < d->missing_count; i++) {
		cJSON *item = cJSON_CreateObject();

		cJSON_AddStringToObject(item, "name", d->missing[i]->name);
		cJSON_AddStringToObject(item, "needed_for", d->missing[i]->needed_for);
		cJSON_AddStringToObject(item, "cost", d->missing[i]->cost);
		cJSON_AddItemToArray(rows, item);
	}
}

static void print_json(const struct doctor *d)
{
	static const char *const copied[] = {"kernel", "files", "processes", "connections",
					     "hints"};
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
	add_missing(d, cJSON_AddArrayToObject(root, "missing_capabilities"));
	family_add(cJSON_AddArrayToObject(root, "agent_processes"), d->family, d->family_size);
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
		look,
		check_kernel,
		check_capabilities,
		judge_kernel,
		judge_files,
		judge_hosts,
		judge_connections,
		judge_losses,
		judge_containers,
		check_storage,
		check_prices,
		check_hosts,
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
