/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tolltap exec -- CMD: what one command and everything it starts cost. The command's environment
 * carries a unique tag, which children inherit and attribution puts on every call; the sum is a
 * query by that tag. An agent that runs already is used, else one runs for as long as CMD does.
 */
#include "agent/cli/child.h"
#include "agent/cli/flags.h"
#include "agent/cli/running.h"
#include "exporter/query.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define EXEC_ID_BYTES  8
#define SETTLE_MS      2200 /* a row is visible 2 s after its call at most */
#define OWN_SETTLE_MS  300  /* our own agent is then stopped, which flushes everything */
#define SIGNAL_STEP_MS 20
#define EXEC_TAG       "exec_id"
#define EXEC_VARIABLE  "TOLLTAP_TAGS"

struct exec_run {
	struct config config;
	char self[PATH_MAX];
	char id[2 * EXEC_ID_BYTES + 1];
	char dir[PATH_MAX];    /* temporary: log, and the ledger when none was named */
	char ledger[PATH_MAX]; /* directory of the ledger in use */
	struct child agent;    /* ours, if none ran */
	bool use_sudo;
	bool own_agent;
};

static void help(void)
{
	printf("usage: tolltap exec [flags] -- COMMAND [ARGUMENTS]\n\n"
	       "Runs COMMAND as the calling user and prints on stderr what it and everything it\n"
	       "starts called, used and cost. Returns COMMAND's exit code. Uses the running agent "
	       "of\n--storage.path, else starts one for it (root, or sudo without a password).\n"
	       "With --output=json one JSON line; with GITHUB_STEP_SUMMARY set, a table there "
	       "too.\n");
	config_help("exec");
}

/* ---- the report ----------------------------------------------------------------------------- */

struct report {
	struct spend total;
	struct spend *models; /* dearest first */
	size_t model_count;
};

static int read_report(const char *dir, const char *id, struct report *out, char *err,
		       size_t err_size)
{
	struct query_filter filter = {0};
	struct query_key model;
	struct query *query = NULL;
	struct report report = {0};
	char condition[128];
	int rc;

	snprintf(condition, sizeof(condition), "tag:" EXEC_TAG "=%s", id);
	if (query_filter_where(&filter, condition) || !query_key_parse(SLICE("model"), &model))
		return -EINVAL;
	rc = query_open(&query, dir, err, err_size);
	if (rc)
		return rc;
	rc = query_spend(query, &filter, &model, 1, &report.models, &report.model_count);
	if (rc)
		snprintf(err, err_size, "%s", query_error(query));
	for (size_t i = 0; !rc && i < report.model_count; i++)
		spend_add(&report.total, &report.models[i]);
	query_close(query);
	if (!rc)
		*out = report;
	return rc;
}

static int64_t tokens_of(const struct spend *s, const char *prefix)
{
	int64_t sum = 0;

	for (size_t i = 0; i < TOKEN_KINDS; i++) {
		if (!strncmp(token_kind_names[i], prefix, strlen(prefix)))
			sum += s->tokens[i];
	}
	return sum;
}

static void print_line(const struct report *report)
{
	const struct spend *s = &report->total;
	char calls[32], input[32], output[32], cost[PUSD_TEXT_MAX];

	fprintf(stderr, "tolltap: %s calls, %s tokens in, %s out, %s%s USD\n",
		count_text(calls, sizeof(calls), s->calls),
		count_text(input, sizeof(input), tokens_of(s, "input_")),
		count_text(output, sizeof(output), tokens_of(s, "output_")), spend_prefix(s),
		pusd_format(cost, s->cost));
}

