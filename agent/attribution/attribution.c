/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/attribution.h"

#include "agent/attribution/ancestry.h"
#include "agent/attribution/container_names.h"
#include "agent/base/procfs.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#define BUCKETS		     2048
#define USERS_MAX	     256
#define ENVIRON_MAX	     (2u << 20) /* bytes read of one environment: what exec takes by default */
#define CGROUP_BYTES	     8192	/* of one /proc/PID/cgroup */
#define ARGUMENTS_BYTES	     4096	/* of one /proc/PID/cmdline: its beginning */
#define PROGRAM_FORK_LATE_NS (5 * NSEC_PER_SEC) /* no number is used again so soon */
#define START_SLACK	     1 /* ticks by which two clocks may round one start apart */

struct known {
	struct known *next; /* in its bucket */
	uint64_t start_ticks;
	uint64_t last_use; /* attribution.uses when it was last asked for */
	uint64_t exit_ns;  /* 0 = it lives, as far as is known */
	bool complete;	   /* /proc was read */
	bool cgroup_v1;	   /* its control group is one that only version 1 knows */
	bool ancestry_read;
	bool login_known;
	uint32_t login_uid;
	bool environ_read; /* as a whole, from there */
	bool opted_out;
	bool opting_told;
	struct workload workload;
	struct tag *tags;
	uint32_t tag_count;
};

struct program {
	uint32_t pid;	  /* 0: free */
	uint64_t told_ns; /* of the tick before */
	char exe[CALL_PATH_MAX];
};

struct user_name {
	bool used;
	uint32_t uid;
	char name[64];
};

struct attribution {
	struct broker *broker;
	struct container_names *names;	     /* NULL: none are ever known */
	struct argument_patterns *arguments; /* NULL: nothing is kept of them */
	uint64_t tick_ns;		     /* length of a clock tick of /proc */
	uint64_t now_ns;
	uint64_t uses;
	struct known *bucket[BUCKETS];
	size_t count;
	struct program programs[ATTRIBUTION_PROGRAMS]; /* by pid */
	struct user_name users[USERS_MAX];
	size_t next_user;
	bool minimal;
};

int attribution_new(struct attribution **out, struct broker *broker)
{
	struct attribution *a = calloc(1, sizeof(*a));
	long ticks = sysconf(_SC_CLK_TCK);

	if (!a)
		return -ENOMEM;
	a->broker = broker;
	a->tick_ns = NSEC_PER_SEC / (uint64_t)(ticks > 0 ? ticks : 100);
	*out = a;
	return 0;
}

static void known_remove(struct attribution *a, struct known *known)
{
	struct known **at = &a->bucket[known->workload.pid % BUCKETS];

	while (*at != known)
		at = &(*at)->next;
	*at = known->next;
	a->count--;
	free(known->tags);
	free(known);
}

void attribution_free(struct attribution *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (a->bucket[i])
			known_remove(a, a->bucket[i]);
	}
	container_names_free(a->names);
	argument_patterns_free(a->arguments);
	free(a);
}

void attribution_allow_arguments(struct attribution *a, struct argument_patterns *patterns)
{
	argument_patterns_free(a->arguments);
	a->arguments = patterns;
}

int attribution_use_courier(struct attribution *a, struct courier_client *client)
{
	return container_names_new(&a->names, client);
}

void attribution_minimal(struct attribution *a, bool minimal)
{
	a->minimal = minimal;
}

/* ---- the table ------------------------------------------------------------------------------ */

static struct known *known_find(struct attribution *a, uint32_t pid, uint64_t start_ticks)
{
	for (struct known *k = a->bucket[pid % BUCKETS]; k; k = k->next) {
		if (k->workload.pid == pid && k->start_ticks <= start_ticks + START_SLACK &&
		    start_ticks <= k->start_ticks + START_SLACK) {
			k->last_use = ++a->uses;
			return k;
		}
	}
	return NULL;
}

/* The one to give up: of those that ended, else of all, the one unused for longest. */
static struct known *known_oldest(struct attribution *a)
{
	struct known *oldest = NULL;

	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct known *k = a->bucket[i]; k; k = k->next) {
			bool ended = k->exit_ns != 0, best_ended = oldest && oldest->exit_ns != 0;

			if (!oldest || (ended && !best_ended) ||
			    (ended == best_ended && k->last_use < oldest->last_use))
				oldest = k;
		}
	}
	return oldest;
}

