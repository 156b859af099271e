/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the catalogue and prices.d into one immutable table. */
#include "agent/base/input.h"
#include "agent/base/hex.h"
#include "pricing/table.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define CATALOG_SCHEMA	 "tolltap-prices/1"
#define OVERRIDES_SCHEMA "tolltap-overrides/1"

static void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static void json_deletep(cJSON **json)
{
	cJSON_Delete(*json);
}

static int file_error(struct reader *r, int error)
{
	price_error(r, "cannot be read: %s; check --prices.file and --prices.dir", strerror(error));
	return -error;
}

int price_slurp(struct reader *r, char **out, size_t *len)
{
	int fd = input_open(r->file);
	_cleanup_(fclosep) FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	_cleanup_(freep) char *text = NULL;
	struct stat st;

	if (fd < 0)
		return file_error(r, -fd);
	if (!f || fstat(fileno(f), &st) != 0)
		return file_error(r, errno);
	if (!S_ISREG(st.st_mode))
		return price_error(r, "is not a file");
	if ((uint64_t)st.st_size > PRICE_FILE_MAX_BYTES)
		return price_error(r, "is larger than %u bytes", PRICE_FILE_MAX_BYTES);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	*len = fread(text, 1, (size_t)st.st_size, f);
	if (ferror(f))
		return file_error(r, EIO);
	text[*len] = '\0';
	*out = TAKE_PTR(text);
	return 0;
}

static int line_of(const char *text, const char *at)
{
	int line = 1;

	for (; text < at; text++)
		line += *text == '\n';
	return line;
}

static int parse(struct reader *r, const char *text, size_t len, const char *schema, cJSON **out)
{
	const char *end = NULL;
	const cJSON *stated;
	cJSON *root;

	if (memchr(text, '\0', len))
		return price_error(r, "holds a zero byte; it is not JSON text");
	root = cJSON_ParseWithOpts(text, &end, true);
	if (!root)
		return price_error(r, "line %d: not valid JSON; correct or remove the file",
				   line_of(text, end ? end : text));
	stated = cJSON_GetObjectItemCaseSensitive(root, "schema");
	if (!cJSON_IsString(stated) || strcmp(stated->valuestring, schema) != 0) {
		cJSON_Delete(root);
		return price_error(r, "\"schema\" must be \"%s\"", schema);
	}
	*out = root;
	return 0;
}

/* --- catalogue ---------------------------------------------------------------------------- */

static int read_units(struct reader *r, const cJSON *root)
{
	const cJSON *units = cJSON_GetObjectItemCaseSensitive(root, "units"), *item;

	if (!cJSON_IsObject(units))
		return price_error(r, "\"units\" is missing");
	cJSON_ArrayForEach(item, units)
	{
		enum price_kind kind;

		if (!price_kind_find(item->string, &kind))
			return price_error(r, "unknown unit \"%s\"", item->string);
		if (!cJSON_IsString(item) || strcmp(item->valuestring, price_kinds[kind].unit) != 0)
			return price_error(r, "unit \"%s\" must be per \"%s\"", item->string,
					   price_kinds[kind].unit);
	}
	return 0;
}

/* A list of short texts into fixed rows of size 32 or 16. */
static int read_names(struct reader *r, const cJSON *json, const char *key, char *rows, size_t size,
		      uint32_t max, uint32_t *count)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, key), *item;

	if (!list)
		return 0;
	if (!cJSON_IsArray(list) || (uint32_t)cJSON_GetArraySize(list) > max)
		return price_error(r, "\"%s\" must be a list of at most %u", key, max);
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item) || !item->valuestring[0] ||
		    strlen(item->valuestring) >= size)
			return price_error(r, "\"%s\" holds something that is not a short text",
					   key);
		slice_copy(rows + size * (*count)++, size, slice_of(item->valuestring));
	}
	return 0;
}

