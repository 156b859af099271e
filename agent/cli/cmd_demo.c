/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tolltap demo: a local provider that keeps its own books, this machine's own clients calling it,
 * a meter beside them, and the comparison of both to the token and the picodollar. Where probes
 * cannot run it shows the same path from a recording and says so in its exit code.
 */
#include "agent/cli/child.h"
#include "agent/cli/demo_data.h"
#include "agent/cli/flags.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PROVIDER_START_MS 10000
#define ROWS_WAIT_STEPS	  50 /* of ROWS_STEP_MS: rows are visible 2 s after a call at most */
#define ROWS_STEP_MS	  200
#define DEMO_ID_BYTES	  8
#define DEMO_TAG	  "demo_run"
#define CLIENT_MISSING	  77 /* client.py: the library is not installed */

/*
 * One row per client. The shell sees $PORT, $CACERT, $DEMO (this folder) and $PYTHON. Only the
 * address is redirected; clients and their libraries are as they are on this machine.
 */
struct demo_client {
	const char *label;
	const char *program; /* skipped and named when missing */
	const char *package; /* what brings it */
	const char *command;
};

#define CURL                                                                         \
	"curl -sS -o /dev/null --cacert \"$CACERT\" --connect-to ::127.0.0.1:$PORT " \
	"-H 'Content-Type: application/json' "
#define CLIENT_PY "\"$PYTHON\" \"$DEMO/client.py\" --port $PORT --cacert \"$CACERT\" "
#define CLIENT_JS                                                                          \
	"NODE_EXTRA_CA_CERTS=\"$CACERT\" node \"$DEMO/client.mjs\" --port $PORT --cacert " \
	"\"$CACERT\" "

static const struct demo_client clients[] = {
	{"curl, chat completion", "curl", "curl",
	 CURL "-H 'Authorization: Bearer sk-demo-0000' "
	      "-d '{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"hello "
	      "from curl\"}]}' https://api.openai.com/v1/chat/completions"},
	{"curl, chat stream, gzip", "curl", "curl",
	 CURL
	 "--compressed -H 'Authorization: Bearer sk-demo-0000' "
	 "-d '{\"model\":\"gpt-4o-mini\",\"stream\":true,\"stream_options\":{\"include_usage\":"
	 "true},\"messages\":[{\"role\":\"user\",\"content\":\"stream to curl\"}]}' "
	 "https://api.openai.com/v1/chat/completions"},
	{"curl, Claude with cache writes", "curl", "curl",
	 CURL
	 "-H 'x-api-key: sk-ant-demo-0000' -H 'anthropic-version: 2023-06-01' "
	 "-H 'x-demo-scenario: cache-5m-1h' "
	 "-d '{\"model\":\"claude-sonnet-4-5\",\"max_tokens\":64,\"stream\":true,\"messages\":"
	 "[{\"role\":\"user\",\"content\":\"hello\"}]}' https://api.anthropic.com/v1/messages"},
	{"python http.client, responses stream", "python3", "python3",
	 CLIENT_PY "--with http.client --api responses --stream --repeat 2"},
	{"python httpx, chat stream", "python3", "python3-httpx",
	 CLIENT_PY "--with httpx --api chat --stream --repeat 2"},
	{"python requests, Claude stream", "python3", "python3-requests",
	 CLIENT_PY "--with requests --api messages --stream"},
	{"python aiohttp, embeddings", "python3", "python3-aiohttp",
	 CLIENT_PY "--with aiohttp --api embeddings"},
	{"python, an answer of 429", "python3", "python3",
	 CLIENT_PY "--api chat --scenario error-429"},
	{"node https, Claude stream", "node", "nodejs",
	 CLIENT_JS "--with https --api messages --stream --repeat 2"},
	{"node fetch, responses", "node", "nodejs", CLIENT_JS "--with fetch --api responses"},
};

struct demo {
	struct config config;
	char self[PATH_MAX];
	char dir[PATH_MAX];
	char *folder; /* of the shared demo files */
	struct child provider;
	struct child agent;
	char id[2 * DEMO_ID_BYTES + 1]; /* tag of our clients: the host may have other calls */
	bool as_json;
};