/* Finds or makes the entry; NULL only when memory is short. */
static struct known *known_get(struct attribution *a, uint32_t pid, uint64_t start_ticks)
{
	struct known *known = known_find(a, pid, start_ticks);

	if (known)
		return known;
	if (a->count == ATTRIBUTION_PROCESSES_MAX)
		known_remove(a, known_oldest(a));
	known = calloc(1, sizeof(*known));
	if (!known)
		return NULL;
	known->workload.pid = pid;
	known->start_ticks = start_ticks;
	known->last_use = ++a->uses;
	known->next = a->bucket[pid % BUCKETS];
	a->bucket[pid % BUCKETS] = known;
	a->count++;
	return known;
}

/* ---- facts ---------------------------------------------------------------------------------- */

static const char *user_name(struct attribution *a, uint32_t uid)
{
	struct user_name *user;
	struct passwd entry, *found = NULL;
	char text[4096];

	for (size_t i = 0; i < USERS_MAX; i++) {
		if (a->users[i].used && a->users[i].uid == uid)
			return a->users[i].name;
	}
	user = &a->users[a->next_user++ % USERS_MAX];
	*user = (struct user_name){.used = true, .uid = uid};
	if (getpwuid_r(uid, &entry, text, sizeof(text), &found) == 0 && found)
		slice_copy(user->name, sizeof(user->name), slice_of(found->pw_name));
	return user->name;
}

static void set_uid(struct attribution *a, struct workload *w, uint32_t uid)
{
	w->uid = uid;
	w->uid_known = true;
	if (a->broker) /* a recording's users are not this machine's */
		slice_copy(w->user, sizeof(w->user), slice_of(user_name(a, uid)));
}

static void set_login(struct attribution *a, struct workload *w, uint32_t uid)
{
	const char *name = a->broker ? user_name(a, uid) : "";

	if (*name)
		slice_copy(w->login, sizeof(w->login), slice_of(name));
	else
		snprintf(w->login, sizeof(w->login), "%u", uid);
}

static void set_cgroup(struct attribution *a, struct known *known, struct slice path)
{
	struct workload *w = &known->workload;
	struct cgroup_facts facts;

	cgroup_read(path, &facts);
	slice_copy(w->cgroup, sizeof(w->cgroup), path);
	memcpy(w->container_id, facts.container_id, sizeof(w->container_id));
	memcpy(w->container, facts.container, sizeof(w->container));
	memcpy(w->pod_uid, facts.pod_uid, sizeof(w->pod_uid));
	memcpy(w->unit, facts.unit, sizeof(w->unit));
	memcpy(w->slice, facts.slice, sizeof(w->slice));
	memcpy(w->login_session, facts.login_session, sizeof(w->login_session));
	w->login[0] = '\0';
	if (known->login_known) /* sudo and su leave it, and move to no other session */
		set_login(a, w, known->login_uid);
	else if (facts.login_known)
		set_login(a, w, facts.login_uid);
}

/*
 * What the probe saw counts, since the process may have moved after /proc was read. It sees groups
 * of version 2 only: the root of these, and a path outside containers where version 1 has the
 * container, say nothing.
 */
static void set_probed_cgroup(struct attribution *a, struct known *known, struct slice path)
{
	struct cgroup_facts facts;

	cgroup_read(path, &facts);
	if (path.len == 0 || (known->cgroup_v1 && !cgroup_is_container(&facts)))
		return;
	known->cgroup_v1 = false;
	set_cgroup(a, known, path);
}

static void want_name(struct attribution *a, const struct workload *w)
{
	if (a->names && w->container_id[0])
		container_names_want(a->names, w->container_id);
}

/* Adds the tags of an environment to what is kept, and keeps nothing else of it. */
static void add_environment(const struct attribution *a, struct known *known, struct slice env)
{
	struct tags tags = {.count = known->tag_count};
	struct tag *kept;

	if (known->tag_count)
		memcpy(tags.item, known->tags, known->tag_count * sizeof(*known->tags));
	if (a->minimal)
		environment_own_tags(env, &tags);
	else
		environment_tags(env, &tags);
	known->opted_out |= environment_opts_out(env);
	if (tags.count == 0)
		return;
	kept = malloc(tags.count * sizeof(*kept));
	if (!kept)
		return;
	memcpy(kept, tags.item, tags.count * sizeof(*kept));
	free(known->tags);
	known->tags = kept;
	known->tag_count = tags.count;
}

