/* SPDX-License-Identifier: Apache-2.0 */
/* Plain main for a fuzz target: runs each file given, and each file of each folder given. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (1u << 20)

static const char *current; /* the file being replayed */

static void on_abort(int signal)
{
	static const char said[] = "FAIL replay: the input that fails is ";

	(void)signal;
	if (write(STDOUT_FILENO, said, sizeof(said) - 1) < 0 ||
	    write(STDOUT_FILENO, current, strlen(current)) < 0 || write(STDOUT_FILENO, "\n", 1) < 0)
		_exit(2);
}

static int replay_file(const char *path)
{
	static uint8_t data[INPUT_MAX];
	FILE *f = fopen(path, "rb");
	size_t size;

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	size = fread(data, 1, sizeof(data), f);
	fclose(f);
	current = path;
	LLVMFuzzerTestOneInput(data, size);
	return 0;
}

static int replay_folder(const char *path, unsigned int *count)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[4096];
	int failed = 0;

	if (!dir) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		failed |= replay_file(name);
		++*count;
	}
	closedir(dir);
	return failed;
}

int main(int argc, char **argv)
{
	unsigned int count = 0;
	int failed = 0;

	signal(SIGABRT, on_abort);
	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
			failed |= replay_folder(argv[i], &count);
		} else {
			failed |= replay_file(argv[i]);
			count++;
		}
	}
	if (!failed && count)
		printf("ok %s (%u inputs)\n", basename(argv[0]), count);
	return failed || count == 0;
}
