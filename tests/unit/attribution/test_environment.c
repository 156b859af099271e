/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/attribution.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* The tags as "key=value;" in their order. */
static void print_tags(const struct tags *tags, char *dst, size_t size)
{
	size_t at = 0;

	dst[0] = '\0';
	for (uint32_t i = 0; i < tags->count; i++) {
		assert_int_equal(tags->item[i].source, TAG_ENV);
		at += (size_t)snprintf(dst + at, size - at, "%s=%s;", tags->item[i].key,
				       tags->item[i].value);
		assert_true(at < size);
	}
}

#define ENV(literal) literal, sizeof(literal) - 1 /* without the literal's own 0 */

static void takes_what_is_allowed(void **state)
{
	static const struct {
		const char *name, *env;
		size_t len;
		const char *want;
	} cases[] = {
		{"nothing", ENV(""), ""},
		{"tags", ENV("PATH=/bin\0TOLLTAP_TAGS=team=a,feature=b\0"), "team=a;feature=b;"},
		{"service", ENV("OTEL_SERVICE_NAME=checkout\0"), "service=checkout;"},
		{"both", ENV("TOLLTAP_TAGS=team=a\0OTEL_SERVICE_NAME=s\0"), "service=s;team=a;"},
		{"own tag beats service", ENV("TOLLTAP_TAGS=service=x\0OTEL_SERVICE_NAME=s\0"),
		 "service=x;"},
		{"others are not kept", ENV("OPENAI_API_KEY=sk-1\0HOME=/root\0"), ""},
		{"blanks", ENV("TOLLTAP_TAGS= team = a b , feature=\tc\0"), "team=a b;feature=c;"},
		{"value with =", ENV("TOLLTAP_TAGS=q=a=b\0"), "q=a=b;"},
		{"parts that are none", ENV("TOLLTAP_TAGS=,,x,=v,k=,a=1,\0"), "a=1;"},
		{"same key twice", ENV("TOLLTAP_TAGS=a=1,a=2\0"), "a=2;"},
		{"name only starts alike", ENV("TOLLTAP_TAGS_OLD=a=1\0XTOLLTAP_TAGS=b=2\0"), ""},
		{"cut by the end", ENV("A=1\0TOLLTAP_TAGS=team=payme"), ""},
		{"control bytes", ENV("TOLLTAP_TAGS=a=x\ny\0"), "a=x?y;"},
		{"attributes",
		 ENV("OTEL_RESOURCE_ATTRIBUTES=service.name=api,host.name=secret,"
		     "deployment.environment.name=prod,service.namespace=shop,team=a%2Cb\0"),
		 "service=api;environment=prod;service_namespace=shop;team=a,b;"},
		{"a name beats attributes",
		 ENV("OTEL_SERVICE_NAME=s\0OTEL_RESOURCE_ATTRIBUTES=service.name=x\0"),
		 "service=s;"},
		{"the first of one name", ENV("OTEL_SERVICE_NAME=a\0OTEL_SERVICE_NAME=b\0"),
		 "service=a;"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tags tags = {0};
		char got[512];

		environment_tags((struct slice){cases[i].env, cases[i].len}, &tags);
		print_tags(&tags, got, sizeof(got));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: '%s'", cases[i].name, got);
	}
}

/* As the systems' own documentation has their variables. */
static void jobs_of_ci(void **state)
{
	static const struct {
		const char *name, *env;
		size_t len;
		const char *want;
	} cases[] = {
		{"GitHub, a push",
		 ENV("CI=true\0GITHUB_ACTIONS=true\0GITHUB_REPOSITORY=octo/hello\0"
		     "GITHUB_REF=refs/heads/release/12\0GITHUB_REF_NAME=release/12\0"
		     "GITHUB_HEAD_REF=\0GITHUB_RUN_ID=1658821493\0GITHUB_ACTOR=octocat\0"
		     "GITHUB_TOKEN=ghs_secret\0"),
		 "ci=github;repository=octo/hello;ref=release/12;run=1658821493;actor=octocat;"},
		{"GitHub, a pull request",
		 ENV("GITHUB_ACTIONS=true\0GITHUB_REPOSITORY=octo/hello\0"
		     "GITHUB_REF=refs/pull/17/merge\0GITHUB_REF_NAME=17/merge\0"
		     "GITHUB_HEAD_REF=fix-it\0GITHUB_RUN_ID=1\0GITHUB_ACTOR=octocat\0"),
		 "ci=github;repository=octo/hello;ref=fix-it;pull_request=17;run=1;"
		 "actor=octocat;"},
		{"GitLab",
		 ENV("GITLAB_CI=true\0CI_PROJECT_PATH=group/sub/app\0CI_COMMIT_REF_NAME=main\0"
		     "CI_MERGE_REQUEST_IID=5\0CI_PIPELINE_ID=77\0GITLAB_USER_LOGIN=jane\0"
		     "CI_REPOSITORY_URL=https://gitlab-ci-token:secret@gitlab.com/group/app.git\0"
		     "CI_JOB_TOKEN=secret\0"),
		 "ci=gitlab;repository=group/sub/app;ref=main;pull_request=5;run=77;actor=jane;"},
		{"Buildkite",
		 ENV("BUILDKITE=true\0BUILDKITE_REPO=git@github.com:acme/app.git\0"
		     "BUILDKITE_BRANCH=main\0BUILDKITE_PULL_REQUEST=false\0"
		     "BUILDKITE_BUILD_ID=4735ba57-80d0\0BUILDKITE_BUILD_CREATOR=Jane\0"),
		 "ci=buildkite;repository=acme/app;ref=main;run=4735ba57-80d0;actor=Jane;"},
		{"CircleCI",
		 ENV("CIRCLECI=true\0CIRCLE_REPOSITORY_URL=https://github.com/acme/app\0"
		     "CIRCLE_BRANCH=fix\0CIRCLE_WORKFLOW_ID=w-1\0CIRCLE_USERNAME=jane\0"
		     "CIRCLE_PULL_REQUEST=https://github.com/acme/app/pull/31\0"),
		 "ci=circleci;repository=acme/app;ref=fix;pull_request=31;run=w-1;actor=jane;"},
		{"Jenkins",
		 ENV("JENKINS_URL=https://ci.corp/\0GIT_URL=ssh://git@git.corp:22/acme/app.git\0"
		     "GIT_BRANCH=origin/PR-9\0BRANCH_NAME=PR-9\0CHANGE_BRANCH=fix\0CHANGE_ID=9\0"
		     "BUILD_TAG=jenkins-app-12\0CHANGE_AUTHOR=jane\0"),
		 "ci=jenkins;repository=acme/app;ref=fix;pull_request=9;run=jenkins-app-12;"
		 "actor=jane;"},
		{"names that are anybody's, outside",
		 ENV("GIT_URL=x\0BRANCH_NAME=y\0BUILD_TAG=z\0"), ""},
		{"of two, the first", ENV("JENKINS_URL=x\0CIRCLECI=true\0GIT_BRANCH=y\0"),
		 "ci=circleci;"},
		{"an own tag beats it",
		 ENV("TOLLTAP_TAGS=repository=mine\0GITHUB_ACTIONS=true\0GITHUB_REPOSITORY=a/b\0"),
		 "ci=github;repository=mine;"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tags tags = {0};
		char got[512];

		environment_tags((struct slice){cases[i].env, cases[i].len}, &tags);
		print_tags(&tags, got, sizeof(got));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: '%s'", cases[i].name, got);
	}
}

/* Passwords in addresses are no part of the tag. */
static void addresses_of_repositories(void **state)
{
	static const struct {
		const char *address, *want;
	} cases[] = {
		{"https://user:secret@github.com/acme/app.git", "acme/app"},
		{"https://user:sec/ret@github.com/acme/app.git", "github.com/acme/app"},
		{"user:secret@github.com/acme/app", "github.com/acme/app"},
		{"https://github.com/acme/app.git?token=secret", "acme/app"},
		{"https://github.com/acme/app/#secret", "acme/app"},
		{"git@github.com:acme/app.git", "acme/app"},
		{"acme/app", "acme/app"},
		{"/srv/git/app.git", "/srv/git/app"},
		{"https://github.com", ""},
		{"://", ""},
		{"@", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tags tags = {0};
		char env[256];
		int n = snprintf(env, sizeof(env), "JENKINS_URL=x%cGIT_URL=%s", 0,
				 cases[i].address);

		environment_tags((struct slice){env, (size_t)n + 1}, &tags);
		assert_string_equal(tags.count > 1 ? tags.item[1].value : "", cases[i].want);
	}
}

static void weaker_than_a_header(void **state)
{
	struct tags tags = {0};

	(void)state;
	tags_set(&tags, SLICE("team"), SLICE("from-header"), TAG_HEADER);
	environment_tags((struct slice){ENV("TOLLTAP_TAGS=team=a\0")}, &tags);
	assert_int_equal(tags.count, 1);
	assert_string_equal(tags.item[0].value, "from-header");
}

static void bounds_the_table(void **state)
{
	struct tags tags = {0};
	char env[4096];
	size_t len = (size_t)snprintf(env, sizeof(env), "TOLLTAP_TAGS=");

	(void)state;
	for (int i = 0; i < 100; i++)
		len += (size_t)snprintf(env + len, sizeof(env) - len, "k%d=v,", i);
	environment_tags((struct slice){env, len + 1}, &tags);
	assert_int_equal(tags.count, CALL_TAGS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_allowed),     cmocka_unit_test(jobs_of_ci),
		cmocka_unit_test(addresses_of_repositories), cmocka_unit_test(weaker_than_a_header),
		cmocka_unit_test(bounds_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
