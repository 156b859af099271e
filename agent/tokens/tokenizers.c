/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tokens/tokenizers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/config/config.h"

static const char *const files[TOKEN_TABLES] = {"o200k_base.ranks", "cl100k_base.ranks"};

#define O200K_CHAT                           \
	{                                    \
		TABLE_O200K, "o200k_base", 3 \
	}
#define O200K_THINKING                       \
	{                                    \
		TABLE_O200K, "o200k_base", 2 \
	}
#define CL100K_CHAT                            \
	{                                      \
		TABLE_CL100K, "cl100k_base", 3 \
	}

/* OpenAI's model names begin so; the first that fits. */
static const struct {
	const char *start;
	struct token_method method;
} methods[] = {
	{"gpt-4o", O200K_CHAT},	    {"gpt-4.1", O200K_CHAT},   {"gpt-4.5", O200K_CHAT},
	{"chatgpt-4o", O200K_CHAT}, {"gpt-5", O200K_THINKING}, {"o1", O200K_THINKING},
	{"o3", O200K_THINKING},	    {"o4", O200K_THINKING},    {"gpt-4", CL100K_CHAT},
	{"gpt-3.5", CL100K_CHAT},   {"gpt-35", CL100K_CHAT}, /* as Azure writes it */
};
static const struct token_method other = {TABLE_O200K, "o200k_base_other", 3};

struct token_method token_method_of(const char *model)
{
	const char *slash = strrchr(model, '/');
	struct slice name = slice_of(slash ? slash + 1 : model);

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (slice_starts(name, slice_of(methods[i].start)))
			return methods[i].method;
	}
	return other;
}

static int map_file(const char *path, struct slice *out)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *at;

	if (fd < 0 || fstat(fd, &st) || st.st_size == 0)
		return -ENOENT;
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return -ENOMEM;
	*out = (struct slice){at, (size_t)st.st_size};
	return 0;
}

static int find_file(const char *dir, const char *name, struct slice *out)
{
	char given[PATH_MAX];
	_cleanup_(freep) char *path = NULL;
	int err;

	snprintf(given, sizeof(given), "%s/%s", dir ? dir : "agent/tokens", name);
	if (dir)
		return map_file(given, out);
	err = share_find(given, name, &path);
	return err ? err : map_file(path, out);
}

int tokenizers_open(struct tokenizers **out, const char *dir)
{
	struct tokenizers *t = calloc(1, sizeof(*t));
	int err = t ? 0 : -ENOMEM;

	for (size_t i = 0; err == 0 && i < TOKEN_TABLES; i++) {
		err = find_file(dir, files[i], &t->file[i]);
		if (!err)
			err = tokenizer_new(&t->table[i], t->file[i]);
	}
	if (err) {
		tokenizers_free(t);
		return err;
	}
	t->allowance_bytes = TOKENIZERS_BYTES_PER_S;
	*out = t;
	return 0;
}

void tokenizers_refill(struct tokenizers *t, uint64_t now_ns)
{
	if (now_ns - t->refilled_ns < NSEC_PER_SEC)
		return;
	t->refilled_ns = now_ns;
	t->allowance_bytes = TOKENIZERS_BYTES_PER_S;
}

size_t tokenizers_allow(struct tokenizers *t, size_t n)
{
	if (n > t->allowance_bytes)
		n = t->allowance_bytes;
	t->allowance_bytes -= n;
	return n;
}

void tokenizers_free(struct tokenizers *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < TOKEN_TABLES; i++) {
		tokenizer_free(t->table[i]);
		if (t->file[i].ptr)
			munmap((void *)t->file[i].ptr, t->file[i].len);
	}
	free(t);
}
