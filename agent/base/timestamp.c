/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/timestamp.h"

#include <time.h>

#define US_PER_SECOND  1000000LL
#define SECONDS_MIN    ((TIMESTAMP_YEAR_MIN - 1970) * 31557600LL)
#define SECONDS_MAX    ((TIMESTAMP_YEAR_MAX - 1970) * 31557600LL)
#define SECONDS_DIGITS 11

/* Takes so many digits, or at most so many, off the front; false when they are not there. */
static bool take_digits(struct slice *s, size_t least, size_t most, int64_t *out)
{
	size_t n = 0;

	for (*out = 0; n < s->len && n < most && s->ptr[n] >= '0' && s->ptr[n] <= '9'; n++)
		*out = *out * 10 + (s->ptr[n] - '0');
	s->ptr += n;
	s->len -= n;
	return n >= least;
}

static bool take_char(struct slice *s, const char *any)
{
	if (!s->len || !s->ptr[0] || !strchr(any, s->ptr[0]))
		return false;
	s->ptr++;
	s->len--;
	return true;
}

static bool take_number(struct slice *s, int64_t from, int64_t to, int *out)
{
	int64_t n;

	if (!take_digits(s, 2, 2, &n) || n < from || n > to)
		return false;
	*out = (int)n;
	return true;
}

/* Into microseconds; digits beyond are dropped. */
static bool take_fraction(struct slice *s, int64_t *us)
{
	int64_t unit = US_PER_SECOND, digit;

	*us = 0;
	if (!take_char(s, "."))
		return true;
	if (!take_digits(s, 1, 1, &digit))
		return false;
	do {
		unit /= 10;
		*us += unit * digit;
	} while (take_digits(s, 1, 1, &digit));
	return true;
}

static bool take_offset(struct slice *s, int64_t *seconds)
{
	bool east = s->len && s->ptr[0] == '+';
	int hours, minutes;

	*seconds = 0;
	if (take_char(s, "Zz"))
		return true;
	if (!take_char(s, "+-") || !take_number(s, 0, 23, &hours) || !take_char(s, ":") ||
	    !take_number(s, 0, 59, &minutes))
		return false;
	*seconds = (east ? 60 : -60) * (60LL * hours + minutes);
	return true;
}

static bool parse_rfc3339(struct slice s, int64_t *us)
{
	int64_t year, offset, fraction;
	struct tm tm = {0};

	if (!take_digits(&s, 4, 4, &year) || !take_char(&s, "-") ||
	    !take_number(&s, 1, 12, &tm.tm_mon) || !take_char(&s, "-") ||
	    !take_number(&s, 1, 31, &tm.tm_mday) || !take_char(&s, "Tt ") ||
	    !take_number(&s, 0, 23, &tm.tm_hour) || !take_char(&s, ":") ||
	    !take_number(&s, 0, 59, &tm.tm_min) || !take_char(&s, ":") ||
	    !take_number(&s, 0, 60, &tm.tm_sec) || !take_fraction(&s, &fraction) ||
	    !take_offset(&s, &offset) || s.len)
		return false;
	tm.tm_year = (int)year - 1900;
	tm.tm_mon--;
	*us = ((int64_t)timegm(&tm) - offset) * US_PER_SECOND + fraction;
	return true;
}

static bool parse_seconds(struct slice s, int64_t *us)
{
	int64_t seconds, fraction;

	if (!take_digits(&s, 1, SECONDS_DIGITS, &seconds) || !take_fraction(&s, &fraction) || s.len)
		return false;
	*us = seconds * US_PER_SECOND + fraction;
	return true;
}

bool timestamp_parse(struct slice text, int64_t *us)
{
	int64_t found;

	if (!parse_seconds(text, &found) && !parse_rfc3339(text, &found))
		return false;
	if (found < SECONDS_MIN * US_PER_SECOND || found >= SECONDS_MAX * US_PER_SECOND)
		return false;
	*us = found;
	return true;
}