/* ---- /proc ---------------------------------------------------------------------------------- */

static ssize_t read_proc(struct attribution *a, uint32_t pid, enum proc_file file, char *dst,
			 size_t size)
{
	_cleanup_(closep) int fd = broker_open_proc(a->broker, pid, file);

	return fd < 0 ? fd : proc_read(fd, dst, size);
}

static bool read_stat(struct attribution *a, uint32_t pid, struct proc_stat *out)
{
	char text[1024];
	ssize_t n = read_proc(a, pid, PROC_STAT, text, sizeof(text));

	return n > 0 && proc_stat_parse((struct slice){text, (size_t)n}, out);
}

static void read_cgroup(struct attribution *a, struct known *known)
{
	struct workload *w = &known->workload;
	char text[CGROUP_BYTES];
	ssize_t n = read_proc(a, w->pid, PROC_CGROUP, text, sizeof(text));
	struct slice path;
	bool unified;

	if (n <= 0)
		return;
	path = cgroup_path((struct slice){text, (size_t)n}, &unified);
	known->cgroup_v1 = !unified;
	set_cgroup(a, known, path);
}

static void read_login(struct attribution *a, struct known *known)
{
	char text[16];
	ssize_t n = read_proc(a, known->workload.pid, PROC_LOGINUID, text, sizeof(text));

	known->login_known =
		n > 0 && proc_uid_parse((struct slice){text, (size_t)n}, &known->login_uid);
}

/* An interpreter's arguments may hold anything: only the name of its script is kept of them. */
static void read_script(struct attribution *a, uint32_t pid, struct ancestor *out)
{
	char text[ARGUMENTS_BYTES];
	ssize_t n = read_proc(a, pid, PROC_CMDLINE, text, sizeof(text));

	if (n <= 0)
		return;
	ancestry_script((struct slice){text, (size_t)n}, out->script, sizeof(out->script));
	explicit_bzero(text, (size_t)n);
}

static void read_arguments(struct attribution *a, struct workload *w)
{
	char text[ARGUMENTS_BYTES];
	ssize_t n = a->arguments ? read_proc(a, w->pid, PROC_CMDLINE, text, sizeof(text)) : 0;

	if (n <= 0)
		return;
	argument_patterns_read(a->arguments, (struct slice){text, (size_t)n}, w->argv,
			       sizeof(w->argv));
	explicit_bzero(text, (size_t)n);
}

static bool read_ancestor(void *user, uint32_t pid, struct ancestor *out)
{
	struct attribution *a = user;
	struct proc_stat stat;
	char exe[CALL_PATH_MAX];

	if (!read_stat(a, pid, &stat))
		return false;
	*out = (struct ancestor){.parent = stat.parent, .start_ticks = stat.start_ticks};
	slice_copy(out->comm, sizeof(out->comm), slice_of(stat.comm));
	if (broker_read_exe(a->broker, pid, exe, sizeof(exe)) == 0)
		slice_copy(out->exe, sizeof(out->exe),
			   path_base(path_without_deleted(slice_of(exe))));
	if (ancestry_is_interpreter(out->exe))
		read_script(a, pid, out);
	return true;
}

/* Once: the parents of one that has lived for a while may have ended. */
static void read_ancestry(struct attribution *a, struct known *known, const struct proc_stat *stat)
{
	if (known->ancestry_read)
		return;
	known->ancestry_read = true;
	ancestry_find(stat->parent, stat->start_ticks, read_ancestor, a, known->workload.started_by,
		      sizeof(known->workload.started_by));
}

static void read_environment(struct attribution *a, struct known *known)
{
	_cleanup_(freep) char *text = malloc(ENVIRON_MAX);
	ssize_t n;

	if (!text)
		return;
	n = read_proc(a, known->workload.pid, PROC_ENVIRON, text, ENVIRON_MAX);
	if (n <= 0)
		return;
	add_environment(a, known, (struct slice){text, (size_t)n});
	known->environ_read = true;
	explicit_bzero(text, (size_t)n);
}

static bool same_start(const struct known *known, const struct proc_stat *stat)
{
	return stat->start_ticks <= known->start_ticks + START_SLACK &&
	       known->start_ticks <= stat->start_ticks + START_SLACK;
}

/*
 * Reads what /proc says now, in place of what it said before an exec. What is read is kept only if
 * the pid belongs to the same process before and after. False: that process is gone.
 */