static cJSON *spend_json(const struct spend *s)
{
	cJSON *row = cJSON_CreateObject();
	cJSON *tokens = cJSON_AddObjectToObject(row, "tokens");
	char text[PUSD_TEXT_MAX];

	cJSON_AddNumberToObject(row, "calls", (double)s->calls);
	for (size_t i = 0; i < TOKEN_KINDS; i++) {
		if (s->tokens[i])
			cJSON_AddNumberToObject(tokens, token_kind_names[i], (double)s->tokens[i]);
	}
	cJSON_AddStringToObject(row, "cost_usd", pusd_format(text, s->cost));
	if (s->cost <= INT64_MAX) {
		snprintf(text, sizeof(text), "%lld", (long long)s->cost);
		cJSON_AddRawToObject(row, "cost_pusd", text);
	} else {
		cJSON_AddNullToObject(row, "cost_pusd");
	}
	cJSON_AddBoolToObject(row, "at_least", spend_is_at_least(s));
	cJSON_AddBoolToObject(row, "estimated", s->estimated);
	cJSON_AddNumberToObject(row, "calls_unpriced", (double)s->calls_by_basis[BASIS_UNPRICED]);
	return row;
}

static void print_json(const struct report *report, const char *id)
{
	cJSON *row = spend_json(&report->total);
	cJSON *models = cJSON_AddArrayToObject(row, "models");
	char *text;

	cJSON_AddStringToObject(row, EXEC_TAG, id);
	for (size_t i = 0; i < report->model_count; i++) {
		const char *model = report->models[i].group[0];
		cJSON *item = spend_json(&report->models[i]);

		cJSON_AddStringToObject(item, "model", model ? model : QUERY_NONE);
		cJSON_AddItemToArray(models, item);
	}
	text = cJSON_PrintUnformatted(row);
	if (text)
		fprintf(stderr, "%s\n", text);
	cJSON_free(text);
	cJSON_Delete(row);
}

/* A model's name is what a provider says: it must not become a link, a picture or a cell. */
static void put_markdown(FILE *f, const char *name)
{
	for (; *name; name++) {
		if (ispunct((unsigned char)*name) && *name != '-')
			fputc('\\', f);
		fputc(*name, f);
	}
}

static void put_sums(FILE *f, const struct spend *s)
{
	char calls[32], input[32], output[32], cost[PUSD_TEXT_MAX];

	fprintf(f, " | %s | %s | %s | %s%s |\n", count_text(calls, sizeof(calls), s->calls),
		count_text(input, sizeof(input), tokens_of(s, "input_")),
		count_text(output, sizeof(output), tokens_of(s, "output_")), spend_prefix(s),
		pusd_format(cost, s->cost));
}

/* GitHub shows what is appended to this file on the job's page. */
static void write_summary(const struct report *report, const char *path)
{
	FILE *f = fopen(path, "ae");

	if (!f) {
		fprintf(stderr, "tolltap exec: %s cannot be written: %s\n", path, strerror(errno));
		return;
	}
	fprintf(f, "\n| model | calls | tokens in | tokens out | cost USD |\n"
		   "| --- | ---: | ---: | ---: | ---: |\n");
	for (size_t i = 0; i < report->model_count; i++) {
		const char *model = report->models[i].group[0];

		fputs("| ", f);
		put_markdown(f, model ? model : QUERY_NONE);
		put_sums(f, &report->models[i]);
	}
	fputs("| **all**", f);
	put_sums(f, &report->total);
	fclose(f);
}

/* Prints the sum of one exec id; also `tolltap exec --report=ID`, which sudo runs for us. */
static int report_now(const struct config *config, const char *dir, const char *id,
		      const char *summary)
{
	struct report report;
	char err[QUERY_ERROR_MAX] = "";
	int rc = read_report(dir, id, &report, err, sizeof(err));

	if (rc)
		return cli_fail(rc == -EACCES ? EXIT_PRIVILEGE : EXIT_STORAGE, "exec", "%s", err);
	if (!strcmp(config->output, "json"))
		print_json(&report, id);
	else
		print_line(&report);
	if (summary && *summary)
		write_summary(&report, summary);
	query_spend_free(report.models, report.model_count);
	return EXIT_OK;
}

static void report_as_root(struct exec_run *run, const char *summary)
{
	char id[64], output[64], storage[PATH_MAX + 16], file[PATH_MAX + 16];
	char *argv[] = {"sudo", "-n", run->self, "exec", id, output, storage, file, NULL};

	snprintf(id, sizeof(id), "--report=%s", run->id);
	snprintf(output, sizeof(output), "--output=%s", run->config.output);
	snprintf(storage, sizeof(storage), "--storage.path=%s", run->ledger);
	snprintf(file, sizeof(file), "--summary=%s", summary ? summary : "");
	if (child_run(argv, &(const struct child_options){0}) != 0)
		fprintf(stderr, "tolltap exec: the sum could not be read\n");
}

