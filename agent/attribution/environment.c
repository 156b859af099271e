/* SPDX-License-Identifier: Apache-2.0 */
/* What an environment says about its process, by allow-list. All else in it is not looked at. */
#include "agent/attribution/attribution.h"

enum ci { CI_NONE, CI_GITHUB, CI_GITLAB, CI_BUILDKITE, CI_CIRCLECI, CI_JENKINS, CI_SYSTEMS };

static const char *const ci_names[CI_SYSTEMS] = {
	[CI_GITHUB] = "github",	    [CI_GITLAB] = "gitlab",   [CI_BUILDKITE] = "buildkite",
	[CI_CIRCLECI] = "circleci", [CI_JENKINS] = "jenkins",
};

/* ---- values --------------------------------------------------------------------------------- */

static void set_tag(struct tags *tags, const char *tag, struct slice value)
{
	value = slice_trim(value);
	if (value.len)
		tags_set(tags, slice_of(tag), value, TAG_ENV);
}

/* "key=value,key=value": blanks around both are dropped, parts without key or value too. */
static void each_pair(struct slice list, struct tags *tags,
		      void (*pair)(struct slice key, struct slice value, struct tags *tags))
{
	while (list.len) {
		const char *comma = memchr(list.ptr, ',', list.len);
		struct slice part = {list.ptr, comma ? (size_t)(comma - list.ptr) : list.len};
		const char *equals = memchr(part.ptr, '=', part.len);

		list.ptr += part.len + (comma != NULL);
		list.len -= part.len + (comma != NULL);
		if (!equals)
			continue;
		struct slice key =
			slice_trim((struct slice){part.ptr, (size_t)(equals - part.ptr)});
		struct slice value = slice_trim(
			(struct slice){equals + 1, (size_t)(part.ptr + part.len - equals - 1)});

		if (key.len && value.len)
			pair(key, value, tags);
	}
}

static void own_pair(struct slice key, struct slice value, struct tags *tags)
{
	tags_set(tags, key, value, TAG_ENV);
}

static void take_tags(struct tags *tags, const char *tag, struct slice value)
{
	(void)tag;
	each_pair(value, tags, own_pair);
}

/* OpenTelemetry's names, and those of the reserved tags. */
static const struct {
	struct slice attribute;
	const char *tag;
} attributes[] = {
	{SLICE("service.name"), "service"},
	{SLICE("service.namespace"), "service_namespace"},
	{SLICE("service.version"), "service_version"},
	{SLICE("deployment.environment"), "environment"},
	{SLICE("deployment.environment.name"), "environment"},
	{SLICE("project"), "project"},
	{SLICE("feature"), "feature"},
	{SLICE("team"), "team"},
	{SLICE("customer_id"), "customer_id"},
};

static void attribute_pair(struct slice key, struct slice value, struct tags *tags)
{
	char text[TAG_VALUE_MAX];

	for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
		if (slice_eq(key, attributes[i].attribute))
			set_tag(tags, attributes[i].tag, percent_decode(text, sizeof(text), value));
	}
}

static void take_attributes(struct tags *tags, const char *tag, struct slice value)
{
	(void)tag;
	each_pair(value, tags, attribute_pair);
}

static struct slice from(const char *start, struct slice text)
{
	return (struct slice){start, (size_t)(text.ptr + text.len - start)};
}

/*
 * "org/repo" of a name, a URL or an scp-like address. What stands before an '@' may be a password:
 * it is never part of the tag, wherever it stands.
 */
static void take_repository(struct tags *tags, const char *tag, struct slice value)
{
	const char *mark = value.len ? memmem(value.ptr, value.len, "://", 3) : NULL;

	if (mark) {
		value = from(mark + 3, value);
		mark = memchr(value.ptr, '/', value.len);
		value = from(mark ? mark + 1 : value.ptr + value.len, value);
	} else {
		mark = value.len ? memchr(value.ptr, ':', value.len) : NULL;
		value = mark ? from(mark + 1, value) : value;
	}
	mark = value.len ? memrchr(value.ptr, '@', value.len) : NULL;
	value = mark ? from(mark + 1, value) : value;
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] == '?' || value.ptr[i] == '#')
			value.len = i;
	}
	if (slice_ends(value, SLICE("/")))
		value.len--;
	if (slice_ends(value, SLICE(".git")))
		value.len -= 4;
	set_tag(tags, tag, value);
}

