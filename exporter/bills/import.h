/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bill as a CSV file: FOCUS (finops.org; the columns of 1.0 to 1.3 that a bill of tokens needs),
 * or four columns: date, provider, model, amount, and optionally currency. Pure: bytes in, rows
 * out; a file with one bad line gives none.
 */
#ifndef TT_BILL_IMPORT_H
#define TT_BILL_IMPORT_H

#include "exporter/bills/bill.h"

#define BILL_FILE_MAX_BYTES (256u << 20)

struct bill_file {
	struct bill_rows rows;
	bool is_focus;
	bool has_usage; /* some row has a quantity */
	int64_t from_s, to_s;
	int64_t left_out; /* rows of services that are no AI */
};

/*
 * bytes are changed. Returns 0, -EBADMSG with "line N: reason" in err, or -ENOMEM. Free what was
 * filled with bill_file_free.
 */
int bill_file_read(char *bytes, size_t len, struct bill_file *out, char *err,
		   size_t err_size) TT_MUST_CHECK;
void bill_file_free(struct bill_file *file);

#endif
