/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tolltap prices add: one more row in prices.d/local.json. The new file is written beside the old
 * one, checked as the agent would, and only then takes its place.
 */
#include "agent/cli/prices.h"

#include "pricing/kinds.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCAL_MAX_BYTES (16u << 20)

static void json_deletep(cJSON **json)
{
	cJSON_Delete(*json);
}

static void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static bool is_row_key(const char *key)
{
	static const char *const keys[] = {
		"factor", "from", "to", "host", "account", "project", "key_fingerprint", "reason"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (!strcmp(keys[i], key))
			return true;
	}
	return false;
}

static cJSON *child_object(cJSON *row, const char *key)
{
	cJSON *child = cJSON_GetObjectItemCaseSensitive(row, key);

	return child ? child : cJSON_AddObjectToObject(row, key);
}

/* Adds one KEY=VALUE. Returns false when KEY is neither a price nor a field of a row. */
static bool add_pair(cJSON *row, const char *pair)
{
	const char *equals = strchr(pair, '=');
	enum price_kind kind;
	char key[64];

	if (!equals || !slice_copy(key, sizeof(key), (struct slice){pair, (size_t)(equals - pair)}))
		return false;
	if (price_kind_find(key, &kind))
		return cJSON_AddStringToObject(child_object(row, "prices"), key, equals + 1);
	return is_row_key(key) && cJSON_AddStringToObject(row, key, equals + 1);
}

/* PROVIDER [MODEL] KEY=VALUE...; NULL after one line on stderr. */
static cJSON *row_of(int argc, char **argv)
{
	cJSON *row = cJSON_CreateObject();
	int i = 1;

	cJSON_AddStringToObject(row, "provider", argv[0]);
	if (!strchr(argv[1], '=')) {
		cJSON *models = cJSON_AddArrayToObject(row, "models");

		cJSON_AddItemToArray(models, cJSON_CreateString(argv[1]));
		i = 2;
	}
	for (; i < argc; i++) {
		if (add_pair(row, argv[i]))
			continue;
		(void)cli_fail(EXIT_USAGE, "prices",
			       "add: \"%s\" is neither PRICE=USD nor a selector; see tolltap "
			       "prices --help",
			       argv[i]);
		cJSON_Delete(row);
		return NULL;
	}
	return row;
}

static cJSON *new_file(void)
{
	cJSON *root = cJSON_CreateObject();

	cJSON_AddStringToObject(root, "schema", "tolltap-overrides/1");
	return root;
}

/* The present local.json, or a new one when there is none; NULL when it is not JSON. */
static cJSON *read_local(const char *path)
{
	_cleanup_(fclosep) FILE *f = fopen(path, "re");
	_cleanup_(freep) char *text = NULL;
	struct stat st;
	size_t len;

	if (!f)
		return errno == ENOENT ? new_file() : NULL;
	if (fstat(fileno(f), &st) != 0 || (uint64_t)st.st_size > LOCAL_MAX_BYTES)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return NULL;
	len = fread(text, 1, (size_t)st.st_size, f);
	text[len] = '\0';
	return cJSON_Parse(text);
}

static int write_file(const char *path, const char *text)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	size_t len = strlen(text), done = 0;

	if (fd < 0)
		return -errno;
	while (done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) ? -errno : 0;
}

static int replace(const struct config *config, const char *path, const char *text)
{
	char fresh[PATH_MAX], err[CATALOG_ERROR_MAX];
	int rc;

	if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh))
		return cli_fail(EXIT_USAGE, "prices", "add: the path is too long: %s", path);
	rc = write_file(fresh, text);
	if (rc)
		return cli_fail(EXIT_STORAGE, "prices", "%s: %s", fresh, strerror(-rc));
	if (catalog_check(fresh, config->prices_file, err, sizeof(err))) {
		unlink(fresh);
		return cli_fail(EXIT_CONFIG, "prices", "add: refused, nothing was changed: %s",
				err);
	}
	if (rename(fresh, path) != 0) {
		rc = errno;
		unlink(fresh);
		return cli_fail(EXIT_STORAGE, "prices", "%s: %s", path, strerror(rc));
	}
	printf("%s: row added; a running agent takes it on SIGHUP\n", path);
	return EXIT_OK;
}

int prices_add(const struct config *config, int argc, char **argv)
{
	_cleanup_(json_deletep) cJSON *root = NULL;
	char path[PATH_MAX];
	cJSON *row, *list;
	char *text;
	int rc;

	if (!config->prices_dir || !config->prices_file)
		return cli_fail(EXIT_USAGE, "prices",
				"add: where to is unknown; give --prices.dir=DIR");
	row = row_of(argc, argv);
	if (!row)
		return EXIT_USAGE;
	(void)snprintf(path, sizeof(path), "%s/local.json", config->prices_dir);
	root = read_local(path);
	list = cJSON_GetObjectItemCaseSensitive(root, "overrides");
	if (root && !list)
		list = cJSON_AddArrayToObject(root, "overrides");
	if (!cJSON_AddItemToArray(list, row)) {
		cJSON_Delete(row);
		return cli_fail(EXIT_CONFIG, "prices",
				"%s: cannot be extended; check it with: "
				"tolltap prices check FILE",
				path);
	}
	text = cJSON_Print(root);
	if (!text)
		return cli_fail(EXIT_FAILED, "prices", "out of memory");
	rc = replace(config, path, text);
	cJSON_free(text);
	return rc;
}