/* A branch's or tag's own name. */
static void take_ref(struct tags *tags, const char *tag, struct slice value)
{
	static const struct slice prefixes[] = {SLICE("refs/heads/"), SLICE("refs/tags/"),
						SLICE("origin/")};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		if (slice_starts(value, prefixes[i])) {
			value = from(value.ptr + prefixes[i].len, value);
			break;
		}
	}
	set_tag(tags, tag, value);
}

/* The number in "12", "refs/pull/12/merge" and ".../pull/12"; "false" and branches have none. */
static void take_pull_request(struct tags *tags, const char *tag, struct slice value)
{
	struct slice ref = SLICE("refs/pull/");
	const char *slash;

	if (slice_starts(value, ref)) {
		value = from(value.ptr + ref.len, value);
		slash = memchr(value.ptr, '/', value.len);
		value.len = slash ? (size_t)(slash - value.ptr) : value.len;
	} else if (slice_starts(value, SLICE("refs/"))) {
		return; /* a branch may end like one: refs/heads/release/12 */
	} else {
		slash = value.len ? memrchr(value.ptr, '/', value.len) : NULL;
		value = slash ? from(slash + 1, value) : value;
	}
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return;
	}
	set_tag(tags, tag, value);
}

/* ---- the allow-list ------------------------------------------------------------------------- */

/*
 * Weakest first: a later row overwrites the tag of an earlier one. Rows of a CI system count only
 * in its jobs, since some of their names are anybody's. Without take: it is the mark of such a job.
 */
static const struct variable {
	struct slice name;
	enum ci ci;
	const char *tag;
	void (*take)(struct tags *tags, const char *tag, struct slice value);
} variables[] = {
	{SLICE("GITHUB_ACTIONS"), CI_GITHUB, "ci", NULL},
	{SLICE("GITHUB_REPOSITORY"), CI_GITHUB, "repository", set_tag},
	{SLICE("GITHUB_REF_NAME"), CI_GITHUB, "ref", take_ref},
	{SLICE("GITHUB_HEAD_REF"), CI_GITHUB, "ref", take_ref}, /* of a pull request: its branch */
	{SLICE("GITHUB_REF"), CI_GITHUB, "pull_request", take_pull_request},
	{SLICE("GITHUB_RUN_ID"), CI_GITHUB, "run", set_tag},
	{SLICE("GITHUB_ACTOR"), CI_GITHUB, "actor", set_tag},

	{SLICE("GITLAB_CI"), CI_GITLAB, "ci", NULL},
	{SLICE("CI_PROJECT_PATH"), CI_GITLAB, "repository", set_tag},
	{SLICE("CI_COMMIT_REF_NAME"), CI_GITLAB, "ref", take_ref},
	{SLICE("CI_MERGE_REQUEST_IID"), CI_GITLAB, "pull_request", take_pull_request},
	{SLICE("CI_PIPELINE_ID"), CI_GITLAB, "run", set_tag},
	{SLICE("GITLAB_USER_LOGIN"), CI_GITLAB, "actor", set_tag},

	{SLICE("BUILDKITE"), CI_BUILDKITE, "ci", NULL},
	{SLICE("BUILDKITE_REPO"), CI_BUILDKITE, "repository", take_repository},
	{SLICE("BUILDKITE_BRANCH"), CI_BUILDKITE, "ref", take_ref},
	{SLICE("BUILDKITE_PULL_REQUEST"), CI_BUILDKITE, "pull_request", take_pull_request},
	{SLICE("BUILDKITE_BUILD_ID"), CI_BUILDKITE, "run", set_tag},
	{SLICE("BUILDKITE_BUILD_CREATOR"), CI_BUILDKITE, "actor", set_tag},

	{SLICE("CIRCLECI"), CI_CIRCLECI, "ci", NULL},
	{SLICE("CIRCLE_REPOSITORY_URL"), CI_CIRCLECI, "repository", take_repository},
	{SLICE("CIRCLE_TAG"), CI_CIRCLECI, "ref", take_ref},
	{SLICE("CIRCLE_BRANCH"), CI_CIRCLECI, "ref", take_ref},
	{SLICE("CIRCLE_PULL_REQUEST"), CI_CIRCLECI, "pull_request", take_pull_request},
	{SLICE("CIRCLE_WORKFLOW_ID"), CI_CIRCLECI, "run", set_tag},
	{SLICE("CIRCLE_USERNAME"), CI_CIRCLECI, "actor", set_tag},

	{SLICE("JENKINS_URL"), CI_JENKINS, "ci", NULL},
	{SLICE("GIT_URL"), CI_JENKINS, "repository", take_repository},
	{SLICE("GIT_BRANCH"), CI_JENKINS, "ref", take_ref},
	{SLICE("BRANCH_NAME"), CI_JENKINS, "ref", take_ref}, /* of a multibranch pipeline */
	{SLICE("CHANGE_BRANCH"), CI_JENKINS, "ref", take_ref},
	{SLICE("CHANGE_ID"), CI_JENKINS, "pull_request", take_pull_request},
	{SLICE("BUILD_TAG"), CI_JENKINS, "run", set_tag}, /* jenkins-JOB-NUMBER */
	{SLICE("CHANGE_AUTHOR"), CI_JENKINS, "actor", set_tag},
	{SLICE("BUILD_USER_ID"), CI_JENKINS, "actor", set_tag}, /* of a plugin: who started it */

	{SLICE("OTEL_RESOURCE_ATTRIBUTES"), CI_NONE, NULL, take_attributes},
	{SLICE("OTEL_SERVICE_NAME"), CI_NONE, "service", set_tag},
	{SLICE("TOLLTAP_TAGS"), CI_NONE, NULL, take_tags},
};

