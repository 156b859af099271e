/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/base.h"

#include <unistd.h>

bool slice_copy(char *dst, size_t size, struct slice src)
{
	size_t n = src.len < size ? src.len : size - 1;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = src.ptr[i];

		dst[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	dst[n] = '\0';
	return n == src.len;
}

void freep(void *p)
{
	free(*(void **)p);
}

void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