static void help(void)
{
	printf("usage: tolltap demo [--output=table|json]\n"
	       "       tolltap demo --data [--storage.path=DIR] [--rows=N] [--until=DAY]\n\n"
	       "Starts a local TLS provider that keeps its own books, runs the clients found here\n"
	       "(curl, python3, node) against it, meters them, and compares every call with the\n"
	       "books. Exits 0 only when all agree to the token and the picodollar; 4 or 5 when\n"
	       "probes cannot run here (a recording is shown instead).\n\n"
	       "--data writes a made-up ledger of 45 days instead (20000 calls up to 2026-11-01, "
	       "into\n./tolltap-demo), with bills that differ from it in told ways. The same "
	       "flags give\nthe same figures everywhere. A directory with a ledger is "
	       "refused.\n");
}

/* "DIR/name" in a fixed buffer; names here are short, so it fits or the open fails. */
static const char *in_dir(char *dst, const char *dir, const char *name)
{
	snprintf(dst, PATH_MAX, "%.*s/%s", PATH_MAX - 64, dir, name);
	return dst;
}

static const char *python(void)
{
	/* Debian's own sees Debian's httpx, requests and aiohttp. */
	return access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3";
}

static int find_files(struct demo *d)
{
	char *provider = NULL;

	if (share_find("packaging/demo/provider.py", "demo/provider.py", &provider))
		return cli_fail(EXIT_FAILED, "demo",
				"the demo's files are missing beside this program; run make "
				"install, or use build/tolltap in its tree");
	*strrchr(provider, '/') = '\0';
	d->folder = provider;
	if (!program_self(d->self, sizeof(d->self)))
		return cli_fail(EXIT_FAILED, "demo", "/proc/self/exe cannot be read; mount /proc");
	return CLI_GO_ON;
}

static int start_provider(struct demo *d)
{
	const struct child_options options = {.pipe_out = true, .pipe_in = true};
	char script[PATH_MAX], truth[PATH_MAX], line[PATH_MAX + 16];
	char *argv[] = {
		(char *)(uintptr_t)python(), script, "--truth", truth, "--dir", d->dir, NULL};

	in_dir(script, d->folder, "provider.py");
	in_dir(truth, d->dir, "truth.jsonl");
	if (!program_exists(python()) || !program_exists("openssl"))
		return cli_fail(EXIT_FAILED, "demo",
				"the local provider needs python3 and openssl; run make deps, or "
				"apt-get install python3 openssl");
	if (child_start(&d->provider, argv, &options))
		return cli_fail(EXIT_FAILED, "demo", "cannot start %s", python());
	while (child_line(&d->provider, line, sizeof(line), PROVIDER_START_MS) == 1) {
		if (!strncmp(line, "port ", 5))
			setenv("PORT", line + 5, 1);
		if (!strncmp(line, "cacert ", 7)) {
			setenv("CACERT", line + 7, 1);
			return CLI_GO_ON;
		}
	}
	return cli_fail(EXIT_FAILED, "demo",
			"the local provider did not start; its message is above");
}

/* Returns CLI_GO_ON, or the agent's exit code with why filled. */
static int start_agent(struct demo *d, char *why, size_t why_size)
{
	char storage[PATH_MAX + 16], log[PATH_MAX], prices[PATH_MAX + 16];
	char *flags[] = {storage, "--web.listen-address=127.0.0.1:0", prices, NULL};
	const struct agent_options options = {.self = d->self, .flags = flags, .log = log};

	in_dir(log, d->dir, "agent.log");
	snprintf(storage, sizeof(storage), "--storage.path=%s", d->dir);
	snprintf(prices, sizeof(prices), "--prices.file=%s", d->config.prices_file);
	return agent_start(&d->agent, &options, why, why_size);
}