static bool read_facts(struct attribution *a, struct known *known)
{
	struct known fresh = {.start_ticks = known->start_ticks,
			      .workload.pid = known->workload.pid};
	struct workload *w = &fresh.workload;
	struct proc_stat stat;
	char exe[CALL_PATH_MAX];

	if (!read_stat(a, w->pid, &stat) || !same_start(known, &stat))
		return false;
	slice_copy(w->comm, sizeof(w->comm), slice_of(stat.comm));
	if (broker_read_exe(a->broker, w->pid, exe, sizeof(exe)) == 0)
		slice_copy(w->exe, sizeof(w->exe), path_without_deleted(slice_of(exe)));
	read_login(a, &fresh);
	read_cgroup(a, &fresh);
	read_environment(a, &fresh);
	read_arguments(a, w);
	if (!read_stat(a, w->pid, &stat) || !same_start(known, &stat)) {
		free(fresh.tags);
		return false;
	}
	w->uid = known->workload.uid;
	w->uid_known = known->workload.uid_known;
	w->start_boot_ns = known->workload.start_boot_ns;
	memcpy(w->user, known->workload.user, sizeof(w->user));
	memcpy(w->started_by, known->workload.started_by, sizeof(w->started_by));
	free(known->tags);
	known->workload = fresh.workload;
	known->tags = fresh.tags;
	known->tag_count = fresh.tag_count;
	known->cgroup_v1 = fresh.cgroup_v1;
	known->login_known = fresh.login_known;
	known->login_uid = fresh.login_uid;
	known->environ_read = fresh.environ_read;
	known->opted_out = fresh.opted_out;
	known->complete = true;
	want_name(a, &known->workload);
	read_ancestry(a, known, &stat); /* last: the process itself may end meanwhile */
	return true;
}

void attribution_prefetch(struct attribution *a, uint32_t tgid)
{
	struct proc_stat stat;
	struct known *known;

	if (!a->broker || !read_stat(a, tgid, &stat))
		return;
	known = known_get(a, tgid, stat.start_ticks);
	if (known && !read_facts(a, known))
		known->exit_ns = known->exit_ns ? known->exit_ns : a->now_ns;
}

void attribution_program(struct attribution *a, uint32_t tgid, struct slice exe)
{
	struct program *program = &a->programs[tgid % ATTRIBUTION_PROGRAMS];

	/* Each CPU tells in order, but a child's exec may be heard before the fork that made it. */
	if (exe.len == 0 &&
	    (program->pid != tgid || a->now_ns - program->told_ns < PROGRAM_FORK_LATE_NS))
		return;
	program->pid = exe.len ? tgid : 0;
	program->told_ns = a->now_ns;
	slice_copy(program->exe, sizeof(program->exe), exe);
	/* What was read may be of the program before, even if both have one name. */
	for (struct known *k = a->bucket[tgid % BUCKETS]; k; k = k->next) {
		if (exe.len && k->workload.pid == tgid)
			k->complete = false;
	}
}

/* /proc was too late for its exe. */
static void set_exe(const struct attribution *a, struct workload *w)
{
	const struct program *program = &a->programs[w->pid % ATTRIBUTION_PROGRAMS];

	if (w->exe[0] == '\0' && program->pid == w->pid)
		slice_copy(w->exe, sizeof(w->exe), slice_of(program->exe));
}

/* ---- calls ---------------------------------------------------------------------------------- */

void attribution_open(struct attribution *a, const struct conn_open *open)
{
	struct known *known = known_get(a, open->conn.tgid, open->conn.start_boot_ns / a->tick_ns);
	struct slice comm = slice_of(open->comm);
	char path[CALL_PATH_MAX] = "";
	struct workload *w;

	if (!known)
		return;
	w = &known->workload;
	w->start_boot_ns = open->conn.start_boot_ns;
	/* Another name than /proc gave: the process became another program since. */
	if (a->broker && (!known->complete || !slice_eq(slice_of(w->comm), comm)) &&
	    !read_facts(a, known)) {
		known->exit_ns = known->exit_ns ? known->exit_ns : open->now_ns;
		w->exe[0] = '\0'; /* of the program before; it may have moved since, too */
		set_cgroup(a, known, SLICE(""));
		known->cgroup_v1 = false;
		known->environ_read = false;
	}
	set_exe(a, w);
	set_uid(a, w, open->uid);
	slice_copy(w->comm, sizeof(w->comm), comm);
	if (!known->environ_read) /* else its start is all that the probe has: it says no more */
		add_environment(a, known, open->env);
	if (open->cgroup)
		cgroup_join(open->cgroup, path, sizeof(path));
	set_probed_cgroup(a, known, slice_of(path));
	want_name(a, w);
}

