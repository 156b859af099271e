/* SPDX-License-Identifier: Apache-2.0 */
/* Small price tables written to a temporary directory, for the tests of this folder. */
#ifndef TT_TEST_PRICING_FILES_H
#define TT_TEST_PRICING_FILES_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CATALOG_HEAD                                                                  \
	"{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"units\":{\"input\":" \
	"\"1000000 tokens\"},\"sources\":[],\"providers\":[{\"provider\":\"p\","      \
	"\"dated_suffixes\":[\"-YYYY-MM-DD\"]},{\"provider\":\"vllm\"}],\"models\":["
#define CATALOG_TAIL	"]}"
#define OVERRIDES(rows) "{\"schema\":\"tolltap-overrides/1\",\"overrides\":[" rows "]}"
#define ALIASES(rows)	"{\"schema\":\"tolltap-overrides/1\",\"aliases\":[" rows "]}"

static char files_dir[64];
static char files_catalog[96];
static char files_prices_d[96];

static inline void files_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	fclose(f);
}

static inline void files_override(const char *name, const char *text)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", files_prices_d, name);
	files_write(path, text);
}

static inline int files_setup(void **state)
{
	(void)state;
	snprintf(files_dir, sizeof(files_dir), "/tmp/tolltap-prices-XXXXXX");
	if (!mkdtemp(files_dir))
		return -1;
	snprintf(files_catalog, sizeof(files_catalog), "%s/catalog.json", files_dir);
	snprintf(files_prices_d, sizeof(files_prices_d), "%s/prices.d", files_dir);
	return mkdir(files_prices_d, 0700);
}

static inline void files_empty_prices_d(void)
{
	DIR *dir = opendir(files_prices_d);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

static inline int files_teardown(void **state)
{
	(void)state;
	files_empty_prices_d();
	rmdir(files_prices_d);
	unlink(files_catalog);
	return rmdir(files_dir);
}

#endif
