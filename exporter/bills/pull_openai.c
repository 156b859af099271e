/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAI's organization costs and usage (platform.openai.com, API reference, Administration).
 * Amounts are dollars, as JSON numbers or strings. input_tokens holds cached and cache-write
 * tokens; the counts by modality split it only where they say so.
 */
#include "exporter/bills/report.h"

/* ---- line items -------------------------------------------------------------------------- */

/* The text up to the separator, which both leave; the whole of it when there is none. */
static struct slice take_part(struct slice *rest, const char *separator)
{
	const char *found = memmem(rest->ptr, rest->len, separator, strlen(separator));
	struct slice part = *rest;

	if (!found) {
		rest->len = 0;
		return slice_trim(part);
	}
	part.len = (size_t)(found - rest->ptr);
	rest->ptr = found + strlen(separator);
	rest->len -= part.len + strlen(separator);
	return slice_trim(part);
}

void openai_line_item(struct slice item, struct bill_row *row)
{
	struct slice rest = item, head, model;

	if (memmem(rest.ptr, rest.len, " | ", 3))
		bill_tier_copy(row->tier, take_part(&rest, " | "));
	if (memmem(rest.ptr, rest.len, "long context", 12))
		(void)slice_copy(row->window, sizeof(row->window), SLICE("long"));
	head = rest;
	if (!memchr(head.ptr, ',', head.len)) {
		/* "gpt-4o" alone is a model's whole cost; "Vector storage" is a thing of its own.
		 */
		if (head.len && !memchr(head.ptr, ' ', head.len)) {
			row->class = BILL_ALL;
			(void)slice_copy(row->model, sizeof(row->model), head);
		} else {
			row->class = bill_class_of_words(head);
		}
		return;
	}
	head = take_part(&rest, ",");
	model = take_part(&head, " "); /* head keeps the modality: "audio", "image", "text" */
	(void)slice_copy(row->model, sizeof(row->model), model);
	row->class = bill_class_of_words(rest);
	if (row->class == BILL_INPUT && slice_eq(head, SLICE("audio")))
		row->class = BILL_INPUT_AUDIO;
	else if (row->class == BILL_INPUT && slice_eq(head, SLICE("image")))
		row->class = BILL_INPUT_IMAGE;
	else if (row->class == BILL_OUTPUT && slice_eq(head, SLICE("audio")))
		row->class = BILL_OUTPUT_AUDIO;
	else if (row->class == BILL_OUTPUT && slice_eq(head, SLICE("image")))
		row->class = BILL_OUTPUT_IMAGE;
}

bool openai_cost_finish(const struct bill_report *report, const struct bill_result *result,
			struct bill_rows *rows)
{
	struct bill_row *row = bill_result_row(result, rows, BILL_OTHER);

	(void)report;
	if (!row || !bill_result_amount(result, row, 0))
		return false;
	openai_line_item(slice_of(result->text[TEXT_ITEM]), row);
	/* Hours and bytes are no counts of ours. */
	row->has_quantity = result->text[TEXT_QUANTITY][0] && row->class != BILL_OTHER &&
			    bill_count_parse(slice_of(result->text[TEXT_QUANTITY]), &row->quantity);
	return true;
}

/* ---- usage ------------------------------------------------------------------------------- */

static int64_t or_zero(int64_t count)
{
	return count > 0 ? count : 0;
}

/*
 * Takes audio and image tokens out of `total` where text, audio and image make it up. Where the
 * text is not told, they stand beside the total (the API before it split text).
 */
static int64_t take_modalities(const int64_t *count, enum bill_count text, enum bill_count audio,
			       enum bill_count image, int64_t total, int64_t *audio_out,
			       int64_t *image_out)
{
	bool told = count[text] >= 0;
	bool splits = told && count[text] + or_zero(count[audio]) + or_zero(count[image]) == total;

	*audio_out = splits || !told ? or_zero(count[audio]) : 0;
	*image_out = splits ? or_zero(count[image]) : 0;
	return splits ? count[text] : total;
}

bool openai_usage_finish(const struct bill_report *report, const struct bill_result *result,
			 struct bill_rows *rows)
{
	struct bill_result r = *result;
	const int64_t *n = r.count;
	int64_t cached = or_zero(n[COUNT_CACHED]), written = or_zero(n[COUNT_CACHE_WRITE]);
	int64_t uncached = n[COUNT_UNCACHED] >= 0 ? n[COUNT_UNCACHED]
						  : or_zero(n[COUNT_INPUT]) - cached - written;
	int64_t input, audio, image, output, audio_out, image_out;

	if (uncached < 0 || or_zero(n[COUNT_INPUT]) > INT64_MAX / 4)
		return false;
	if (!r.batch && !r.text[TEXT_TIER][0])
		(void)slice_copy(r.text[TEXT_TIER], sizeof(r.text[0]), SLICE(BILL_STANDARD));
	input = take_modalities(n, COUNT_INPUT_TEXT, COUNT_INPUT_AUDIO, COUNT_INPUT_IMAGE, uncached,
				&audio, &image);
	output = take_modalities(n, COUNT_OUTPUT_TEXT, COUNT_OUTPUT_AUDIO, COUNT_OUTPUT_IMAGE,
				 or_zero(n[COUNT_OUTPUT]), &audio_out, &image_out);
	return bill_result_count(&r, rows, BILL_INPUT, input) &&
	       bill_result_count(&r, rows, BILL_INPUT_AUDIO, audio) &&
	       bill_result_count(&r, rows, BILL_INPUT_IMAGE, image) &&
	       bill_result_count(&r, rows, BILL_CACHE_READ, cached) &&
	       bill_result_count(&r, rows, BILL_CACHE_WRITE_5M, written) &&
	       bill_result_count(&r, rows, BILL_OUTPUT, output) &&
	       bill_result_count(&r, rows, BILL_OUTPUT_AUDIO, audio_out) &&
	       bill_result_count(&r, rows, BILL_OUTPUT_IMAGE, image_out) &&
	       bill_result_count(&r, rows, report->unit, n[COUNT_UNITS]);
}