static int read_tier_names(struct reader *r, const cJSON *json, struct provider_facts *out)
{
	const cJSON *names = cJSON_GetObjectItemCaseSensitive(json, "tier_names"), *item;

	if (names && (!cJSON_IsObject(names) || cJSON_GetArraySize(names) > PRICE_TIERS_MAX))
		return price_error(r, "\"tier_names\" must be an object of at most %d",
				   PRICE_TIERS_MAX);
	cJSON_ArrayForEach(item, names)
	{
		uint32_t i = out->tier_name_count++;

		if (!cJSON_IsString(item) || strlen(item->valuestring) >= 32 ||
		    strlen(item->string) >= 32)
			return price_error(r, "\"tier_names\" holds a name that is too long");
		slice_copy(out->tier_from[i], 32, slice_of(item->string));
		slice_copy(out->tier_to[i], 32, slice_of(item->valuestring));
	}
	return 0;
}

static int read_provider(struct reader *r, const cJSON *json, struct provider_facts *out)
{
	static const char *const keys[] = {"provider",	    "dated_suffixes", "cost_on_wire",
					   "request_names", "regional_names", "standard_tiers",
					   "tier_names",    "fees",	      NULL};
	const cJSON *fees = cJSON_GetObjectItemCaseSensitive(json, "fees");
	int rc = price_read_keys(r, json, keys);

	if (rc == 0)
		rc = price_read_text(r, json, "provider", out->provider, sizeof(out->provider),
				     true);
	if (rc == 0)
		rc = read_names(r, json, "dated_suffixes", out->suffixes[0],
				sizeof(out->suffixes[0]), PRICE_SUFFIXES_MAX, &out->suffix_count);
	if (rc == 0)
		rc = read_names(r, json, "standard_tiers", out->standard_tiers[0],
				sizeof(out->standard_tiers[0]), PRICE_TIERS_MAX,
				&out->standard_count);
	if (rc == 0)
		rc = read_tier_names(r, json, out);
	if (rc == 0 && fees)
		rc = price_read_prices(r, fees, &out->fees);
	out->cost_on_wire = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "cost_on_wire"));
	out->request_names = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "request_names"));
	out->regional_names =
		cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "regional_names"));
	return rc;
}

static int read_providers(struct reader *r, struct catalog *c, const cJSON *root)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "providers"), *item;

	if (!cJSON_IsArray(list))
		return price_error(r, "\"providers\" must be a list");
	c->providers = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(*c->providers));
	if (!c->providers)
		return price_error(r, "out of memory");
	cJSON_ArrayForEach(item, list)
	{
		int rc;

		snprintf(r->place, sizeof(r->place), "providers[%u]", c->provider_count);
		rc = read_provider(r, item, &c->providers[c->provider_count++]);
		if (rc)
			return rc;
	}
	r->place[0] = '\0';
	return 0;
}

static int read_periods(struct reader *r, const cJSON *json, struct model *out)
{
	static const char *const keys[] = {"from",  "to",	   "daily",  "prices",	"above",
					   "tiers", "multipliers", "source", "checked", NULL};
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "periods"), *item;
	int n = cJSON_GetArraySize(list);

	if (!cJSON_IsArray(list) || n == 0 || n > PRICE_PERIODS_MAX)
		return price_error(r, "\"periods\" must be a list of 1 to %d", PRICE_PERIODS_MAX);
	out->periods = calloc((size_t)n, sizeof(*out->periods));
	if (!out->periods)
		return price_error(r, "out of memory");
	cJSON_ArrayForEach(item, list)
	{
		size_t used = strlen(r->place);
		int rc;

		snprintf(r->place + used, sizeof(r->place) - used, ".periods[%u]",
			 out->period_count);
		rc = price_read_keys(r, item, keys);
		if (rc == 0)
			rc = price_read_period(r, item, &out->periods[out->period_count++]);
		if (rc)
			return rc;
		r->place[used] = '\0';
	}
	return 0;
}

static int read_model(struct reader *r, const cJSON *json, struct model *out)
{
	static const char *const keys[] = {"provider",	 "id",	    "alias", "dated",
					   "fine_tuned", "periods", NULL};
	size_t used = strlen(r->place);
	int rc = price_read_keys(r, json, keys);

	if (rc == 0)
		rc = price_read_text(r, json, "provider", out->provider, sizeof(out->provider),
				     true);
	if (rc == 0)
		rc = price_read_text(r, json, "id", out->id, sizeof(out->id), true);
	if (rc)
		return rc;
	snprintf(r->place + used, sizeof(r->place) - used, " (%s/%s)", out->provider, out->id);
	return read_periods(r, json, out);
}

