/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/courier/libcurl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

/* The stable ABI's names, by the library's TLS flavour: what Debian and others install. */
static const char *const sonames[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};

static struct libcurl loaded;
static bool is_loaded;

static void *open_any(void)
{
	void *library = NULL;

	for (size_t i = 0; i < ARRAY_LEN(sonames) && !library; i++)
		library = dlopen(sonames[i], RTLD_NOW | RTLD_LOCAL);
	return library;
}

static bool resolve(void *library)
{
	const struct {
		const char *name;
		void *slot; /* of a function pointer */
	} rows[] = {
#define X(name) {"curl_" #name, &loaded.name},
		LIBCURL_FUNCTIONS(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		void *symbol = dlsym(library, rows[i].name);

		if (!symbol)
			return false;
		memcpy(rows[i].slot, &symbol, sizeof(symbol));
	}
	return true;
}

int libcurl_load(char *err, size_t err_size)
{
	void *library;

	if (is_loaded)
		return 0;
	library = open_any();
	if (!library || !resolve(library) || loaded.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		snprintf(err, err_size,
			 "libcurl cannot be loaded, so containers keep their ids instead of names; "
			 "install libcurl4");
		if (library)
			dlclose(library);
		return -ENOENT;
	}
	is_loaded = true;
	return 0;
}

bool libcurl_loaded(void)
{
	return is_loaded;
}

const struct libcurl *libcurl(void)
{
	return &loaded;
}
