/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap prices diff A B: every price that came, went or changed. */
#include "agent/cli/prices.h"

#include "agent/cli/output.h"

#include <errno.h>

struct lines {
	struct price_view *item;
	size_t count, room;
	bool failed;
};

static void collect(void *user, const struct price_view *view)
{
	struct lines *l = user;

	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 4096;
		struct price_view *grown = reallocarray(l->item, room, sizeof(*grown));

		if (!grown) {
			l->failed = true;
			return;
		}
		l->item = grown;
		l->room = room;
	}
	l->item[l->count++] = *view;
}

static int by_place(const void *a, const void *b)
{
	const struct price_view *x = a, *y = b;
	int order = strcmp(x->provider, y->provider);

	if (!order)
		order = strcmp(x->model, y->model);
	if (!order)
		order = strcmp(x->from, y->from);
	if (!order)
		order = strcmp(x->tier, y->tier);
	if (!order)
		order = (x->above > y->above) - (x->above < y->above);
	return order ? order : strcmp(x->kind, y->kind);
}

static int read_lines(const char *path, struct catalog **c, struct lines *out)
{
	char err[CATALOG_ERROR_MAX];

	if (catalog_load(c, path, NULL, err, sizeof(err)))
		return cli_fail(EXIT_CONFIG, "prices", "%s", err);
	(void)catalog_each_price(*c, NULL, NULL, collect, out);
	if (out->failed)
		return cli_fail(EXIT_FAILED, "prices", "out of memory");
	if (out->count)
		qsort(out->item, out->count, sizeof(*out->item), by_place);
	return EXIT_OK;
}

static void print_change(struct output *o, const struct price_view *before,
			 const struct price_view *after)
{
	const struct price_view *any = before ? before : after;

	output_text(o, any->provider);
	output_text(o, any->model);
	output_text(o, any->from);
	output_text(o, any->tier);
	if (any->above)
		output_int(o, any->above);
	else
		output_null(o);
	output_text(o, any->kind);
	output_text(o, before ? before->amount : NULL);
	output_text(o, after ? after->amount : NULL);
	output_text(o, any->unit);
	output_row(o);
}

static void print_changes(struct output *o, const struct lines *a, const struct lines *b)
{
	size_t i = 0, k = 0;

	while (i < a->count || k < b->count) {
		int order = i == a->count   ? 1
			    : k == b->count ? -1
					    : by_place(&a->item[i], &b->item[k]);

		if (order < 0)
			print_change(o, &a->item[i++], NULL);
		else if (order > 0)
			print_change(o, NULL, &b->item[k++]);
		else if (strcmp(a->item[i].amount, b->item[k].amount) != 0)
			print_change(o, &a->item[i++], &b->item[k++]);
		else
			i++, k++;
	}
}

int prices_diff(const struct config *config, int argc, char **argv)
{
	static const struct output_column columns[] = {
		{"provider", OUTPUT_LEFT}, {"model", OUTPUT_LEFT},	   {"from", OUTPUT_LEFT},
		{"tier", OUTPUT_LEFT},	   {"above_tokens", OUTPUT_RIGHT}, {"price", OUTPUT_LEFT},
		{"before", OUTPUT_RIGHT},  {"after", OUTPUT_RIGHT},	   {"per", OUTPUT_LEFT},
	};
	struct catalog *c[2] = {NULL, NULL};
	struct lines lines[2] = {{0}, {0}};
	struct output *o;
	int rc = EXIT_OK;

	for (int i = 0; rc == EXIT_OK && i < 2 && i < argc; i++)
		rc = read_lines(argv[i], &c[i], &lines[i]);
	if (rc == EXIT_OK &&
	    output_new(&o, stdout, prices_form(config), columns, ARRAY_LEN(columns)))
		rc = cli_fail(EXIT_FAILED, "prices", "out of memory");
	else if (rc == EXIT_OK) {
		print_changes(o, &lines[0], &lines[1]);
		rc = prices_end(o);
	}
	for (int i = 0; i < 2; i++) {
		free(lines[i].item);
		catalog_free(c[i]);
	}
	return rc;
}
