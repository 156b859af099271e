/* SPDX-License-Identifier: Apache-2.0 */
/* One line per form of a path as engines, the kubelet and systemd make it on real hosts. */
#include "agent/attribution/cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define ID	 "3f4a9c0d1e2b5a6978897a6b5c4d3e2f1001f2e3d4c5b6a79880716253443526"
#define ID2	 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define POD	 "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901"
#define POD_	 "1b2c3d4e_5f60_7182_93a4_b5c6d7e8f901"
#define PODS	 "kubepods-burstable-pod" POD_ ".slice"
#define STATIC	 "cfc10940be413c68fd6fca1883040fb7"
#define KUBEPODS "/kubepods.slice/kubepods-burstable.slice/"
#define USER	 "/user.slice/user-1000.slice/user@1000.service/"

/* What a line leaves out, the path does not say. */
struct form {
	const char *name, *path;
	const char *id, *container, *pod, *unit, *slice, *login, *session;
};

static const struct form docker[] = {
	{"cgroupfs", "/docker/" ID, .id = ID},
	{"systemd", "/system.slice/docker-" ID ".scope", .id = ID, .slice = "system.slice"},
	{"in docker", "/docker/" ID2 "/docker/" ID, .id = ID},
	{"in docker, systemd",
	 "/system.slice/docker-" ID2 ".scope/system.slice/docker-" ID ".scope", .id = ID,
	 .slice = "system.slice"},
	{"--cgroup-parent=team.slice", "/team.slice/docker-" ID ".scope", .id = ID,
	 .slice = "team.slice"},
	{"--cgroup-parent=/team", "/team/" ID, .id = ID},
	{"rootless, systemd", USER "user.slice/docker-" ID ".scope", .id = ID,
	 .slice = "user-1000.slice", .login = "1000"},
	{"rootless, cgroupfs", USER "app.slice/docker.service/" ID, .id = ID,
	 .slice = "user-1000.slice", .login = "1000"},
	{"nested group of the container", "/system.slice/docker-" ID ".scope/init", .id = ID,
	 .slice = "system.slice"},
	{"systemd in it", "/docker/" ID "/system.slice/nginx.service", .id = ID,
	 .unit = "nginx.service"},
	{"login session in it", "/docker/" ID "/user.slice/user-7.slice/session-1.scope", .id = ID,
	 .unit = "session-1.scope"},
	{"GitHub's runner", "/actions_job/" ID, .id = ID},
	{"ECS", "/ecs/" STATIC "/" ID, .id = ID},
	{"ECS, systemd", "/ecstasks.slice/ecstasks-" STATIC ".slice/docker-" ID ".scope", .id = ID,
	 .slice = "ecstasks-" STATIC ".slice"},
};

