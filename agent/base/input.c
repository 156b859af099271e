/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/input.h"

#include <errno.h>
#include <fcntl.h>

static int (*route)(void *user, const char *path);
static void *route_user;

void input_route(int (*open_path)(void *user, const char *path), void *user)
{
	route = open_path;
	route_user = user;
}

int input_open(const char *path)
{
	int fd;

	if (route)
		return route(route_user, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}