static int run_clients(struct demo *d)
{
	FILE *talk = d->as_json ? stderr : stdout;
	char tags[64];
	int ran = 0;

	snprintf(tags, sizeof(tags), DEMO_TAG "=%s", d->id);
	setenv("TOLLTAP_TAGS", tags, 1);
	setenv("DEMO", d->folder, 1);
	setenv("PYTHON", python(), 1);
	for (size_t i = 0; i < ARRAY_LEN(clients) && !child_caught_signal(); i++) {
		const struct demo_client *client = &clients[i];
		char *argv[] = {"/bin/sh", "-c", (char *)(uintptr_t)client->command, NULL};
		const struct child_options options = {.stderr_file = "/dev/null"};
		int code = CLIENT_MISSING;

		if (program_exists(client->program))
			code = child_run(argv, &options);
		if (code == 0)
			ran++;
		if (code == CLIENT_MISSING)
			fprintf(talk, "  %-38s not here (apt-get install %s)\n", client->label,
				client->package);
		else
			fprintf(talk, "  %-38s %s\n", client->label, code ? "FAILED" : "done");
		if (code && code != CLIENT_MISSING)
			return -1;
	}
	return ran;
}

static size_t count_lines(const char *path, const char *containing)
{
	char *line = NULL;
	size_t size = 0, count = 0;
	FILE *f = fopen(path, "re");

	while (f && getline(&line, &size, f) > 0)
		count += strstr(line, containing) != NULL;
	free(line);
	if (f)
		fclose(f);
	return count;
}

/* Runs this program with three words and its output in DIR/events.jsonl. */
static int export_rows(struct demo *d, char *const words[3])
{
	static const char script[] = "exec \"$0\" \"$1\" \"$2\" \"$3\" > \"$4\"";
	char events[PATH_MAX];
	char *argv[] = {"/bin/sh", "-c",     (char *)(uintptr_t)script,
			d->self,   words[0], words[1],
			words[2],  events,   NULL};

	in_dir(events, d->dir, "events.jsonl");
	return child_run(argv, &(const struct child_options){0});
}

static int export_events(struct demo *d)
{
	char storage[PATH_MAX + 16];
	char *const words[3] = {"events", storage, "--output=json"};

	snprintf(storage, sizeof(storage), "--storage.path=%s", d->dir);
	return export_rows(d, words);
}

/* Waits until as many rows are there as the books have calls, then a moment for spare ones. */
static int await_rows(struct demo *d, const char *truth)
{
	const struct timespec step = {.tv_nsec = ROWS_STEP_MS * 1000000L};
	size_t wanted = count_lines(truth, "\"row\":true");
	char events[PATH_MAX];

	in_dir(events, d->dir, "events.jsonl");
	for (int i = 0; i < ROWS_WAIT_STEPS && !child_caught_signal(); i++) {
		int rc = export_events(d);

		if (rc)
			return rc;
		if (count_lines(events, d->id) >= wanted)
			break;
		nanosleep(&step, NULL);
	}
	nanosleep(&step, NULL);
	return export_events(d);
}

/* DIR/events.jsonl beside these books. */
static int compare(struct demo *d, char *truth)
{
	char script[PATH_MAX], events[PATH_MAX], tag[64];
	char *argv[] = {(char *)(uintptr_t)python(),
			script,
			"--truth",
			truth,
			"--events",
			events,
			"--catalog",
			d->config.prices_file,
			"--output",
			d->as_json ? "json" : "table",
			"--tag",
			tag,
			NULL};

	snprintf(tag, sizeof(tag), DEMO_TAG "=%s", d->id);

	in_dir(script, d->folder, "compare.py");
	in_dir(events, d->dir, "events.jsonl");
	if (!d->as_json)
		printf("\nwhat was metered, beside the provider's own books:\n\n");
	return child_run(argv, &(const struct child_options){0}) == 0 ? EXIT_OK : EXIT_FAILED;
}

/* Probes cannot run here: the same path from bytes recorded elsewhere, and their books. */
static int show_recording(struct demo *d, int code, const char *why)
{
	char recording[PATH_MAX], truth[PATH_MAX];
	char *const words[3] = {"replay", recording, "--output=json"};

	fprintf(stderr, "tolltap demo: nothing can be metered live here: %s\n", why);
	if (code != EXIT_KERNEL && code != EXIT_PRIVILEGE)
		return code;
	in_dir(recording, d->folder, "recording.ttr");
	in_dir(truth, d->folder, "recording.truth.jsonl");
	if (!d->as_json)
		printf("the same path from a recording: tolltap replay %s\n", recording);
	if (export_rows(d, words) != 0)
		return cli_fail(EXIT_FAILED, "demo", "the recording could not be replayed");
	return compare(d, truth) == EXIT_OK ? code : EXIT_FAILED;
}

