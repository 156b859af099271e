/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap bill import, list: bills from files, and what is stored. */
#include "agent/cli/bill.h"

#include "agent/base/clock.h"
#include "agent/base/hex.h"
#include "agent/cli/output.h"
#include "exporter/bills/import.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- import ------------------------------------------------------------------------------ */

static int read_all(int fd, char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, bytes + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static int slurp(const char *path, char **out, size_t *len)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_(freep) char *bytes = NULL;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > BILL_FILE_MAX_BYTES)
		return -EFBIG;
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	r = read_all(fd, bytes, (size_t)st.st_size);
	if (r)
		return r;
	*len = (size_t)st.st_size;
	*out = TAKE_PTR(bytes);
	return 0;
}

static void hash_bytes(const char *bytes, size_t len, char hex[BILL_SHA256_HEX_MAX])
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, len, (const uint8_t *)bytes);
	sha256_digest(&ctx, sizeof(digest), digest);
	hex_of(hex, digest, sizeof(digest));
}

static void fill_head(const struct bill_flags *flags, const char *path,
		      const struct bill_file *file, struct bill_head *head)
{
	const char *slash = strrchr(path, '/');

	snprintf(head->report, sizeof(head->report), "%s", file->is_focus ? "focus" : "columns");
	snprintf(head->account, sizeof(head->account), "%s", flags->account ? flags->account : "");
	(void)slice_copy(head->name, sizeof(head->name), slice_of(slash ? slash + 1 : path));
	head->from_s = file->from_s;
	head->to_s = file->to_s;
	head->is_money = true;
	head->is_usage = file->has_usage;
}

static const struct output_column import_columns[] = {
	{"import", OUTPUT_LEFT},    {"form", OUTPUT_LEFT},  {"from", OUTPUT_LEFT},
	{"to", OUTPUT_LEFT},	    {"rows", OUTPUT_RIGHT}, {"replaced", OUTPUT_RIGHT},
	{"left_out", OUTPUT_RIGHT},
};

/* The day of a moment, or the day before when it is the end of a span. */
static void output_day(struct output *o, int64_t unix_s)
{
	char day[BILL_DAY_TEXT_MAX];

	output_text(o, bill_day_text(day, bill_day(unix_s)));
}

static int print_import(const struct config *config, const struct bill_head *head,
			const struct bill_file *file, int64_t replaced)
{
	struct output *o;

	if (output_new(&o, stdout, bill_form(config), import_columns, ARRAY_LEN(import_columns)))
		return cli_fail(EXIT_FAILED, "bill", "no memory");
	output_text(o, head->name);
	output_text(o, head->report);
	output_day(o, head->from_s);
	output_day(o, head->to_s);
	output_int(o, (int64_t)file->rows.count);
	output_int(o, replaced);
	output_int(o, file->left_out);
	output_row(o);
	return bill_end(o);
}

static int store_file(const struct config *config, const struct bill_flags *flags,
		      struct bill_head *head, const struct bill_file *file)
{
	_cleanup_(bill_store_closep) struct bill_store *store = NULL;
	enum bill_overlap overlap = flags->add	     ? OVERLAP_ADD
				    : flags->replace ? OVERLAP_REPLACE
						     : OVERLAP_REFUSE;
	int64_t replaced;
	int rc = bill_open(&store, config, flags, true);
	int r;

	if (rc != EXIT_OK)
		return rc;
	r = bill_import(store, head, &file->rows, overlap, clock_wall_ns() / 1000, &replaced);
	if (r)
		return cli_fail(r == -EEXIST ? EXIT_FAILED : EXIT_STORAGE, "bill", "import: %s",
				bill_store_error(store));
	return print_import(config, head, file, replaced);
}

int bill_cmd_import(const struct config *config, const struct bill_flags *flags, int argc,
		    char **argv)
{
	_cleanup_(freep) char *bytes = NULL;
	struct bill_head head = {0};
	struct bill_file file = {0};
	char err[BILL_ERROR_MAX];
	size_t len = 0;
	int r;

	if (argc != 2)
		return cli_fail(EXIT_USAGE, "bill", "write: tolltap bill import FILE.csv");
	r = slurp(argv[1], &bytes, &len);
	if (r == -EFBIG)
		return cli_fail(EXIT_FAILED, "bill", "import: %s has more than %u MiB; split it",
				argv[1], BILL_FILE_MAX_BYTES >> 20);
	if (r)
		return cli_fail(r == -EACCES ? EXIT_PRIVILEGE : EXIT_FAILED, "bill",
				"import: cannot read %s: %s", argv[1], strerror(-r));
	hash_bytes(bytes, len, head.sha256);
	if (bill_file_read(bytes, len, &file, err, sizeof(err)))
		return cli_fail(EXIT_FAILED, "bill", "import: %s: %s; nothing of it was stored",
				argv[1], err);
	fill_head(flags, argv[1], &file, &head);
	r = store_file(config, flags, &head, &file);
	bill_file_free(&file);
	return r;
}

/* ---- list -------------------------------------------------------------------------------- */

static const struct output_column list_columns[] = {
	{"id", OUTPUT_RIGHT},	     {"provider", OUTPUT_LEFT}, {"report", OUTPUT_LEFT},
	{"file", OUTPUT_LEFT},	     {"account", OUTPUT_LEFT},	{"scope", OUTPUT_LEFT},
	{"from", OUTPUT_LEFT},	     {"to", OUTPUT_LEFT},	{"rows", OUTPUT_RIGHT},
	{"amount", OUTPUT_RIGHT},    {"currency", OUTPUT_LEFT}, {"state", OUTPUT_LEFT},
	{"fetched_at", OUTPUT_LEFT},
};

static int print_listed(void *user, const struct bill_listed *l)
{
	char amount[PUSD_TEXT_MAX], time[CLOCK_TEXT_MAX], scope[2 * BILL_FILTER_MAX + 32];
	const struct bill_head *h = &l->head;
	struct output *o = user;

	snprintf(scope, sizeof(scope), "%s%s%s%s%s", *h->projects ? "project=" : "", h->projects,
		 *h->projects && *h->keys ? " " : "", *h->keys ? "key=" : "", h->keys);
	output_int(o, h->id);
	output_text(o, h->provider);
	output_text(o, h->report);
	output_text(o, h->name);
	output_text(o, h->account);
	output_text(o, scope);
	output_day(o, h->from_s);
	output_day(o, h->to_s);
	output_int(o, l->rows);
	output_text(o, *l->currency ? pusd_format(amount, l->amount) : "");
	output_text(o, l->currency);
	output_text(o, l->done ? "whole" : "under way");
	output_text(o, clock_format_us(time, l->fetched_us));
	output_row(o);
	return 0;
}

int bill_cmd_list(const struct config *config, const struct bill_flags *flags, int argc,
		  char **argv)
{
	_cleanup_(bill_store_closep) struct bill_store *store = NULL;
	struct output *o;
	int rc, end, r;

	(void)argv;
	if (argc != 1)
		return cli_fail(EXIT_USAGE, "bill", "list takes no operand");
	rc = bill_open(&store, config, flags, false);
	if (rc != EXIT_OK)
		return rc;
	if (output_new(&o, stdout, bill_form(config), list_columns, ARRAY_LEN(list_columns)))
		return cli_fail(EXIT_FAILED, "bill", "no memory");
	r = bill_store_list(store, print_listed, o);
	end = bill_end(o);
	return r ? cli_fail(EXIT_STORAGE, "bill", "%s", bill_store_error(store)) : end;
}