static const struct form kubernetes[] = {
	{"cgroupfs, burstable", "/kubepods/burstable/pod" POD "/" ID, .id = ID, .pod = POD},
	{"cgroupfs, best effort", "/kubepods/besteffort/pod" POD "/" ID, .id = ID, .pod = POD},
	{"cgroupfs, guaranteed", "/kubepods/pod" POD "/" ID, .id = ID, .pod = POD},
	{"cgroupfs, static pod", "/kubepods/burstable/pod" STATIC "/" ID, .id = ID, .pod = STATIC},
	{"cgroupfs, CRI-O", "/kubepods/besteffort/pod" POD "/crio-" ID, .id = ID, .pod = POD},
	{"cgroupfs, pod alone", "/kubepods/burstable/pod" POD, .pod = POD},
	{"systemd, containerd", KUBEPODS PODS "/cri-containerd-" ID ".scope", .id = ID, .pod = POD,
	 .slice = "kubepods-burstable.slice"},
	{"systemd, CRI-O", KUBEPODS PODS "/crio-" ID ".scope", .id = ID, .pod = POD,
	 .slice = "kubepods-burstable.slice"},
	{"systemd, CRI-O with crun", KUBEPODS PODS "/crio-" ID ".scope/container", .id = ID,
	 .pod = POD, .slice = "kubepods-burstable.slice"},
	{"systemd, docker", KUBEPODS PODS "/docker-" ID ".scope", .id = ID, .pod = POD,
	 .slice = "kubepods-burstable.slice"},
	{"systemd, guaranteed",
	 "/kubepods.slice/kubepods-pod" POD_ ".slice/cri-containerd-" ID ".scope", .id = ID,
	 .pod = POD, .slice = "kubepods.slice"},
	{"systemd, static pod",
	 "/kubepods.slice/kubepods-pod" STATIC ".slice/cri-containerd-" ID ".scope", .id = ID,
	 .pod = STATIC, .slice = "kubepods.slice"},
	{"systemd slices, containerd without systemd",
	 "/system.slice/containerd.service/" PODS ":cri-containerd:" ID, .id = ID, .pod = POD,
	 .slice = "system.slice"},
	{"systemd slices, CRI-O without systemd", "/" PODS ":crio:" ID, .id = ID, .pod = POD},
	{"kind, cgroupfs", "/docker/" ID2 "/kubelet/kubepods/besteffort/pod" POD "/" ID, .id = ID,
	 .pod = POD},
	{"kind, systemd",
	 "/system.slice/docker-" ID2 ".scope/kubelet.slice/kubelet-kubepods.slice/"
	 "kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" POD_
	 ".slice/cri-containerd-" ID ".scope",
	 .id = ID, .pod = POD, .slice = "system.slice"},
	{"docker in a pod", "/kubepods/burstable/pod" POD "/" ID2 "/docker/" ID, .id = ID,
	 .pod = POD},
	{"another root", "/my-pods.slice/my-pods-kubepods-pod" POD_ ".slice/crio-" ID ".scope",
	 .id = ID, .pod = POD, .slice = "my-pods.slice"},
};

static const struct form others[] = {
	{"podman", "/machine.slice/libpod-" ID ".scope", .id = ID, .slice = "machine.slice"},
	{"podman, inner group", "/machine.slice/libpod-" ID ".scope/container", .id = ID,
	 .slice = "machine.slice"},
	{"podman, pod",
	 "/machine.slice/machine-libpod_pod_" ID2 ".slice/libpod-" ID ".scope/container", .id = ID,
	 .slice = "machine-libpod_pod_" ID2 ".slice"},
	{"podman, cgroupfs", "/libpod_parent/libpod-" ID, .id = ID},
	{"podman, cgroupfs, pod", "/libpod_parent/" ID2 "/libpod-" ID, .id = ID},
	{"podman, rootless", USER "user.slice/libpod-" ID ".scope/container", .id = ID,
	 .slice = "user-1000.slice", .login = "1000"},
	{"podman, rootless, pod",
	 USER "user.slice/user-libpod_pod_" ID2 ".slice/libpod-" ID ".scope/container", .id = ID,
	 .slice = "user-1000.slice", .login = "1000"},
	{"podman, Quadlet", "/system.slice/web.service/libpod-payload-" ID, .id = ID,
	 .unit = "web.service", .slice = "system.slice"},
	{"conmon of podman", "/machine.slice/libpod-conmon-" ID ".scope",
	 .unit = "libpod-conmon-" ID ".scope", .slice = "machine.slice"},
	{"conmon of CRI-O", KUBEPODS PODS "/crio-conmon-" ID ".scope", .pod = POD,
	 .unit = "crio-conmon-" ID ".scope", .slice = "kubepods-burstable.slice"},
	{"nerdctl", "/system.slice/nerdctl-" ID ".scope", .id = ID, .slice = "system.slice"},
	{"nerdctl, rootless", USER "user.slice/nerdctl-" ID ".scope", .id = ID,
	 .slice = "user-1000.slice", .login = "1000"},
	{"nerdctl, cgroupfs", "/default/" ID, .id = ID},
	{"LXC 4, LXD, Incus", "/lxc.payload.web1/system.slice/nginx.service", .container = "web1",
	 .unit = "nginx.service"},
	{"LXC 3.1", "/lxc.payload/web1/init.scope", .container = "web1", .unit = "init.scope"},
	{"LXC 3.0", "/lxc/web1", .container = "web1"},
	{"LXC of a user", USER "app.slice/run-r3.scope/lxc.payload.web1", .container = "web1",
	 .slice = "user-1000.slice", .login = "1000"},
	{"LXC's monitor", "/lxc.monitor.web1", .id = ""},
	{"Proxmox", "/lxc/101/ns/system.slice/cron.service", .container = "101",
	 .unit = "cron.service"},
	{"docker in LXC", "/lxc.payload.web1/docker/" ID, .id = ID},
	{"LXC in docker", "/docker/" ID "/lxc.payload.web1", .container = "web1"},
	{"nspawn, unit", "/machine.slice/systemd-nspawn@web\\x2d1.service/payload",
	 .container = "web-1", .slice = "machine.slice"},
	{"nspawn, by hand", "/machine.slice/machine-web.scope/payload/system.slice/a.service",
	 .container = "web", .unit = "a.service", .slice = "machine.slice"},
	{"libvirt's LXC", "/machine.slice/machine-lxc\\x2d9\\x2dweb.scope/libvirt",
	 .container = "lxc-9-web", .slice = "machine.slice"},
	{"qemu is no container", "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator",
	 .unit = "machine-qemu\\x2d1\\x2dvm.scope", .slice = "machine.slice"},
	{"escape of a control", "/machine.slice/machine-a\\x0ab\\x4.scope", .container = "a?b\\x4",
	 .slice = "machine.slice"},
};

