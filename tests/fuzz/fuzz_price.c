/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Price files; the first byte says which kind. What loads prices calls without a negative amount
 * and shows amounts that read back exactly; what is imported loads; what is refused is told in one
 * line.
 */
#include <fcntl.h>

#include "pricing/catalog.h"
#include "pricing/kinds.h"
#include "tests/fuzz/fuzz.h"

/* The catalogue that overrides lie on. */
static const char base[] =
	"{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"units\":{\"input\":"
	"\"1000000 tokens\",\"output\":\"1000000 tokens\"},\"sources\":[],\"providers\":["
	"{\"provider\":\"openai\",\"dated_suffixes\":[\"-YYYY-MM-DD\"]}],\"models\":["
	"{\"provider\":\"openai\",\"id\":\"gpt-4o\",\"periods\":[{\"prices\":{\"input\":\"2.5\","
	"\"output\":\"10\"}}]}]}";

static const char *base_path(void)
{
	static char path[64];
	int fd;

	if (path[0])
		return path;
	fd = memfd_create("base", MFD_CLOEXEC);
	must_hold(fd >= 0 && write(fd, base, sizeof(base) - 1) == sizeof(base) - 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

static void on_price(void *user, const struct price_view *v)
{
	int64_t amount;

	(void)user;
	must_hold(v->provider && v->model && v->kind && v->unit && v->above >= 0);
	must_hold(decimal_parse(slice_of(v->amount), 12, &amount) && amount >= 0);
}

static void on_model(void *user, const char *provider, const char *id)
{
	const struct catalog *c = user;
	struct call call = {.role = ROLE_DIRECT,
			    .basis = BASIS_REPORTED_USAGE,
			    .billable = true,
			    .started_at_us = 1760000000000000,
			    .usage = {.known = true, .provider_cost_pusd = -1}};

	slice_copy(call.provider, sizeof(call.provider), slice_of(provider));
	slice_copy(call.model, sizeof(call.model), slice_of(id));
	for (int big = 0; big < 2; big++) {
		for (int i = 0; i < TOKEN_KINDS; i++)
			call.usage.tokens[i] = big ? 1000000000000000 : 1000 + i;
		call.basis = BASIS_REPORTED_USAGE;
		price_call(c, &call);
		must_hold(call.cost.list_pusd >= -1 && call.cost.cost_pusd >= -1);
		must_hold(call.cost.unpriced < UNPRICED_REASONS);
		must_hold((call.basis == BASIS_UNPRICED) == (call.cost.cost_pusd == -1));
	}
}

static void check_catalog(const char *file, const char *dir)
{
	char err[CATALOG_ERROR_MAX] = "";
	struct catalog *c;

	if (catalog_load(&c, file, dir, err, sizeof(err))) {
		must_hold(is_one_line(err, sizeof(err)));
		return;
	}
	must_hold(slice_is_hex(slice_of(catalog_sha256(c)), 64));
	catalog_each_price(c, NULL, NULL, on_price, NULL);
	catalog_each_model(c, NULL, on_model, c);
	catalog_free(c);
}

static void check_overrides(const char *file)
{
	char err[CATALOG_ERROR_MAX] = "";

	if (catalog_check(file, base_path(), err, sizeof(err)))
		must_hold(is_one_line(err, sizeof(err)));
}

/* What is printed is JSON in our form; a name or a date that we refuse may stand in it. */
static void check_import(const char *form, const char *file)
{
	char err[CATALOG_ERROR_MAX] = "", *text = NULL;
	size_t size = 0, left_out = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	if (catalog_import(form, file, out, &left_out, err, sizeof(err))) {
		must_hold(is_one_line(err, sizeof(err)));
		fclose(out);
	} else {
		fclose(out);
		check_catalog(fuzz_path((const uint8_t *)text, size), NULL);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path;

	if (size < 1)
		return 0;
	path = fuzz_path(data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		check_catalog(path, NULL);
		break;
	case 1:
		check_overrides(path);
		break;
	case 2:
		check_import("litellm", path);
		break;
	default:
		check_import("genai-prices", path);
	}
	return 0;
}