static int read_models(struct reader *r, struct catalog *c, const cJSON *list)
{
	const cJSON *item;
	int n = cJSON_GetArraySize(list);

	if (!cJSON_IsArray(list) || n > PRICE_MODELS_MAX)
		return price_error(r, "\"models\" must be a list of at most %d", PRICE_MODELS_MAX);
	c->models = calloc((size_t)n + 1, sizeof(*c->models));
	if (!c->models)
		return price_error(r, "out of memory");
	cJSON_ArrayForEach(item, list)
	{
		int rc;

		snprintf(r->place, sizeof(r->place), "models[%u]", c->model_count);
		rc = read_model(r, item, &c->models[c->model_count++]);
		if (rc)
			return rc;
	}
	return 0;
}

static int add_name_list(struct reader *r, struct catalog *c, const cJSON *json, const char *key,
			 enum name_rule rule, uint32_t index)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, key), *item;

	if (list && (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > PRICE_NAMES_MAX))
		return price_error(r, "\"%s\" must be a list of at most %d names", key,
				   PRICE_NAMES_MAX);
	cJSON_ArrayForEach(item, list)
	{
		int rc;

		if (!cJSON_IsString(item))
			return price_error(r, "\"%s\" holds something that is not a name", key);
		rc = catalog_add_name(r, c, rule, c->models[index].provider, item->valuestring,
				      index);
		if (rc)
			return rc;
	}
	return 0;
}

static int index_model(struct reader *r, struct catalog *c, const cJSON *json, uint32_t i)
{
	const struct model *model = &c->models[i];
	int rc;

	snprintf(r->place, sizeof(r->place), "models[%u] (%s/%s)", i, model->provider, model->id);
	if (!catalog_provider(c, model->provider))
		return price_error(r, "its provider is not in \"providers\"");
	rc = catalog_add_name(r, c, NAME_PLAIN, model->provider, model->id, i);
	if (rc == 0)
		rc = add_name_list(r, c, json, "alias", NAME_PLAIN, i);
	if (rc == 0)
		rc = add_name_list(r, c, json, "dated", NAME_DATED, i);
	if (rc == 0)
		rc = add_name_list(r, c, json, "fine_tuned", NAME_FINE_TUNED, i);
	return rc;
}

static int index_models(struct reader *r, struct catalog *c, const cJSON *list)
{
	const cJSON *item;
	uint32_t i = 0;

	cJSON_ArrayForEach(item, list)
	{
		int rc = index_model(r, c, item, i++);

		if (rc)
			return rc;
	}
	r->place[0] = '\0';
	return 0;
}

static int catalogue_read(struct reader *r, struct catalog *c, const cJSON *root)
{
	static const char *const keys[] = {"schema",	"currency", "units", "sources",
					   "providers", "models",   NULL};
	const cJSON *models = cJSON_GetObjectItemCaseSensitive(root, "models");
	char currency[8];
	int rc = price_read_keys(r, root, keys);

	if (rc == 0)
		rc = price_read_text(r, root, "currency", currency, sizeof(currency), true);
	if (rc == 0 && strcmp(currency, "USD") != 0)
		rc = price_error(r, "currency \"%s\" is not USD", currency);
	if (rc == 0)
		rc = read_units(r, root);
	if (rc == 0)
		rc = read_providers(r, c, root);
	if (rc == 0)
		rc = read_models(r, c, models);
	if (rc == 0)
		rc = index_models(r, c, models);
	if (rc == 0)
		rc = lint_models(r, c);
	return rc;
}

/* --- files -------------------------------------------------------------------------------- */

static int load_file(struct catalog *c, const char *file, bool overrides, struct sha256_ctx *sha,
		     char *err, size_t err_size)
{
	struct reader r = {.file = file, .err = err, .err_size = err_size};
	_cleanup_(json_deletep) cJSON *root = NULL;
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int rc = price_slurp(&r, &text, &len);

	if (rc == 0)
		rc = parse(&r, text, len, overrides ? OVERRIDES_SCHEMA : CATALOG_SCHEMA, &root);
	r.text = text;
	if (rc == 0)
		rc = overrides ? overrides_read(&r, c, root) : catalogue_read(&r, c, root);
	if (rc == 0)
		sha256_update(sha, len, (const uint8_t *)text);
	return rc;
}

static bool is_json(const char *name)
{
	return name[0] != '.' && slice_ends(slice_of(name), SLICE(".json"));
}