/* The next entry without its 0; false at the end, or where the block's end cuts the last one. */
static bool next_entry(struct slice *env, struct slice *entry)
{
	const char *end = env->len ? memchr(env->ptr, '\0', env->len) : NULL;

	if (!end)
		return false;
	*entry = (struct slice){env->ptr, (size_t)(end - env->ptr)};
	*env = from(end + 1, *env);
	return true;
}

/* What stands behind "NAME="; false when the entry is of another name. */
static bool value_of(struct slice entry, struct slice name, struct slice *value)
{
	if (entry.len <= name.len || entry.ptr[name.len] != '=' || !slice_starts(entry, name))
		return false;
	*value = from(entry.ptr + name.len + 1, entry);
	return true;
}

/* The first variable of that name, as getenv has it; {NULL, 0} when there is none. */
static struct slice find_variable(struct slice env, struct slice name)
{
	struct slice entry, value;

	while (next_entry(&env, &entry)) {
		if (value_of(entry, name, &value))
			return value;
	}
	return (struct slice){NULL, 0};
}

bool environment_opts_out(struct slice env)
{
	return slice_eq(find_variable(env, SLICE("TOLLTAP_IGNORE")), SLICE("1"));
}

void environment_own_tags(struct slice env, struct tags *tags)
{
	take_tags(tags, NULL, find_variable(env, SLICE("TOLLTAP_TAGS")));
}

void environment_tags(struct slice env, struct tags *tags)
{
	struct slice found[ARRAY_LEN(variables)] = {0}, entry, value;
	enum ci ci = CI_NONE;

	while (next_entry(&env, &entry)) {
		for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
			if (value_of(entry, variables[i].name, &value) && !found[i].ptr)
				found[i] = value; /* the first, as getenv has it */
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		const struct variable *v = &variables[i];

		if (found[i].len == 0 || (v->take && v->ci != CI_NONE && v->ci != ci))
			continue;
		if (v->take) {
			v->take(tags, v->tag, found[i]);
		} else if (ci == CI_NONE) {
			ci = v->ci;
			set_tag(tags, v->tag, slice_of(ci_names[ci]));
		}
	}
}