/* ---- the agent beside it -------------------------------------------------------------------- */

/* Runs an agent with the caller's own flags; ours come last and win. */
static int start_own_agent(struct exec_run *run, char *const *caller_flags)
{
	char storage[PATH_MAX + 16], log[PATH_MAX + 16], why[1024];
	char *flags[AGENT_FLAGS_MAX + 1] = {NULL};
	struct agent_options options = {.self = run->self, .flags = flags, .log = log};
	size_t count = 0;
	int rc;

	if (!privilege_at_hand(&options.use_sudo))
		return cli_fail(EXIT_PRIVILEGE, "exec",
				"no agent is running on %s and starting one needs root; start "
				"`sudo tolltap run`, or run this under sudo",
				run->config.storage_path);
	run->use_sudo = options.use_sudo;
	for (; caller_flags[count] && count < AGENT_FLAGS_MAX - 2; count++)
		flags[count] = caller_flags[count];
	snprintf(storage, sizeof(storage), "--storage.path=%s", run->ledger);
	snprintf(log, sizeof(log), "%.*s/agent.log", PATH_MAX - 16, run->dir);
	flags[count++] = storage;
	flags[count] = "--web.listen-address=127.0.0.1:0";
	rc = agent_start(&run->agent, &options, why, sizeof(why));
	if (rc != CLI_GO_ON)
		return cli_fail(rc, "exec", "no agent could be started: %s", why);
	run->own_agent = true;
	return CLI_GO_ON;
}

static int find_agent(struct exec_run *run, char *const *caller_flags)
{
	cJSON *status = NULL;
	char why[512];
	int rc = running_status(run->config.storage_path, &status, why, sizeof(why));

	cJSON_Delete(status);
	snprintf(run->ledger, sizeof(run->ledger), "%s", run->config.storage_path);
	if (rc == EXIT_OK)
		return CLI_GO_ON;
	if (rc != EXIT_NO_AGENT)
		return cli_fail(rc, "exec", "%s", why);
	rc = temp_dir(run->dir, sizeof(run->dir));
	if (rc)
		return cli_fail(EXIT_STORAGE, "exec", "no temporary directory: %s", strerror(-rc));
	if (config_source_of(&run->config, "storage.path") == CONFIG_DEFAULT)
		snprintf(run->ledger, sizeof(run->ledger), "%s", run->dir);
	return start_own_agent(run, caller_flags);
}

/* ---- the command ---------------------------------------------------------------------------- */

/* The user who typed sudo, or NULL when nobody did. */
static const struct passwd *calling_user(void)
{
	const char *uid = getenv("SUDO_UID");
	char *end;
	unsigned long n;

	if (geteuid() != 0 || !uid || !*uid)
		return NULL;
	errno = 0;
	n = strtoul(uid, &end, 10);
	return errno || *end || n == 0 || n > UINT32_MAX ? NULL : getpwuid((uid_t)n);
}

static bool is_variable(const char *entry, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(entry, name, len) && entry[len] == '=';
}

/*
 * The environment with the tag added, and first: probes read the first 4 KiB of it. For another
 * user, with that user's HOME, USER and LOGNAME.
 */
static char **make_environment(const char *id, const struct passwd *user)
{
	const char *tags = getenv(EXEC_VARIABLE);
	bool has = tags && *tags;
	size_t count = 0, used = 0;
	char **out;

	while (environ[count])
		count++;
	out = calloc(count + 5, sizeof(*out));
	if (!out)
		return NULL;
	if (asprintf(&out[used++], EXEC_VARIABLE "=%s%s" EXEC_TAG "=%s", has ? tags : "",
		     has ? "," : "", id) < 0)
		out[--used] = NULL;
	if (user && asprintf(&out[used], "HOME=%s", user->pw_dir) >= 0)
		used++;
	if (user && asprintf(&out[used], "USER=%s", user->pw_name) >= 0)
		used++;
	if (user && asprintf(&out[used], "LOGNAME=%s", user->pw_name) >= 0)
		used++;
	for (size_t i = 0; i < count; i++) {
		const char *entry = environ[i];

		if (is_variable(entry, EXEC_VARIABLE) ||
		    (user && (is_variable(entry, "HOME") || is_variable(entry, "USER") ||
			      is_variable(entry, "LOGNAME"))))
			continue;
		out[used++] = environ[i];
	}
	out[used] = NULL;
	return out;
}