static int demo(struct demo *d)
{
	char truth[PATH_MAX], why[1024] = "";
	bool use_sudo;
	int rc;

	if (!d->config.prices_file)
		return cli_fail(EXIT_CONFIG, "demo", "no price catalogue; give --prices.file=FILE");
	if (!program_exists(python()))
		return cli_fail(EXIT_FAILED, "demo", "python3 is needed; run make deps");
	if (!privilege_at_hand(&use_sudo))
		return show_recording(d, EXIT_PRIVILEGE,
				      "not root, and sudo is missing or asks for a password");
	rc = start_agent(d, why, sizeof(why));
	if (rc != CLI_GO_ON)
		return show_recording(d, rc, why);
	rc = start_provider(d);
	if (rc != CLI_GO_ON)
		return rc;
	if (!d->as_json)
		printf("calling the local provider at 127.0.0.1:%s as api.openai.com and "
		       "api.anthropic.com:\n",
		       getenv("PORT"));
	rc = run_clients(d);
	if (child_caught_signal())
		return 128 + child_caught_signal();
	if (rc < 0)
		return cli_fail(EXIT_FAILED, "demo", "a client failed; see its line");
	if (rc == 0)
		return cli_fail(EXIT_FAILED, "demo", "no client found; install curl");
	in_dir(truth, d->dir, "truth.jsonl");
	rc = await_rows(d, truth);
	if (rc)
		return cli_fail(EXIT_FAILED, "demo", "tolltap events failed with code %d", rc);
	return compare(d, truth);
}

/* Runs the whole demo again as root; returns only when that failed. */
static void become_root(const char *self, char **argv)
{
	char *words[16] = {"sudo", "-n", (char *)(uintptr_t)self, "demo"};

	for (int i = 1; argv[i] && i < 11; i++)
		words[3 + i] = argv[i];
	fflush(stdout);
	execvp("sudo", words);
}

int cmd_demo(int argc, char **argv)
{
	struct demo d = {.provider = CHILD_INIT, .agent = CHILD_INIT};
	char *original[16] = {NULL};
	struct demo_data_flags data = {0};
	bool use_sudo = false, as_data = false;
	const struct cli_flag own[] = {
		{.name = "data", .boolean = &as_data},
		{.name = "rows", .text = &data.rows},
		{.name = "until", .text = &data.until},
		{.name = NULL},
	};
	int rc;

	for (int i = 0; i < argc && i < 15; i++)
		original[i] = argv[i];
	rc = cli_begin(&d.config, &argc, argv, own, help);
	if (rc == CLI_GO_ON && argc > 1)
		rc = cli_fail(EXIT_USAGE, "demo", "unexpected '%s'", argv[1]);
	if (rc == CLI_GO_ON && !as_data && (data.rows || data.until))
		rc = cli_fail(EXIT_USAGE, "demo", "--rows and --until go with --data");
	if (rc == CLI_GO_ON && as_data)
		rc = demo_data(&d.config, &data);
	if (rc == CLI_GO_ON)
		rc = find_files(&d);
	if (rc == CLI_GO_ON && random_hex(d.id, DEMO_ID_BYTES))
		rc = cli_fail(EXIT_FAILED, "demo", "no random numbers");
	if (rc == CLI_GO_ON) {
		child_catch_signals();
		if (privilege_at_hand(&use_sudo) && use_sudo)
			become_root(d.self, original);
		d.as_json = !strcmp(d.config.output, "json");
		rc = temp_dir(d.dir, sizeof(d.dir));
		rc = rc ? cli_fail(EXIT_STORAGE, "demo", "no temporary directory: %s",
				   strerror(-rc))
			: demo(&d);
		child_stop(&d.agent);
		child_stop(&d.provider);
		if (d.dir[0])
			remove_tree(d.dir);
	}
	free(d.folder);
	config_free(&d.config);
	return rc;
}
