/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/attribution/rules.h"
#include "agent/config/options.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define WORDS_MAX 12

/* Loads with these words behind the command name; leaves in left what stayed in argv. */
static int load(struct config *c, const char *const *words, char *left, size_t left_size, char *err)
{
	char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t) "run"};
	int argc = 1;
	size_t used = 0;
	int rc;

	for (; words && words[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	rc = config_load(c, &argc, argv, err, CONFIG_ERROR_MAX);
	if (left)
		left[0] = '\0';
	for (int i = 1; left && i < argc; i++)
		used += (size_t)snprintf(left + used, left_size - used, "%s%s", i > 1 ? " " : "",
					 argv[i]);
	return rc;
}

/* A file with this text; unlink and free the name. */
static char *yaml_file(const char *text)
{
	char *path = strdup("/tmp/tolltap-test-XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

/* Loads a file with this text through --config.file. */
static int load_yaml(struct config *c, const char *text, char *err)
{
	char *path = yaml_file(text);
	const char *words[] = {"--config.file", path, NULL};
	int rc = load(c, words, NULL, 0, err);

	unlink(path);
	free(path);
	return rc;
}

static void defaults_are_the_documented_ones(void **state)
{
	struct config c = {0};
	char err[CONFIG_ERROR_MAX];

	(void)state;
	assert_int_equal(load(&c, NULL, NULL, 0, err), 0);
	assert_string_equal(c.storage_path, "/var/lib/tolltap");
	assert_string_equal(c.web_listen_address, "127.0.0.1:9465");
	assert_string_equal(c.config_file, "/etc/tolltap/tolltap.yaml");
	assert_string_equal(c.output, "table");
	assert_null(c.prices_dir);
	assert_int_equal(c.log_level, LOG_LEVEL_INFO);
	assert_int_equal(c.ring_bytes, 16 << 20);
	assert_int_equal(c.scan_interval_s, 30);
	assert_int_equal(c.provider_host_count, 0);
	config_free(&c);
}

static void good_flags(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		const char *name;
		const char *value;
		const char *left;
	} rows[] = {
		{{"--storage.path=/a"}, "storage.path", "/a", ""},
		{{"--storage.path", "/a"}, "storage.path", "/a", ""},
		{{"--storage.path=/a", "--storage.path=/b"}, "storage.path", "/b", ""},
		{{"--storage.path=/a=b"}, "storage.path", "/a=b", ""},
		{{"--by=model", "--output=json", "x"}, "output", "json", "--by=model x"},
		{{"x", "--log.level", "debug", "--once"}, "log.level", "debug", "x --once"},
		{{"--", "--log.level=debug"}, "log.level", "info", "-- --log.level=debug"},
		{{"--web.listen-address=:0"}, "web.listen-address", ":0", ""},
		{{"--workload.argv=--job[= ](a|b)"}, "workload.argv", "--job[= ](a|b)", ""},
		{{"--web.listen-address=[::1]:65535"}, "web.listen-address", "[::1]:65535", ""},
		{{"--capture.ring-bytes=262144"}, "capture.ring-bytes", "262144", ""},
		{{"--capture.ring-bytes=1073741824"}, "capture.ring-bytes", "1073741824", ""},
		{{"--discovery.scan-interval-seconds=1"},
		 "discovery.scan-interval-seconds",
		 "1",
		 ""},
		{{"--provider.host=a=openai,role=gateway"},
		 "provider.host",
		 "a=openai,role=gateway",
		 ""},
		{{"--privacy.keep=header:x-team"}, "privacy.keep", "header:x-team", ""},
		{{"--privacy.keep=body:user=hash"}, "privacy.keep", "body:user=hash", ""},
		{{"--capture.attach=perf"}, "capture.attach", "perf", ""},
		{{"--capture.returns=sites"}, "capture.returns", "sites", ""},
		{{"--metrics.level=node"}, "metrics.level", "node", ""},
		{{"--metrics.tag=team=20"}, "metrics.tag", "team=20", ""},
		{{"--unknown.flag=1"}, "output", "table", "--unknown.flag=1"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config c = {0};
		char err[CONFIG_ERROR_MAX], left[256], value[CONFIG_VALUE_MAX];
		const struct option *o = option_find(slice_of(rows[i].name));

		assert_int_equal(load(&c, rows[i].words, left, sizeof(left), err), 0);
		assert_true(option_get(&c, o, 0, value, sizeof(value)));
		assert_string_equal(value, rows[i].value);
		assert_string_equal(left, rows[i].left);
		config_free(&c);
	}
}

static void bad_flags_name_the_place_and_what_is_allowed(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		const char *says[3];
	} rows[] = {
		{{"--storage.path"}, {"--storage.path: value missing", "DIR"}},
		{{"--storage.path="}, {"--storage.path: bad value ''", "DIR"}},
		{{"--storage.path", "--"}, {"--storage.path: value missing"}},
		{{"--output=xml"}, {"--output: bad value 'xml'", "table, json, csv"}},
		{{"--log.level=loud"}, {"--log.level", "'loud'", "error, warn, info, debug"}},
		{{"--capture.ring-bytes=0"}, {"--capture.ring-bytes", "power of two", "262144"}},
		{{"--capture.ring-bytes=1000000"}, {"power of two from 262144 to 1073741824"}},
		{{"--capture.ring-bytes=2147483648"}, {"power of two"}},
		{{"--capture.ring-bytes=1e6"}, {"'1e6'"}},
		{{"--discovery.scan-interval-seconds=-1"}, {"an integer from 1 to 3600"}},
		{{"--discovery.scan-interval-seconds=99999999999999999999"}, {"an integer"}},
		{{"--web.listen-address=9465"}, {"HOST:PORT"}},
		{{"--workload.argv="}, {"REGEX"}},
		{{"--web.listen-address=h:65536"}, {"port 0 to 65535"}},
		{{"--web.listen-address=::1:80"}, {"[V6]:PORT"}},
		{{"--web.listen-address=h:"}, {"HOST:PORT"}},
		{{"--web.listen-address=h:8x"}, {"HOST:PORT"}},
		{{"--provider.host=a"}, {"--provider.host", "HOST=PROVIDER"}},
		{{"--provider.host==openai"}, {"HOST=PROVIDER"}},
		{{"--provider.host=a="}, {"HOST=PROVIDER"}},
		{{"--privacy.keep=header:x="},
		 {"--privacy.keep", "header|answer|baggage|body:NAME"}},
		{{"--privacy.keep==hash"}, {"--privacy.keep"}},
		{{"--privacy.profile=none"}, {"standard, minimal"}},
		{{"--gate.never-host=a=b"}, {"--gate.never-host", "HOST"}},
		{{"--container.socket=docker.sock"}, {"--container.socket", "/PATH|none"}},
		{{"--container.socket=none,/run/docker.sock"}, {"/PATH|none"}},
		{{"--container.socket=/"
		  "0123456789012345678901234567890123456789012345678901234567890"
		  "1234567890123456789012345678901234567890123456"},
		 {"/PATH|none"}},
		{{"--courier.group=a=b"}, {"--courier.group", "GROUP"}},
		{{"--capture.attach=magic"}, {"auto, session, multi, perf"}},
		{{"--metrics.level=pod"}, {"node, workload, container"}},
		{{"--metrics.tag=team=0"}, {"--metrics.tag", "TAG[=VALUES]"}},
		{{"--metrics.tag=user_id"}, {"--metrics.tag", "TAG[=VALUES]"}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config c = {.output = (char *)(uintptr_t) "untouched"};
		char err[CONFIG_ERROR_MAX];

		assert_int_equal(load(&c, rows[i].words, NULL, 0, err), -EINVAL);
		for (size_t k = 0; k < ARRAY_LEN(rows[i].says) && rows[i].says[k]; k++) {
			if (!strstr(err, rows[i].says[k]))
				fail_msg("'%s' lacks '%s'", err, rows[i].says[k]);
		}
		assert_null(strchr(err, '\n'));
		assert_string_equal(c.output, "untouched");
	}
}

static void good_files(void **state)
{
	static const struct {
		const char *text;
		const char *name;
		size_t item;
		const char *value;
		int line;
	} rows[] = {
		{"storage:\n  path: /y\n", "storage.path", 0, "/y", 2},
		{"storage.path: /y\n", "storage.path", 0, "/y", 1},
		{"# only\n\ncapture:\n  ring-bytes: 262144\n", "capture.ring-bytes", 0, "262144",
		 4},
		{"provider:\n  host:\n  - a=openai\n  - b=anthropic,role=gateway\n",
		 "provider.host", 1, "b=anthropic,role=gateway", 4},
		{"provider.host: a=openai\n", "provider.host", 0, "a=openai", 1},
		{"{\"log\": {\"level\": \"warn\"}}", "log.level", 0, "warn", 1},
		{"storage:\nlog:\n  level: error\n", "log.level", 0, "error", 3},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config c = {0};
		char err[CONFIG_ERROR_MAX], value[CONFIG_VALUE_MAX];
		const struct option *o = option_find(slice_of(rows[i].name));

		assert_int_equal(load_yaml(&c, rows[i].text, err), 0);
		assert_true(option_get(&c, o, rows[i].item, value, sizeof(value)));
		assert_string_equal(value, rows[i].value);
		assert_int_equal(c.origin[o - options].source, CONFIG_FILE);
		assert_int_equal(c.origin[o - options].line, rows[i].line);
		config_free(&c);
	}
}

static void bad_files_name_the_line(void **state)
{
	static const struct {
		const char *text;
		const char *says[2];
	} rows[] = {
		{"storage:\n  pth: /y\n", {":2: unknown key 'storage.pth'", "'storage.path'"}},
		{"\nstorrage:\n  path: /y\n", {":2: unknown key 'storrage'"}},
		{"\"a\\n\\e[2J\": 1\n", {":1: unknown key 'a??[2J'"}},
		{"storage: /y\n", {":1: 'storage' needs keys below it"}},
		{"storage.path: /a\nstorage:\n  path: /b\n",
		 {":3: 'storage.path' is already set", "line 1"}},
		{"output: xml\n", {":1: output: bad value 'xml'", "table, json, csv"}},
		{"log:\n  level:\n    - info\n", {":3: 'log.level' needs one value"}},
		{"log.level: {a: b}\n", {":1: 'log.level' needs a value"}},
		{"provider:\n  host:\n    - {a: b}\n", {":3: 'provider.host' needs plain values"}},
		{"provider:\n  host: [a=openai, b]\n", {":2: provider.host: bad value 'b'"}},
		{"- a\n", {":1: expected 'key: value'"}},
		{"text\n", {":1: expected 'key: value'"}},
		{"a: [\n", {": not YAML:"}},
		{"? [a]\n: b\n", {"plain keys"}},
		{"storage: &x\n  storage: *x\n", {":2: unknown key 'storage.storage'"}},
		{"config.file: /z\n", {"a flag or TOLLTAP_CONFIG_FILE"}},
		{"storage.path: \"/a\\0b\"\n", {"without NUL bytes"}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config c = {0};
		char err[CONFIG_ERROR_MAX];

		assert_int_equal(load_yaml(&c, rows[i].text, err), -EBADMSG);
		for (size_t k = 0; k < ARRAY_LEN(rows[i].says) && rows[i].says[k]; k++) {
			if (!strstr(err, rows[i].says[k]))
				fail_msg("'%s' lacks '%s'", err, rows[i].says[k]);
		}
		assert_non_null(strstr(err, "/tmp/tolltap-test-"));
	}
}

static void an_absent_named_file_is_an_error(void **state)
{
	static const char *const words[] = {"--config.file=/nonexistent/t.yaml", NULL};
	struct config c = {0};
	char err[CONFIG_ERROR_MAX];

	(void)state;
	assert_int_equal(load(&c, words, NULL, 0, err), -EBADMSG);
	assert_non_null(strstr(err, "/nonexistent/t.yaml"));
}

static void flag_beats_environment_beats_file_beats_default(void **state)
{
	static const char text[] = "storage.path: /file\nlog.level: warn\noutput: csv\n"
				   "provider.host: [f1=openai, f2=openai]\n";
	char *path = yaml_file(text);
	const char *words[] = {"--config.file", path, "--storage.path=/flag", NULL};
	struct config c = {0};
	char err[CONFIG_ERROR_MAX];

	(void)state;
	setenv("TOLLTAP_STORAGE_PATH", "/env", 1);
	setenv("TOLLTAP_LOG_LEVEL", "debug", 1);
	setenv("TOLLTAP_PROVIDER_HOST", "e1=openai;e2=openai,role=gateway  e3=anthropic", 1);
	assert_int_equal(load(&c, words, NULL, 0, err), 0);
	assert_string_equal(c.storage_path, "/flag");
	assert_int_equal(c.log_level, LOG_LEVEL_DEBUG);
	assert_string_equal(c.output, "csv");
	assert_int_equal(c.provider_host_count, 3);
	assert_string_equal(c.provider_hosts[1], "e2=openai,role=gateway");
	config_free(&c);

	setenv("TOLLTAP_LOG_LEVEL", "loud", 1);
	assert_int_equal(load(&c, words, NULL, 0, err), -EBADMSG);
	assert_non_null(strstr(err, "TOLLTAP_LOG_LEVEL: bad value 'loud'"));
	unsetenv("TOLLTAP_STORAGE_PATH");
	unsetenv("TOLLTAP_LOG_LEVEL");
	unsetenv("TOLLTAP_PROVIDER_HOST");
	unlink(path);
	free(path);
}

static void lists_are_bounded(void **state)
{
	enum { ENTRIES = CONFIG_HOSTS_MAX + 1, ENTRY_BYTES = 5 };
	char text[16 + ENTRIES * (ENTRY_BYTES + 6)] = "gate.never-host:\n";
	size_t used = strlen(text);
	struct config c = {0};
	char err[CONFIG_ERROR_MAX];

	(void)state;
	for (int i = 0; i < ENTRIES; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "- h%d\n", i);
	assert_int_equal(load_yaml(&c, text, err), -EBADMSG);
	assert_non_null(strstr(err, "more than 256 entries"));
}

#define KEY(n, rest) "  - fingerprint: \"" n "\"\n    name: " rest "\n"

static void keys_have_names(void **state)
{
	static const char text[] = "log.level: warn\nkeys:\n" KEY("ffffffff", "last")
		KEY("0badcafe", "batch\n    owner: data\n    provider: openai\n    key_id: key_1")
			KEY("0badcaff", "batch");
	const struct key_name *row;
	struct config c = {0}, other = {0};
	char err[CONFIG_ERROR_MAX];

	(void)state;
	assert_int_equal(load_yaml(&c, text, err), 0);
	assert_int_equal(c.keys->count, 3);
	row = key_names_find(key_names_in_use(), "0badcafe");
	assert_string_equal(row->name, "batch");
	assert_string_equal(row->owner, "data");
	assert_string_equal(row->provider, "openai");
	assert_string_equal(row->key_id, "key_1");
	assert_int_equal(row->line, 5);
	assert_string_equal(key_names_find(c.keys, "ffffffff")->name, "last");
	assert_null(key_names_find(c.keys, "00000000"));
	/* Those of the last one loaded are in use, and no longer than it is there. */
	assert_int_equal(load_yaml(&other, "keys:\n", err), 0);
	assert_null(other.keys);
	assert_null(key_names_in_use());
	config_free(&other);
	assert_int_equal(load_yaml(&other, "keys: [{fingerprint: 0badcafe, name: n}]", err), 0);
	config_free(&c);
	assert_string_equal(key_names_find(key_names_in_use(), "0badcafe")->name, "n");
	config_free(&other);
	assert_null(key_names_in_use());
}

static void bad_keys_name_the_line(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} rows[] = {
		{"key:\n", ":1: unknown key 'key'; did you mean 'keys'?"},
		{"keys: a\n", ":1: 'keys' needs a list"},
		{"keys:\n  - a\n", ":2: keys: each entry needs"},
		{"keys:\nkeys:\n", ":2: 'keys' is already set on line 1"},
		{"keys:\n  - name: x\n", ":2: keys: fingerprint is missing"},
		{"keys:\n  - fingerprint: 0badcafe\n", ":2: keys: name is missing"},
		{"keys:\n" KEY("0BADCAFE", "x"), ":2: keys: fingerprint '0BADCAFE' is not 8"},
		{"keys:\n" KEY("0badcaf", "x"), ":2: keys: fingerprint '0badcaf' is not 8"},
		{"keys:\n" KEY("0badcafe1", "x"), ":2: keys: bad fingerprint"},
		{"keys:\n" KEY("0badcafe", "a,b"), ":3: keys: bad name 'a,b'"},
		{"keys:\n" KEY("0badcafe", "\"\""), ":3: keys: bad name ''"},
		{"keys:\n" KEY("0badcafe", "\"a\\eb\""), ":3: keys: bad name 'a?b'"},
		{"keys:\n" KEY("0badcafe", "deadbeef"), "could be a fingerprint"},
		{"keys:\n" KEY("0badcafe", "x\n    name: y"), ":4: keys: name is given twice"},
		{"keys:\n" KEY("0badcafe", "x\n    color: y"), ":4: keys: unknown key 'color'"},
		{"keys:\n" KEY("0badcafe", "x\n    owner: [y]"), "plain keys and values"},
		{"keys:\n" KEY("0badcafe", "x") KEY("0badcafe", "y"),
		 ":4: keys: fingerprint 0badcafe stands already on line 2"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config c = {0};
		char err[CONFIG_ERROR_MAX];

		assert_int_equal(load_yaml(&c, rows[i].text, err), -EBADMSG);
		if (!strstr(err, rows[i].says))
			fail_msg("'%s' lacks '%s'", err, rows[i].says);
		assert_null(strchr(err, '\n'));
	}
}

static const char rules_text[] = "keys: [{fingerprint: 0badcafe, name: nightly}]\n"
				 "rules:\n"
				 "  - name: ci\n"
				 "    match:\n"
				 "      unit: {regex: '^ci-(?<team>[a-z]+)'}\n"
				 "      host: [api.openai.com, {glob: '*.example'}]\n"
				 "      key: nightly\n"
				 "    set: {team: '${team}'}\n"
				 "  - {name: rest, default: {environment: prod}}\n";

static const char *mode_text(char *dst, size_t size, const char *mode)
{
	snprintf(dst, size,
		 "rules:\n  mode: %s\n  list:\n    - {name: a, set: {x: '1'}}\n"
		 "    - {name: b, set: {x: '2'}}\n",
		 mode);
	return dst;
}

static void rules_are_read(void **state)
{
	struct config c = {0};
	struct call call = {.key_fingerprint = "0badcafe", .host = "a.example"};
	char err[CONFIG_ERROR_MAX], text[512];

	(void)state;
	slice_copy(call.workload.unit, sizeof(call.workload.unit), SLICE("ci-web-7.service"));
	assert_int_equal(load_yaml(&c, rules_text, err), 0);
	assert_int_equal(rules_count(c.rules), 2);
	assert_int_equal(rules_view(c.rules, 0).line, 3);
	assert_int_equal(rules_view(c.rules, 1).line, 9);
	rules_conditions_text(c.rules, 0, text, sizeof(text));
	assert_string_equal(text, "unit regex '^ci-(?<team>[a-z]+)', host exact 'api.openai.com' "
				  "or glob '*.example', key exact 'nightly'");
	rules_apply(c.rules, &call, NULL, NULL);
	assert_int_equal(call.tags.count, 2);
	assert_string_equal(call.tags.item[0].value, "web");
	assert_int_equal(call.tags.item[0].source, TAG_RULE);
	assert_string_equal(call.tags.item[1].value, "prod");
	assert_int_equal(call.tags.item[1].source, TAG_DEFAULT);
	config_free(&c);
	assert_null(c.rules);
	for (int first = 0; first < 2; first++) {
		call.tags.count = 0;
		mode_text(text, sizeof(text), first ? "first" : "all");
		assert_int_equal(load_yaml(&c, text, err), 0);
		rules_apply(c.rules, &call, NULL, NULL);
		assert_string_equal(call.tags.item[0].value, first ? "1" : "2");
		config_free(&c);
	}
	assert_int_equal(load_yaml(&c, "rules:\n", err), 0);
	assert_null(c.rules);
	config_free(&c);
	assert_int_equal(load_yaml(&c, "rules: {mode: first, list: }\n", err), 0);
	assert_null(c.rules);
	config_free(&c);
}

#define RULE(rest) "rules:\n  - name: ci\n" rest

static void bad_rules_name_rule_and_line(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} rows[] = {
		{"rule:\n", ":1: unknown key 'rule'; did you mean 'rules'?"},
		{"rules: a\n", ":1: 'rules' needs keys below it"},
		{"rules: {lst: []}\n", ":1: unknown key 'rules.lst'; did you mean 'rules.list'?"},
		{"rules: {mode: some}\n", ":1: rules.mode"},
		{"rules: {list: a}\n", ":1: 'rules.list' needs a list of rules"},
		{"rules: []\nrules: []\n", ":2: rules are already listed on line 1"},
		{"rules:\n  - a\n", ":2: rules: each entry needs name: and set:"},
		{"rules:\n  - set: {a: b}\n", ":2: rules: name: is missing"},
		{"rules:\n  - name: a b\n", ":2: rules: bad name 'a b'"},
		{"rules:\n  - {name: a, set: {x: y}}\n  - {name: a, set: {x: y}}\n",
		 ":3: rules: the rule on line 2 has this name already"},
		{RULE("    name: x\n"), ":3: rules: 'ci': name: is given twice"},
		{RULE(""), ":2: rules: 'ci': it sets no tag"},
		{RULE("    sets: {a: b}\n"), ":3: rules: 'ci': key 'sets' is unknown"},
		{RULE("    set: {a: b}\n    set: {c: d}\n"),
		 ":4: rules: 'ci': key 'set' is unknown or given twice"},
		{RULE("    set: a\n"), ":3: rules: 'ci': set: needs tags below it"},
		{RULE("    default: a\n"), ":3: rules: 'ci': default: needs tags below it"},
		{RULE("    match: a\n"), ":3: rules: 'ci': match: needs facts below it"},
		{RULE("    match:\n      messages: hi\n"),
		 ":4: rules: 'ci': unknown fact 'messages'"},
		{RULE("    match:\n      unit: {like: hi}\n"),
		 ":4: rules: 'ci': unknown way to match 'like'"},
		{RULE("    match:\n      unit:\n        - a\n        - {regex: 'a('}\n"),
		 ":6: rules: 'ci': regex 'a(': missing closing parenthesis, at byte 3"},
		{RULE("    match:\n      unit: [[a]]\n"), ":4: rules: 'ci': a pattern is plain"},
		{RULE("    match:\n      unit: \"a\\0b\"\n"),
		 ":4: rules: 'ci': a pattern is plain"},
		{RULE("    match:\n      unit: []\n    set: {a: b}\n"),
		 ":2: rules: 'ci': unit: no pattern"},
		{RULE("    match:\n      [a]: b\n"), ":4: rules: 'ci': a key is plain text"},
		{RULE("    set: {a: [b]}\n"), ":3: rules: 'ci': the value of a tag is plain text"},
		{RULE("    set:\n      team: ${squad}\n"),
		 ":2: rules: 'ci': tag 'team': ${squad} is neither"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config c = {0};
		char err[CONFIG_ERROR_MAX];

		assert_int_equal(load_yaml(&c, rows[i].text, err), -EBADMSG);
		if (!strstr(err, rows[i].says))
			fail_msg("'%s' lacks '%s'", err, rows[i].says);
		assert_null(strchr(err, '\n'));
	}
}

static void keys_are_bounded(void **state)
{
	enum { ENTRY = 48 };
	char *text = malloc(16 + (KEY_NAMES_MAX + 1) * ENTRY);
	size_t used = (size_t)snprintf(text, 16, "keys:\n");
	struct config c = {0};
	char err[CONFIG_ERROR_MAX];

	(void)state;
	for (int i = 0; i <= KEY_NAMES_MAX; i++)
		used += (size_t)snprintf(text + used, ENTRY, "- {fingerprint: \"%08x\", name: n}\n",
					 i);
	assert_int_equal(load_yaml(&c, text, err), -EBADMSG);
	assert_non_null(strstr(err, "more than 1000 keys"));
	free(text);
}

static void closest_names(void **state)
{
	static const char *const own[] = {"by", "since", "once", NULL};
	static const struct {
		const char *typed;
		const char *meant;
	} rows[] = {
		{"--storage.pth", "storage.path"},
		{"--path=/x", "storage.path"},
		{"--storage-path", "storage.path"},
		{"web.listen-adress", "web.listen-address"},
		{"--sinse=1h", "since"},
		{"--onec", "once"},
		{"--qqqqqqqq", NULL},
		{"--", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *near = config_closest(rows[i].typed, own);

		if (rows[i].meant)
			assert_string_equal(near, rows[i].meant);
		else
			assert_null(near);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_the_documented_ones),
		cmocka_unit_test(good_flags),
		cmocka_unit_test(bad_flags_name_the_place_and_what_is_allowed),
		cmocka_unit_test(good_files),
		cmocka_unit_test(bad_files_name_the_line),
		cmocka_unit_test(an_absent_named_file_is_an_error),
		cmocka_unit_test(flag_beats_environment_beats_file_beats_default),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(keys_have_names),
		cmocka_unit_test(bad_keys_name_the_line),
		cmocka_unit_test(keys_are_bounded),
		cmocka_unit_test(rules_are_read),
		cmocka_unit_test(bad_rules_name_rule_and_line),
		cmocka_unit_test(closest_names),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
