/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/batch_dates.h"

#include "agent/base/counters.h"

#include <errno.h>

struct date {
	uint8_t object[16];
	int64_t us; /* 0 = a free place */
};

struct batch_dates {
	size_t next; /* place of the one told first */
	struct date date[BATCH_DATES_MAX];
};

int batch_dates_new(struct batch_dates **out)
{
	struct batch_dates *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	*out = d;
	return 0;
}

void batch_dates_free(struct batch_dates *d)
{
	free(d);
}

static size_t find(const struct batch_dates *d, const uint8_t object[16])
{
	size_t i = 0;

	while (i < BATCH_DATES_MAX &&
	       (!d->date[i].us || memcmp(d->date[i].object, object, sizeof(d->date[i].object))))
		i++;
	return i;
}

void batch_dates_note(struct batch_dates *d, const uint8_t object[16], int64_t us)
{
	struct date *date;
	size_t i;

	if (!d || us <= 0)
		return;
	i = find(d, object);
	if (i < BATCH_DATES_MAX) {
		d->date[i].us = us;
		return;
	}
	date = &d->date[d->next];
	counter_add(COUNTER_BATCH_DATES_EVICTED, date->us != 0);
	memcpy(date->object, object, sizeof(date->object));
	date->us = us;
	d->next = (d->next + 1) % BATCH_DATES_MAX;
}

int64_t batch_dates_find(const struct batch_dates *d, const uint8_t object[16])
{
	size_t i = d ? find(d, object) : BATCH_DATES_MAX;

	return i < BATCH_DATES_MAX ? d->date[i].us : 0;
}