static const struct form plain[] = {
	{"service", "/system.slice/nginx.service", .unit = "nginx.service",
	 .slice = "system.slice"},
	{"instance", "/system.slice/system-getty.slice/getty@tty1.service",
	 .unit = "getty@tty1.service", .slice = "system-getty.slice"},
	{"slice alone", "/team.slice/team-a.slice", .slice = "team-a.slice"},
	{"D-Bus", "/system.slice/dbus-:1.2-org.a@0.service", .unit = "dbus-:1.2-org.a@0.service",
	 .slice = "system.slice"},
	{"login", "/user.slice/user-1000.slice/session-3.scope", .unit = "session-3.scope",
	 .slice = "user-1000.slice", .login = "1000", .session = "3"},
	{"login without audit", "/user.slice/user-0.slice/session-c12.scope",
	 .unit = "session-c12.scope", .slice = "user-0.slice", .login = "0", .session = "c12"},
	{"user's service", USER "app.slice/code.service", .unit = "code.service",
	 .slice = "user-1000.slice", .login = "1000"},
	{"desktop", USER "app.slice/app-gnome-code-42.scope", .unit = "app-gnome-code-42.scope",
	 .slice = "user-1000.slice", .login = "1000"},
	{"delegated below a unit", "/system.slice/ci.service/worker-1", .unit = "ci.service",
	 .slice = "system.slice"},
	{"Nomad", "/nomad.slice/share.slice/" POD ".web.scope", .unit = POD ".web.scope",
	 .slice = "share.slice"},
	{"from within a namespace", "/../cron.service", .unit = "cron.service"},
	{"root", "/", .id = ""},
	{"empty", "", .id = ""},
};

/* Near a form, and none. */
static const struct form nothing[] = {
	{"short hex", "/docker/3f4a9c0d1e2b", .id = ""},
	{"32 hex digits", "/jobs/" STATIC, .id = ""},
	{"65 hex digits", "/docker/" ID "0", .id = ""},
	{"upper case", "/docker/3F4A9C0D1E2B5A6978897A6B5C4D3E2F1001F2E3D4C5B6A79880716253443526",
	 .id = ""},
	{"pod uid without dashes", "/kubepods/pod1b2c3d4e5f60718293a4b5c6d7e8f901aaaa", .id = ""},
	{"pod uid, dash moved", "/kubepods/pod1b2c3d4-e5f60-7182-93a4-b5c6d7e8f901", .id = ""},
	{"pod uid, too long", "/kubepods/pod" POD "0", .id = ""},
	{"pod without uid", "/kubepods/pod", .id = ""},
	{"no name", "/.service/.scope/.slice/lxc.payload.", .id = ""},
	{"colons", "/a:b/c::/:" ID2 "0", .id = ""},
	{"user that is none", "/user-.slice", .slice = "user-.slice"},
	{"user too large", "/user-4294967295.slice", .slice = "user-4294967295.slice"},
	{"session that is none", "/session-a.b.scope", .unit = "session-a.b.scope"},
	{"session too long", "/session-0123456789012345678901234567890x.scope",
	 .unit = "session-0123456789012345678901234567890x.scope"},
};

