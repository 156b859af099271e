/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: which report's page the rest is, or a CSV file. A page or file is refused with a
 * reason, or every row of it has a provider, a time, texts that end, and money in a currency.
 */
#include "exporter/bills/import.h"
#include "exporter/bills/report.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const char *text, size_t size)
{
	must_hold(memchr(text, 0, size) != NULL);
}

static void check_rows(const struct bill_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct bill_row *r = &rows->row[i];

		must_hold(r->provider[0] && r->from_s > 0 && r->to_s > r->from_s);
		must_hold(r->class >= 0 && r->class < BILL_CLASSES);
		must_hold(!r->has_quantity || r->quantity >= 0);
		must_hold(r->has_amount == (strlen(r->currency) == 3) && r->slack >= 0);
		check_text(r->model, sizeof(r->model));
		check_text(r->tier, sizeof(r->tier));
		check_text(r->window, sizeof(r->window));
		check_text(r->project, sizeof(r->project));
		check_text(r->key, sizeof(r->key));
		check_text(r->item, sizeof(r->item));
	}
}

static void read_page(size_t which, const uint8_t *data, size_t size)
{
	char err[BILL_ERROR_MAX] = "";
	struct bill_page page;

	if (bill_page_read(&bill_reports[which], (struct slice){(const char *)data, size}, &page,
			   err, sizeof(err))) {
		must_hold(err[0]);
		return;
	}
	check_text(page.cursor, sizeof(page.cursor));
	check_rows(&page.rows);
	bill_page_free(&page);
}

static void read_file(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), err[BILL_ERROR_MAX] = "";
	struct bill_file file;

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	if (bill_file_read(copy, size, &file, err, sizeof(err))) {
		must_hold(err[0]);
	} else {
		must_hold(file.rows.count > 0 && file.from_s < file.to_s);
		check_rows(&file.rows);
		bill_file_free(&file);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t reports = 0;

	while (bill_reports[reports].name)
		reports++;
	if (!size)
		return 0;
	if (*data < reports)
		read_page(*data, data + 1, size - 1);
	else
		read_file(data + 1, size - 1);
	return 0;
}
