/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/lifeline.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct lifeline {
	_Atomic uint32_t holder; /* its thread id; the kernel adds FUTEX_OWNER_DIED */
};

struct lifeline *lifeline_new(void)
{
	void *page = mmap(NULL, sizeof(struct lifeline), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

void lifeline_free(struct lifeline *l)
{
	if (l)
		munmap(l, sizeof(*l));
}

/* The list of one lies in memory of our own: who shares the page leads the kernel nowhere. */
int lifeline_hold(struct lifeline *l)
{
	static struct robust_list_head head;
	static struct robust_list item;

	item.next = &head.list;
	head.list.next = &item;
	head.futex_offset = (long)((uintptr_t)&l->holder - (uintptr_t)&item);
	l->holder = (uint32_t)gettid();
	if (madvise(l, sizeof(*l), MADV_DONTFORK) || /* children hold nothing of it */
	    syscall(SYS_set_robust_list, &head, sizeof(head)))
		return -errno;
	return 0;
}

int lifeline_watch(struct lifeline *l)
{
	return mprotect(l, sizeof(*l), PROT_READ) ? -errno : 0;
}

bool lifeline_is_cut(const struct lifeline *l)
{
	return l && l->holder & FUTEX_OWNER_DIED;
}
