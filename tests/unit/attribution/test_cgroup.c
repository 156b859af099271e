/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/attribution.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ID   "3f4a9c0d1e2b5a6978897a6b5c4d3e2f1001f2e3d4c5b6a79880716253443526"
#define ID2  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define POD  "pod1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901"
#define PODS "kubepods-burstable-pod1b2c3d4e_5f60_7182_93a4_b5c6d7e8f901.slice"

static void reads_containers_and_units(void **state)
{
	static const struct {
		const char *name, *path, *container, *unit;
	} cases[] = {
		{"docker, cgroupfs", "/docker/" ID, ID, ""},
		{"docker, systemd", "/system.slice/docker-" ID ".scope", ID, ""},
		{"docker in docker", "/docker/" ID2 "/docker/" ID, ID, ""},
		{"docker compose slice", "/app.slice/docker-" ID ".scope", ID, ""},
		{"kubepods, cgroupfs", "/kubepods/burstable/" POD "/" ID, ID, ""},
		{"kubepods, guaranteed", "/kubepods/" POD "/" ID, ID, ""},
		{"kubepods, systemd, containerd",
		 "/kubepods.slice/kubepods-burstable.slice/" PODS "/cri-containerd-" ID ".scope",
		 ID, ""},
		{"kubepods, systemd, cri-o",
		 "/kubepods.slice/kubepods-burstable.slice/" PODS "/crio-" ID ".scope", ID, ""},
		{"kubepods, systemd, docker",
		 "/kubepods.slice/kubepods-burstable.slice/" PODS "/docker-" ID ".scope", ID, ""},
		{"containerd under its unit",
		 "/system.slice/containerd.service/" PODS ":cri-containerd:" ID, ID, ""},
		{"cri-o, cgroupfs", "/kubepods/besteffort/" POD "/crio-" ID, ID, ""},
		{"podman, root", "/machine.slice/libpod-" ID ".scope", ID, ""},
		{"podman, root, inner", "/machine.slice/libpod-" ID ".scope/container", ID, ""},
		{"podman, cgroupfs", "/libpod_parent/libpod-" ID, ID, ""},
		{"podman, rootless",
		 "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope", ID,
		 ""},
		{"nerdctl", "/system.slice/nerdctl-" ID ".scope", ID, ""},
		{"systemd in a container", "/docker/" ID "/system.slice/nginx.service", ID,
		 "nginx.service"},
		{"conmon is no container", "/machine.slice/libpod-conmon-" ID ".scope", "",
		 "libpod-conmon-" ID ".scope"},
		{"service", "/system.slice/nginx.service", "", "nginx.service"},
		{"template service", "/system.slice/system-getty.slice/getty@tty1.service", "",
		 "getty@tty1.service"},
		{"login session", "/user.slice/user-1000.slice/session-3.scope", "",
		 "session-3.scope"},
		{"user service",
		 "/user.slice/user-1000.slice/user@1000.service/app.slice/code.service", "",
		 "code.service"},
		{"delegated below a unit", "/system.slice/ci.service/worker-1", "", "ci.service"},
		{"root", "/", "", ""},
		{"empty", "", "", ""},
		{"short hex", "/docker/3f4a9c0d1e2b", "", ""},
		{"32 hex digits", "/jobs/cfc10940be413c68fd6fca1883040fb7", "", ""},
		{"65 hex digits", "/docker/" ID "0", "", ""},
		{"upper case",
		 "/docker/"
		 "3F4A9C0D1E2B5A6978897A6B5C4D3E2F1001F2E3D4C5B6A79880716253443526",
		 "", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char container[80] = "x", unit[128] = "x";

		cgroup_container_id(slice_of(cases[i].path), container, sizeof(container));
		cgroup_unit(slice_of(cases[i].path), unit, sizeof(unit));
		if (strcmp(container, cases[i].container) != 0)
			fail_msg("%s: container '%s'", cases[i].name, container);
		if (strcmp(unit, cases[i].unit) != 0)
			fail_msg("%s: unit '%s'", cases[i].name, unit);
	}
}

static void picks_the_path(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{"0::/system.slice/a.service\n", "/system.slice/a.service"},
		{"0::/\n", "/"},
		{"", "/"},
		{"nonsense\n::\n1:", "/"},
		{"9:name=systemd:/docker/x\n4:memory:/docker/x\n0::/docker/x\n", "/docker/x"},
		{"9:name=systemd:/\n4:memory:/jobs/1\n3:cpuset:/\n0::/\n", "/jobs/1"},
		{"4:memory:/jobs/1\n1:name=systemd:/user.slice/b.scope\n0::/\n",
		 "/user.slice/b.scope"},
		{"12:cpu,cpuacct:/a:b/c\n0::/", "/a:b/c"},
		{"0::/last/line", "/last/line"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice got = cgroup_path(slice_of(cases[i].text));

		if (!slice_eq(got, slice_of(cases[i].want)))
			fail_msg("case %zu: '%.*s'", i, SLICE_FMT(got));
	}
}

static void joins_names_from_the_innermost_outward(void **state)
{
	static char names[CONN_CGROUP_LEVELS][CONN_CGROUP_NAME] = {"c", "bb", "aaa"};
	char path[64], full[CALL_PATH_MAX];

	(void)state;
	cgroup_join((const char(*)[CONN_CGROUP_NAME])names, path, sizeof(path));
	assert_string_equal(path, "/aaa/bb/c");
	cgroup_join((const char(*)[CONN_CGROUP_NAME])names, path, sizeof("/bb/c"));
	assert_string_equal(path, "/bb/c");
	cgroup_join((const char(*)[CONN_CGROUP_NAME])names, path, sizeof("/bb/c") - 1);
	assert_string_equal(path, "/c");
	for (size_t i = 0; i < CONN_CGROUP_LEVELS; i++)
		memset(names[i], 'x', CONN_CGROUP_NAME - 1);
	cgroup_join((const char(*)[CONN_CGROUP_NAME])names, full, sizeof(full));
	assert_int_equal(strlen(full) % CONN_CGROUP_NAME, 0);
	names[0][0] = '\0';
	cgroup_join((const char(*)[CONN_CGROUP_NAME])names, path, sizeof(path));
	assert_string_equal(path, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_containers_and_units),
		cmocka_unit_test(picks_the_path),
		cmocka_unit_test(joins_names_from_the_innermost_outward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
