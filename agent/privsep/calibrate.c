/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/calibrate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/privsep/uprobe.h"
#include "bpf/calib.skel.h"

#define BTF_PATH "/sys/kernel/btf/vmlinux"

/* The hooked function. The pointer keeps the compiler from seeing through the call. */
static __attribute__((noinline)) int hooked(int n)
{
	__asm__ volatile("" : "+r"(n));
	return n + 1;
}

static int (*volatile const hooked_ptr)(int) = hooked;

/* File offset of hooked() in /proc/self/exe. Returns 0 or -errno. */
static int hooked_offset(uint64_t *out)
{
	uint64_t start, end, offset, address = (uintptr_t)hooked_ptr;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "re");
	int rc = -ENOENT;

	if (!f)
		return -errno;
	while (rc && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 &&
		    address >= start && address < end) {
			*out = address - start + offset;
			rc = 0;
		}
	}
	fclose(f);
	return rc;
}

/* In the child: nothing but leaving is allowed. */
static void forbid_all_but_exit(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog filter = {.len = ARRAY_LEN(code), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		_exit(2);
}

/* True when a child under the filter came back from the hooked function with its result. */
static bool child_survives(void)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return false;
	if (pid == 0) {
		forbid_all_but_exit();
		_exit(hooked_ptr(41) == 42 ? 0 : 1);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Loads the counting program for this kind of link. NULL with errno set. */
static struct calib_bpf *load_for(enum attach_kind kind)
{
	struct calib_bpf *skel = calib_bpf__open();
	int rc;

	if (!skel)
		return NULL;
	bpf_program__set_expected_attach_type(skel->progs.count_hit, uprobe_attach_type(kind));
	rc = calib_bpf__load(skel);
	if (!rc)
		return skel;
	calib_bpf__destroy(skel);
	errno = -rc;
	return NULL;
}

struct own_site {
	int exe_fd;
	uint64_t offset;
};

/* Arms the hooked function and returns the fd that holds the probe, or -errno. */
static int arm_own(struct calib_bpf *skel, enum attach_kind kind, const struct own_site *site,
		   bool on_return)
{
	struct uprobe_spec spec = {
		.prog_fd = bpf_program__fd(skel->progs.count_hit),
		.file_fd = site->exe_fd,
		.offsets = &site->offset,
		.count = 1,
		.on_return = on_return,
	};
	int fd, rc = uprobe_arm(kind, &spec, &fd);

	return rc < 0 ? rc : fd;
}

/* 0 when this kind of link can be made here and fires, else -errno. */
static int try_kind(enum attach_kind kind, const struct own_site *site)
{
	struct calib_bpf *skel = load_for(kind);
	int fd, rc = 0;

	if (!skel)
		return -errno;
	fd = arm_own(skel, kind, site, false);
	if (fd < 0) {
		rc = fd;
	} else {
		hooked_ptr(1);
		if (!skel->bss->hits)
			rc = -ENOTSUP;
		close(fd);
	}
	calib_bpf__destroy(skel);
	return rc;
}

/* A return probe that was not hit proves nothing, so the hit counts too. */
static bool trampoline_survives(enum attach_kind kind, const struct own_site *site)
{
	struct calib_bpf *skel = load_for(kind);
	bool safe = false;
	int fd;

	if (!skel)
		return false;
	fd = arm_own(skel, kind, site, true);
	if (fd >= 0) {
		safe = child_survives() && skel->bss->hits > 0;
		close(fd);
	}
	calib_bpf__destroy(skel);
	return safe;
}

__attribute__((format(printf, 2, 0))) static int libbpf_to_log(enum libbpf_print_level level,
							       const char *format, va_list args)
{
	char line[1024];
	size_t len;

	if (level == LIBBPF_DEBUG || !log_enabled(LOG_LEVEL_DEBUG))
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	len = strcspn(line, "\n");
	log_debug("libbpf", "%.*s", (int)len, line);
	return 0;
}

static int explain(int rc, char *err, size_t err_size)
{
	if (rc == -EPERM || rc == -EACCES) {
		snprintf(err, err_size,
			 "no privilege to load BPF and attach probes: run as root (needs CAP_BPF, "
			 "CAP_PERFMON, CAP_SYS_PTRACE and, where uprobe_multi is missing, "
			 "CAP_SYS_ADMIN), outside of an unprivileged container");
		return -EPERM;
	}
	snprintf(err, err_size,
		 "this kernel cannot run the probes (%s): Linux 5.10 or newer with BPF and uprobe "
		 "events is needed",
		 strerror(-rc));
	return -ENOTSUP;
}

static int find_own_site(struct own_site *out)
{
	int rc;

	out->exe_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (out->exe_fd < 0)
		return -errno;
	rc = hooked_offset(&out->offset);
	if (rc)
		closep(&out->exe_fd);
	return rc;
}

int calibrate(struct probe_caps *out, char *err, size_t err_size)
{
	struct probe_caps caps = {0};
	struct utsname uts;
	struct own_site site;
	enum attach_kind plain;
	int rc;

	libbpf_set_print(libbpf_to_log);
	if (!uname(&uts))
		slice_copy(caps.kernel_release, sizeof(caps.kernel_release), slice_of(uts.release));
	caps.btf = access(BTF_PATH, R_OK) == 0;
	if (!caps.btf) {
		snprintf(err, err_size,
			 "no kernel type information at " BTF_PATH ": a kernel built with "
			 "CONFIG_DEBUG_INFO_BTF=y is needed (Linux 5.10 or newer)");
		return -ENOTSUP;
	}
	rc = find_own_site(&site);
	if (rc)
		return explain(rc, err, err_size);
	caps.session = try_kind(ATTACH_SESSION, &site) == 0;
	caps.multi = try_kind(ATTACH_MULTI, &site) == 0;
	plain = caps.multi ? ATTACH_MULTI : ATTACH_PERF;
	rc = caps.multi ? 0 : try_kind(ATTACH_PERF, &site);
	if (!rc) {
		caps.trampoline_safe = trampoline_survives(plain, &site);
		caps.returns = caps.trampoline_safe ? RETURN_TRAMPOLINE : RETURN_SITES;
		caps.attach = caps.session && caps.trampoline_safe ? ATTACH_SESSION : plain;
		*out = caps;
	}
	close(site.exe_fd);
	return rc ? explain(rc, err, err_size) : 0;
}