static void check(const struct form *form, const char *fact, const char *got, const char *want)
{
	if (strcmp(got, want ? want : "") != 0)
		fail_msg("%s (%s): %s is '%s'", form->name, form->path, fact, got);
}

static void check_forms(const struct form *forms, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct form *form = &forms[i];
		char login[16] = "";
		struct cgroup_facts f;

		cgroup_read(slice_of(form->path), &f);
		if (f.login_known)
			snprintf(login, sizeof(login), "%u", f.login_uid);
		check(form, "container_id", f.container_id, form->id);
		check(form, "container", f.container, form->container);
		check(form, "pod_uid", f.pod_uid, form->pod);
		check(form, "unit", f.unit, form->unit);
		check(form, "slice", f.slice, form->slice);
		check(form, "login", login, form->login);
		check(form, "session", f.login_session, form->session);
		assert_int_equal(cgroup_is_container(&f),
				 (form->id && *form->id) || form->container || form->pod);
	}
}

static void reads_forms(void **state)
{
	(void)state;
	check_forms(docker, ARRAY_LEN(docker));
	check_forms(kubernetes, ARRAY_LEN(kubernetes));
	check_forms(others, ARRAY_LEN(others));
	check_forms(plain, ARRAY_LEN(plain));
	check_forms(nothing, ARRAY_LEN(nothing));
}

static void picks_the_path(void **state)
{
	static const struct {
		const char *text, *want;
		bool v1;
	} cases[] = {
		{"0::/system.slice/a.service\n", "/system.slice/a.service", false},
		{"0::/\n", "/", false},
		{"", "/", false},
		{"nonsense\n::\n1:", "/", false},
		{"9:name=systemd:/docker/x\n4:memory:/docker/x\n0::/docker/x\n", "/docker/x",
		 false},
		{"9:name=systemd:/\n4:memory:/jobs/1\n3:cpuset:/\n0::/\n", "/jobs/1", true},
		{"4:memory:/jobs/1\n1:name=systemd:/user.slice/b.scope\n0::/\n",
		 "/user.slice/b.scope", true},
		{"12:cpu,cpuacct:/a:b/c\n0::/", "/a:b/c", true},
		{"0::/last/line", "/last/line", false},
		/* Docker on a hybrid host: version 2 has only what started the daemon. */
		{"12:cpuset:/docker/" ID "\n1:name=systemd:/docker/" ID
		 "\n0::/system.slice/containerd.service\n",
		 "/docker/" ID, true},
		/* The kubelet under version 1 without systemd. */
		{"8:cpuset:/\n7:pids:/kubepods/pod" POD "/" ID "\n", "/kubepods/pod" POD "/" ID,
		 true},
		/* A container of v2 counts before one of v1. */
		{"4:pids:/docker/" ID "\n0::/docker/" ID2 "\n", "/docker/" ID2, false},
		{"0::/system.slice/docker-" ID ".scope (deleted)\n",
		 "/system.slice/docker-" ID ".scope", false},
		{"0:: (deleted)\n", "/", false},
		{"0::/ (deleted)\n", "/", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool unified = cases[i].v1;
		struct slice got = cgroup_path(slice_of(cases[i].text), &unified);

		if (!slice_eq(got, slice_of(cases[i].want)) || unified == cases[i].v1)
			fail_msg("case %zu: '%.*s', %d", i, SLICE_FMT(got), unified);
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
		cmocka_unit_test(reads_forms),
		cmocka_unit_test(picks_the_path),
		cmocka_unit_test(joins_names_from_the_innermost_outward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