/* Signals sent to us go to the command; what the terminal sends reaches it anyway. */
static int run_command(char *const *argv, const struct child_options *options)
{
	struct child c = CHILD_INIT;
	int rc = child_start(&c, argv, options);

	if (rc)
		return cli_fail(EXIT_FAILED, "exec", "cannot start %s: %s", argv[0], strerror(-rc));
	while (!child_wait(&c, SIGNAL_STEP_MS)) {
		bool sent_to_us;
		int signal = child_take_signal(&sent_to_us);

		if (signal && sent_to_us)
			kill(c.pid, signal);
	}
	return child_code(&c);
}

static void settle(struct exec_run *run)
{
	int ms = run->own_agent ? OWN_SETTLE_MS : SETTLE_MS;
	struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};

	while (nanosleep(&span, &span) && errno == EINTR)
		;
	if (run->own_agent)
		child_stop(&run->agent);
}

static int run_and_report(struct exec_run *run, char *const *command)
{
	const struct passwd *user = calling_user();
	const char *summary = getenv("GITHUB_STEP_SUMMARY");
	char **environment = make_environment(run->id, user);
	const struct child_options options = {
		.foreground = true, .environment = environment, .user = user};
	int code;

	if (!environment)
		return cli_fail(EXIT_FAILED, "exec", "out of memory");
	child_catch_signals();
	code = run_command(command, &options);
	settle(run);
	if (run->use_sudo)
		report_as_root(run, summary);
	else
		(void)!report_now(&run->config, run->ledger, run->id, summary);
	/* environment's other entries are environ's own; these few live until exit. */
	free(environment);
	return code;
}

static int split_at_dashes(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--"))
			return i;
	}
	return argc;
}

/* Copies the words before "--": the table's reader takes its flags out of argv. */
static void copy_flags(char **dst, int argc, char **argv)
{
	int count = 0;

	for (int i = 1; i < argc && count < AGENT_FLAGS_MAX - 2; i++) {
		if (strncmp(argv[i], "--report", 8) != 0 && strncmp(argv[i], "--summary", 9) != 0)
			dst[count++] = argv[i];
	}
	dst[count] = NULL;
}

int cmd_exec(int argc, char **argv)
{
	struct exec_run run = {.agent = CHILD_INIT};
	char *flags[AGENT_FLAGS_MAX + 1];
	const char *report = NULL, *summary = NULL;
	const struct cli_flag own[] = {
		{.name = "report", .text = &report},
		{.name = "summary", .text = &summary},
		{.name = NULL},
	};
	int dashes = split_at_dashes(argc, argv);
	char **command = argv + dashes + (dashes < argc);
	int left = dashes;
	int rc;

	copy_flags(flags, dashes, argv);
	rc = cli_begin(&run.config, &left, argv, own, help);
	if (rc == CLI_GO_ON && report)
		rc = report_now(&run.config, run.config.storage_path, report, summary);
	if (rc == CLI_GO_ON && (left > 1 || !*command))
		rc = cli_fail(EXIT_USAGE, "exec",
			      "write -- before the command: tolltap exec -- COMMAND");
	if (rc == CLI_GO_ON &&
	    (random_hex(run.id, EXEC_ID_BYTES) || !program_self(run.self, sizeof(run.self))))
		rc = cli_fail(EXIT_FAILED, "exec", "no random number or no /proc/self/exe");
	if (rc == CLI_GO_ON)
		rc = find_agent(&run, flags);
	if (rc == CLI_GO_ON)
		rc = run_and_report(&run, command);
	child_stop(&run.agent);
	if (run.dir[0])
		remove_tree(run.dir);
	config_free(&run.config);
	return rc;
}
