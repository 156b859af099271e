/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/calendar.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define US_PER_S  1000000LL
#define S_PER_DAY 86400LL

/* No offset is a day long, so a local time lies this near to the same digits in UTC. */
#define OFFSET_MAX_S (26 * 3600LL)
/* Clocks are not changed twice in it. */
#define CHANGE_STEP_S (3 * 3600LL)

const char *const calendar_unit_names[CALENDAR_UNITS] = {"hour", "day", "week", "month"};

static char zone_in_force[64] = CALENDAR_UTC;

static bool is_utc(void)
{
	return !strcmp(zone_in_force, CALENDAR_UTC);
}

/* ---- zones ------------------------------------------------------------------------------- */

/* libc takes an unknown zone for UTC and says nothing, so its file is looked for first. */
static bool zone_exists(const char *zone)
{
	const char *dir = getenv("TZDIR");
	char path[PATH_MAX], magic[4];
	int n, fd;
	bool found;

	if (!*zone || *zone == '/' || strstr(zone, "..") || strchr(zone, ':'))
		return false;
	n = snprintf(path, sizeof(path), "%s/%s", dir ? dir : "/usr/share/zoneinfo", zone);
	if (n < 0 || (size_t)n >= sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	/* RFC 8536 section 3.1 */
	found = read(fd, magic, sizeof(magic)) == sizeof(magic) && !memcmp(magic, "TZif", 4);
	close(fd);
	return found;
}

int calendar_use(const char *zone, char *err, size_t err_size)
{
	char tz[sizeof(zone_in_force) + 1];

	if (strlen(zone) >= sizeof(zone_in_force) ||
	    (strcmp(zone, CALENDAR_UTC) != 0 && !zone_exists(zone))) {
		snprintf(err, err_size,
			 "unknown time zone '%.60s'; write a name like Europe/Berlin or UTC%s",
			 zone,
			 zone_exists("Europe/Berlin") ? "" : " (install tzdata: it is not there)");
		return -EINVAL;
	}
	snprintf(tz, sizeof(tz), ":%s", zone);
	if (setenv("TZ", tz, 1)) {
		snprintf(err, err_size, "no memory for the time zone");
		return -EINVAL;
	}
	tzset();
	snprintf(zone_in_force, sizeof(zone_in_force), "%s", zone);
	return 0;
}

const char *calendar_zone(void)
{
	return zone_in_force;
}

/* Seconds east of UTC at a moment. */
static int64_t offset_at(int64_t s)
{
	time_t when = (time_t)s;
	struct tm tm = {0};

	if (!is_utc())
		localtime_r(&when, &tm);
	return tm.tm_gmtoff;
}

/* The first second after `from` with another offset than it has; `to` has one. */
static int64_t change_between(int64_t from, int64_t to)
{
	int64_t offset = offset_at(from);

	while (to - from > 1) {
		int64_t middle = from + (to - from) / 2;

		if (offset_at(middle) == offset)
			from = middle;
		else
			to = middle;
	}
	return to;
}

/* The first moment at which the zone's clocks show this time or a later one. */
static int64_t first_moment(int64_t local)
{
	int64_t s = local - OFFSET_MAX_S;

	for (;;) {
		int64_t offset = offset_at(s), next = s + CHANGE_STEP_S;
		int64_t wanted = local - offset > s ? local - offset : s;

		if (offset_at(next) != offset)
			next = change_between(s, next);
		if (wanted < next)
			return wanted;
		s = next;
	}
}

/* ---- periods ----------------------------------------------------------------------------- */

static int64_t floor_to(int64_t value, int64_t unit)
{
	int64_t rest = value % unit;

	return value - (rest < 0 ? rest + unit : rest);
}

static int64_t us_of(int64_t s)
{
	int64_t us;

	if (__builtin_mul_overflow(s, US_PER_S, &us))
		return s < 0 ? INT64_MIN : INT64_MAX;
	return us;
}

static int64_t second_of(int64_t us)
{
	return us / US_PER_S - (us % US_PER_S < 0);
}

static struct tm fields_of(int64_t local)
{
	time_t when = (time_t)local;
	struct tm tm = {0};

	gmtime_r(&when, &tm);
	return tm;
}

/* Where the period of a date begins, and the next one, in local time at 00:00. */
static void period_bounds(enum calendar_unit unit, int64_t local, int64_t *begin, int64_t *end)
{
	int64_t day = floor_to(local, S_PER_DAY);
	struct tm tm = fields_of(day);

	if (unit == CALENDAR_DAY) {
		*begin = day;
		*end = day + S_PER_DAY;
	} else if (unit == CALENDAR_WEEK) {
		*begin = day - (tm.tm_wday + 6) % 7 * S_PER_DAY;
		*end = *begin + 7 * S_PER_DAY;
	} else {
		*begin = day - (tm.tm_mday - 1) * S_PER_DAY;
		tm.tm_mday = 1;
		tm.tm_mon++;
		*end = (int64_t)timegm(&tm);
	}
}

static void put_offset(char *dst, size_t size, int64_t offset)
{
	int64_t s = offset < 0 ? -offset : offset;
	int n = snprintf(dst, size, "%c%02lld:%02lld", offset < 0 ? '-' : '+',
			 (long long)(s / 3600), (long long)(s / 60 % 60));

	if (s % 60 && n > 0 && (size_t)n < size) /* local mean time, before there were zones */
		snprintf(dst + n, size - (size_t)n, ":%02lld", (long long)(s % 60));
}

static void put_label(enum calendar_unit unit, int64_t local, int64_t offset, char *dst)
{
	struct tm tm = fields_of(local);
	size_t n;

	switch (unit) {
	case CALENDAR_HOUR:
		n = strftime(dst, CALENDAR_LABEL_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
		if (is_utc())
			snprintf(dst + n, CALENDAR_LABEL_MAX - n, "Z");
		else
			put_offset(dst + n, CALENDAR_LABEL_MAX - n, offset);
		break;
	case CALENDAR_WEEK:
		strftime(dst, CALENDAR_LABEL_MAX, "%G-W%V", &tm);
		break;
	case CALENDAR_MONTH:
		strftime(dst, CALENDAR_LABEL_MAX, "%Y-%m", &tm);
		break;
	default:
		strftime(dst, CALENDAR_LABEL_MAX, "%Y-%m-%d", &tm);
	}
}

static void hour_at(int64_t s, struct calendar_span *out)
{
	int64_t offset = offset_at(s);
	int64_t begin = floor_to(s + offset, 3600) - offset;
	int64_t end = begin + 3600;

	if (offset_at(end - 1) != offset)
		end = change_between(s, end - 1);
	if (offset_at(begin) != offset)
		begin = change_between(begin, s);
	out->since_us = us_of(begin);
	out->until_us = us_of(end);
	put_label(CALENDAR_HOUR, begin + offset, offset, out->label);
}

/* Clocks that are set back over midnight show a date again; the day that has begun goes on. */
static void date_at(enum calendar_unit unit, int64_t s, struct calendar_span *out)
{
	int64_t begin, end, since, until;

	period_bounds(unit, s + offset_at(s), &begin, &end);
	since = first_moment(begin);
	until = first_moment(end);
	while (until <= s) {
		period_bounds(unit, end, &begin, &end);
		since = until;
		until = first_moment(end);
	}
	out->since_us = us_of(since);
	out->until_us = us_of(until);
	put_label(unit, begin, 0, out->label);
}

void calendar_span_at(enum calendar_unit unit, int64_t at_us, struct calendar_span *out)
{
	int64_t s = second_of(at_us);

	if (unit == CALENDAR_HOUR)
		hour_at(s, out);
	else
		date_at(unit, s, out);
}

void calendar_span_move(enum calendar_unit unit, int64_t at_us, struct calendar_span *span)
{
	if (at_us < span->since_us || at_us >= span->until_us)
		calendar_span_at(unit, at_us, span);
}

void calendar_span_next(enum calendar_unit unit, struct calendar_span *span)
{
	calendar_span_at(unit, span->until_us, span);
}

int calendar_weekday(int64_t at_us)
{
	int64_t s = second_of(at_us);

	return (fields_of(s + offset_at(s)).tm_wday + 6) % 7;
}

bool calendar_unit_parse(struct slice name, enum calendar_unit *out)
{
	for (int unit = 0; unit < CALENDAR_UNITS; unit++) {
		if (slice_eq(name, slice_of(calendar_unit_names[unit]))) {
			*out = (enum calendar_unit)unit;
			return true;
		}
	}
	return false;
}

/* ---- texts ------------------------------------------------------------------------------- */

/* Reads what form says: a letter of "YMDhmsw" is a digit of that number, all else itself. */
static bool scan(const char **text, const char *form, struct tm *tm, int *week)
{
	static const char letters[] = "YMDhmsw";
	int *const numbers[] = {&tm->tm_year, &tm->tm_mon, &tm->tm_mday, &tm->tm_hour,
				&tm->tm_min,  &tm->tm_sec, week};
	const char *p = *text;

	for (; *form; form++, p++) {
		const char *letter = strchr(letters, *form);
		int *number = letter ? numbers[letter - letters] : NULL;

		if (number ? !isdigit((unsigned char)*p) : *p != *form)
			return false;
		if (number)
			*number = *number * 10 + (*p - '0');
	}
	*text = p;
	return true;
}

/* Numbers as scanned, so 1 is January, as local time. False when the calendar has no such time. */
static bool local_of(const struct tm *scanned, int64_t *local)
{
	struct tm tm = *scanned, found;

	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*local = (int64_t)timegm(&tm);
	found = fields_of(*local);
	return found.tm_year == scanned->tm_year - 1900 && found.tm_mon == scanned->tm_mon - 1 &&
	       found.tm_mday == scanned->tm_mday && found.tm_hour == scanned->tm_hour &&
	       found.tm_min == scanned->tm_min && found.tm_sec == scanned->tm_sec;
}

/* The date on which the period of a label begins. */
static bool label_date(const char *label, enum calendar_unit *unit, int64_t *local)
{
	static const struct {
		enum calendar_unit unit;
		const char *form;
	} forms[] = {{CALENDAR_DAY, "YYYY-MM-DD"},
		     {CALENDAR_WEEK, "YYYY-Www"},
		     {CALENDAR_MONTH, "YYYY-MM"}};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct tm tm = {0};
		const char *p = label;
		int64_t begin, end;
		int week = 0;

		if (!scan(&p, forms[i].form, &tm, &week) || *p)
			continue;
		*unit = forms[i].unit;
		if (*unit == CALENDAR_WEEK) { /* the 4th of January is in week 1 */
			tm.tm_mon = 1;
			tm.tm_mday = 4;
		} else if (*unit == CALENDAR_MONTH) {
			tm.tm_mday = 1;
		}
		if (!local_of(&tm, local))
			return false;
		if (*unit == CALENDAR_WEEK) {
			period_bounds(CALENDAR_WEEK, *local, &begin, &end);
			*local = begin + (week - 1) * 7 * S_PER_DAY;
		}
		return true;
	}
	return false;
}

static bool date_label(const char *label, struct calendar_span *out)
{
	int64_t local, begin, end, since;
	enum calendar_unit unit;

	if (!label_date(label, &unit, &local))
		return false;
	period_bounds(unit, local, &begin, &end);
	since = first_moment(begin);
	if (since == first_moment(end))
		return false; /* a day that the zone left out when it crossed the date line */
	calendar_span_at(unit, us_of(since), out);
	return !strcmp(out->label, label);
}

/* "", "Z" or an offset behind a time. */
static bool scan_offset(const char *p, bool *known, int64_t *offset)
{
	bool west = *p == '-';
	struct tm tm = {0};

	*offset = 0;
	*known = *p != '\0';
	if (!*known || !strcmp(p, "Z"))
		return true;
	if (*p != '+' && *p != '-')
		return false;
	p++;
	if (!scan(&p, "hh:mm", &tm, NULL) || tm.tm_hour > 23 || tm.tm_min > 59)
		return false;
	if (*p && !scan(&p, ":ss", &tm, NULL))
		return false;
	*offset = (west ? -1 : 1) * (tm.tm_hour * 3600LL + tm.tm_min * 60LL + tm.tm_sec);
	return *p == '\0';
}

static int64_t scan_fraction(const char **text)
{
	const char *p = *text;
	int64_t us = 0, unit = US_PER_S / 10;

	if (*p != '.' || !isdigit((unsigned char)p[1]))
		return 0;
	for (p++; isdigit((unsigned char)*p); p++, unit /= 10)
		us += (*p - '0') * unit;
	*text = p;
	return us;
}

static bool clock_time(const char *text, int64_t *us)
{
	int64_t local, offset, fraction = 0, s;
	struct tm tm = {0};
	bool known;

	if (!scan(&text, "YYYY-MM-DDThh:mm", &tm, NULL))
		return false;
	if (scan(&text, ":ss", &tm, NULL))
		fraction = scan_fraction(&text);
	if (!local_of(&tm, &local) || !scan_offset(text, &known, &offset))
		return false;
	s = known ? local - offset : first_moment(local);
	*us = us_of(s) + fraction;
	return known || s + offset_at(s) == local;
}

bool calendar_label(const char *label, struct calendar_span *out)
{
	struct calendar_span span;
	int64_t us;

	if (date_label(label, &span)) {
		*out = span;
		return true;
	}
	if (!clock_time(label, &us))
		return false;
	calendar_span_at(CALENDAR_HOUR, us, &span);
	if (strcmp(span.label, label) != 0)
		return false;
	*out = span;
	return true;
}

bool calendar_time(const char *text, int64_t *us)
{
	struct calendar_span span;

	if (!date_label(text, &span))
		return clock_time(text, us);
	*us = span.since_us;
	return true;
}