void attribution_exit(struct attribution *a, uint32_t tgid, uint64_t now_ns)
{
	for (struct known *k = a->bucket[tgid % BUCKETS]; k; k = k->next) {
		if (k->workload.pid == tgid && k->exit_ns == 0)
			k->exit_ns = now_ns;
	}
}

void attribution_tick(struct attribution *a, uint64_t now_ns)
{
	a->now_ns = now_ns;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct known *k = a->bucket[i], *next; k; k = next) {
			next = k->next;
			if (k->exit_ns && now_ns > k->exit_ns &&
			    now_ns - k->exit_ns > ATTRIBUTION_KEEP_NS)
				known_remove(a, k);
		}
	}
}

/* The entry of a connection's process, asked of /proc when it was never seen or was given up. */
static struct known *known_of(struct attribution *a, const struct conn_id *conn)
{
	uint64_t ticks = conn->start_boot_ns / a->tick_ns;
	struct known *known = known_find(a, conn->tgid, ticks);

	if (known || !a->broker)
		return known;
	known = known_get(a, conn->tgid, ticks);
	if (known && !read_facts(a, known)) {
		known_remove(a, known);
		return NULL;
	}
	return known;
}

bool attribution_opted_out(struct attribution *a, const struct conn_id *conn, bool *first)
{
	struct known *known = known_find(a, conn->tgid, conn->start_boot_ns / a->tick_ns);

	*first = known && known->opted_out && !known->opting_told;
	if (*first)
		known->opting_told = true;
	return known && known->opted_out;
}

void attribution_fill(struct attribution *a, const struct conn_id *conn, struct call *call)
{
	struct known *known = known_of(a, conn);

	if (known) {
		set_exe(a, &known->workload);
		call->workload = known->workload;
	}
	call->workload.pid = conn->tgid;
	call->workload.start_boot_ns = conn->start_boot_ns;
	for (uint32_t i = 0; known && i < known->tag_count; i++) {
		const struct tag *tag = &known->tags[i];

		tags_set(&call->tags, slice_of(tag->key), slice_of(tag->value), tag->source);
	}
	(void)attribution_name(a, &call->workload, &call->tags);
}

static void take_facts(const struct courier_answer *facts, struct workload *w, struct tags *tags)
{
	const struct {
		enum courier_text text;
		char *dst; /* CALL_NAME_MAX bytes */
	} rows[] = {
		{COURIER_NAME, w->container},
		{COURIER_NAMESPACE, w->namespace_},
		{COURIER_POD, w->pod},
		{COURIER_NODE, w->node},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		slice_copy(rows[i].dst, CALL_NAME_MAX, slice_of(facts->text[rows[i].text]));
	for (uint32_t i = 0; i < facts->tag_count; i++) {
		tags_set(tags, slice_of(facts->tag[i].key), slice_of(facts->tag[i].value), TAG_POD);
		if (!strcmp(facts->tag[i].key, "workload")) /* agent/courier/pods.c */
			slice_copy(w->owner, sizeof(w->owner), slice_of(facts->tag[i].value));
	}
	w->ignored = facts->ignored;
}

bool attribution_name(const struct attribution *a, struct workload *w, struct tags *tags)
{
	const struct courier_answer *facts;
	bool awaited;

	if (!a->names || w->container_id[0] == '\0')
		return true;
	facts = container_names_get(a->names, w->container_id, &awaited);
	if (facts)
		take_facts(facts, w, tags);
	return !awaited;
}

void attribution_each_living(const struct attribution *a, attribution_told *told, void *user)
{
	struct tags unasked;

	for (size_t i = 0; i < BUCKETS; i++) {
		for (const struct known *k = a->bucket[i]; k; k = k->next) {
			struct workload w;

			if (k->exit_ns)
				continue;
			w = k->workload;
			unasked.count = 0;
			(void)attribution_name(a, &w, &unasked); /* as its calls are named */
			told(user, &w);
		}
	}
}

const char *attribution_forbidden_socket(const struct attribution *a)
{
	return a->names ? container_names_forbidden(a->names) : "";
}
