/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hours, days, ISO weeks and months of the time zone that reports are made for. Zones come from the
 * system's database, read by libc: there is one in force per process, UTC until calendar_use.
 *
 * A period is one span of time without holes. A day begins at the first moment with its date, so it
 * has 23 or 25 hours where clocks change, and may begin at 01:00 where midnight is left out. An
 * hour ends where the clock is changed: an hour that comes twice is two, told apart by the offset.
 */
#ifndef TT_CALENDAR_H
#define TT_CALENDAR_H

#include "agent/base/base.h"

#define CALENDAR_LABEL_MAX 40
#define CALENDAR_UTC	   "UTC"

enum calendar_unit {
	CALENDAR_HOUR,	/* "2026-10-25T02:00:00+01:00", in UTC "2026-10-25T02:00:00Z" */
	CALENDAR_DAY,	/* "2026-10-25" */
	CALENDAR_WEEK,	/* "2026-W43": ISO 8601, from Monday on */
	CALENDAR_MONTH, /* "2026-10" */
	CALENDAR_UNITS
};

extern const char *const calendar_unit_names[CALENDAR_UNITS]; /* "hour", ... */

struct calendar_span {
	int64_t since_us; /* Unix time, inclusive */
	int64_t until_us; /* exclusive */
	char label[CALENDAR_LABEL_MAX];
};

/*
 * Takes the zone into force: a name of the time zone database. It changes the process's TZ, so call
 * it before there are threads. Returns 0, or -EINVAL with one line in err and the old zone kept.
 */
int calendar_use(const char *zone, char *err, size_t err_size) TT_MUST_CHECK;
const char *calendar_zone(void);

/* "hour", "day", "week" or "month". */
bool calendar_unit_parse(struct slice name, enum calendar_unit *out) TT_MUST_CHECK;

/* The period of that unit in which a moment lies. */
void calendar_span_at(enum calendar_unit unit, int64_t at_us, struct calendar_span *out);
/* The same into a span of that unit, or of zeros; costs next to nothing when it holds the moment.
 */
void calendar_span_move(enum calendar_unit unit, int64_t at_us, struct calendar_span *span);
/* The period that begins where this one ends. */
void calendar_span_next(enum calendar_unit unit, struct calendar_span *span);
/* 0 = Monday to 6 = Sunday, of the date in the zone. */
int calendar_weekday(int64_t at_us);

/*
 * The period a label stands for, as calendar_span_at writes it. False when it stands for none in
 * this zone: 2026-02-31, week 53 of a year with 52, a day or an hour that was left out.
 */
bool calendar_label(const char *label, struct calendar_span *out) TT_MUST_CHECK;

/*
 * A moment as people write it: a label of a day, week or month (its beginning), or
 * "2026-11-22T06:33", with ":15" and a fraction if you like, and with "Z" or "+02:00" behind it;
 * without these the zone's time, the first of two where it comes twice. False when it is neither,
 * or a time that the zone leaves out.
 */
bool calendar_time(const char *text, int64_t *us) TT_MUST_CHECK;

#endif
