/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/privsep/channel.h"
#include "agent/privsep/serve.h"

/* Its word of refusal is for the log of an agent; a command asks for it again. */
static _Noreturn void child(int control_fd, const struct probe_opts *opts, pid_t parent)
{
	const struct serve_opts serve = {
		.probes = *opts, .control_fd = control_fd, .supervisor = parent};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null >= 0)
		dup2(null, STDERR_FILENO);
	_exit(broker_serve(&serve));
}

/* Why it did not start: by trying the same in this process. */
static int explain(const struct probe_opts *opts, char *err, size_t err_size)
{
	struct probes *probes = NULL;
	int rc = probes_new(&probes, opts, err, err_size);

	probes_free(probes);
	if (!rc)
		snprintf(err, err_size, "the broker process could not be started");
	return rc ? rc : -EPERM;
}

static int greet(struct local_broker *out)
{
	const struct own_started started = {.which = OWN_WORKER, .pid = (uint32_t)getpid()};
	int pair[2], rc = channel_pair(pair);

	if (rc)
		return rc;
	rc = channel_want_credentials(pair[1]);
	if (!rc)
		rc = channel_send(out->control_fd, &started, sizeof(started), pair[1]);
	close(pair[1]);
	if (!rc)
		return broker_connect(&out->broker, pair[0], NULL, BROKER_START_MS);
	close(pair[0]);
	return rc;
}

int local_broker_start(struct local_broker *out, const struct probe_opts *opts, char *err,
		       size_t err_size)
{
	struct local_broker local = {0};
	pid_t parent = getpid();
	int pair[2];

	if (channel_pair(pair)) {
		snprintf(err, err_size, "no sockets: %s", strerror(errno));
		return -errno;
	}
	fflush(NULL);
	local.control_fd = pair[0];
	local.pid = fork();
	if (local.pid == 0) {
		close(pair[0]);
		child(pair[1], opts, parent);
	}
	close(pair[1]);
	if (local.pid < 0 || greet(&local)) {
		local_broker_stop(&local);
		return explain(opts, err, err_size);
	}
	*out = local;
	return 0;
}

void local_broker_stop(struct local_broker *local)
{
	broker_close(local->broker);
	local->broker = NULL;
	if (local->pid)
		closep(&local->control_fd);
	while (local->pid > 0 && waitpid(local->pid, NULL, 0) < 0 && errno == EINTR)
		;
	local->pid = 0;
}