/* strcmp, not strcoll: the order must not depend on the locale. */
static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct price_files {
	char *name[PRICE_FILES_MAX];
	size_t count;
};

static void price_files_release(struct price_files *files)
{
	while (files->count)
		free(files->name[--files->count]);
}

/* The price files of a directory, in order. Returns 0 or an error as price_error has it. */
static int list_dir(struct reader *r, struct price_files *out)
{
	int fd = input_open(r->file), rc = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		rc = file_error(r, fd < 0 ? -fd : errno);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (!is_json(entry->d_name))
			continue;
		if (out->count == PRICE_FILES_MAX)
			rc = price_error(r, "holds more than %d price files", PRICE_FILES_MAX);
		else if (!(out->name[out->count] = strdup(entry->d_name)))
			rc = -ENOMEM;
		else
			out->count++;
	}
	closedir(dir);
	qsort(out->name, out->count, sizeof(out->name[0]), by_name);
	return rc;
}

static int load_dir(struct catalog *c, const char *dir, struct sha256_ctx *sha, char *err,
		    size_t err_size)
{
	struct reader r = {.file = dir, .err = err, .err_size = err_size};
	struct price_files files = {.count = 0};
	int rc = list_dir(&r, &files);

	for (size_t i = 0; rc == 0 && i < files.count; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", dir, files.name[i]);
		rc = load_file(c, path, true, sha, err, err_size);
	}
	price_files_release(&files);
	return rc;
}

static void finish_hash(struct catalog *c, struct sha256_ctx *sha)
{
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_digest(sha, sizeof(digest), digest);
	hex_of(c->sha256, digest, sizeof(digest));
}

static bool is_overrides(const char *path)
{
	char err[CATALOG_ERROR_MAX] = "";
	struct reader r = {.file = path, .err = err, .err_size = sizeof(err)};
	_cleanup_(json_deletep) cJSON *root = NULL;
	_cleanup_(freep) char *text = NULL;
	size_t len;

	return price_slurp(&r, &text, &len) == 0 &&
	       parse(&r, text, len, OVERRIDES_SCHEMA, &root) == 0;
}

int catalog_check(const char *path, const char *catalogue, char *err, size_t err_size)
{
	bool overrides = is_overrides(path);
	struct catalog *c = NULL;
	struct sha256_ctx sha;
	int rc = catalog_load(&c, overrides ? catalogue : path, NULL, err, err_size);

	if (rc == 0 && overrides) {
		sha256_init(&sha);
		rc = load_file(c, path, true, &sha, err, err_size);
	}
	catalog_free(c);
	return rc;
}

int catalog_load(struct catalog **out, const char *file, const char *dir, char *err,
		 size_t err_size)
{
	struct catalog *c = calloc(1, sizeof(*c));
	struct sha256_ctx sha;
	int rc;

	if (err_size)
		err[0] = '\0';
	if (!c)
		return -ENOMEM;
	if (!file) {
		snprintf(err, err_size,
			 "no price catalogue is installed; name one with --prices.file");
		catalog_free(c);
		return -ENOENT;
	}
	sha256_init(&sha);
	rc = load_file(c, file, false, &sha, err, err_size);
	if (rc == 0 && dir)
		rc = load_dir(c, dir, &sha, err, err_size);
	if (rc) {
		catalog_free(c);
		return rc;
	}
	finish_hash(c, &sha);
	malloc_trim(0); /* the parsed texts are many times the table, and would stay resident */
	*out = c;
	return 0;
}

void catalog_free(struct catalog *c)
{
	struct name_entry *entry, *next;

	if (!c)
		return;
	HASH_ITER (hh, c->names, entry, next) {
		HASH_DEL(c->names, entry);
		free(entry);
	}
	for (uint32_t i = 0; i < c->model_count; i++) {
		for (uint32_t k = 0; k < c->models[i].period_count; k++)
			period_free(&c->models[i].periods[k]);
		free(c->models[i].periods);
	}
	for (uint32_t i = 0; i < c->override_count; i++)
		override_free(&c->overrides[i]);
	free(c->models);
	free(c->providers);
	free(c->overrides);
	free(c);
}

const char *catalog_sha256(const struct catalog *c)
{
	return c->sha256;
}
