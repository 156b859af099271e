/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tolltap keys: the fingerprint of a key, which is read from stdin and kept nowhere, and the names
 * that the configuration gives to fingerprints.
 */
#include "agent/cli/flags.h"
#include "agent/cli/output.h"
#include "agent/exchange/credential.h"
#include "exporter/secret.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#define KEY_MAX (16u << 10) /* a JWT of some kilobytes is a credential too */

static void help(void)
{
	printf("usage: tolltap keys fingerprint < FILE\n"
	       "       tolltap keys list\n\n"
	       "fingerprint  reads one API key from stdin (a terminal does not show it) and "
	       "prints the 8\n             hex digits that stand for it in this install's "
	       "ledger; the key is kept nowhere.\n             Give it as the client sends it, "
	       "without \"Bearer\"; of AWS keys, the key's id\n"
	       "list         the names that the configuration's section `keys` gives to "
	       "fingerprints\n\n"
	       "Names are for --by=key, --by=key_owner, --where=key=NAME and prices.\n");
	config_help("keys");
}

/* ---- fingerprint ------------------------------------------------------------------------- */

/* The terminal as it was, for the signal that ends us in between. */
static struct termios shown;

static void show_and_end(int signal_number)
{
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* False when the terminal would show what is typed. */
static bool hide_typing(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct termios hidden;

	if (tcgetattr(STDIN_FILENO, &shown) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		signal(ends[i], show_and_end);
	signal(SIGTSTP, SIG_IGN); /* or the shell would show what is typed after fg */
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	/* It succeeds when any of the changes was made: look. */
	return tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0 &&
	       tcgetattr(STDIN_FILENO, &hidden) == 0 && !(hidden.c_lflag & ECHO);
}

/* One line at most. Returns its length without the end, or -errno; -E2BIG: there is more. */
static ssize_t read_line(char *key, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size) {
		n = read(STDIN_FILENO, key + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		have += (size_t)n;
		if (n == 0 || (have && key[have - 1] == '\n'))
			break;
	}
	if (have == size)
		return -E2BIG;
	while (have && strchr(" \t\r\n", key[have - 1]))
		have--;
	return memchr(key, '\n', have) ? -E2BIG : (ssize_t)have;
}

static int read_key(char *key, size_t size, size_t *len)
{
	bool typed = isatty(STDIN_FILENO);
	ssize_t n;

	if (typed && !hide_typing())
		return cli_fail(EXIT_FAILED, "keys",
				"this terminal would show the key; write: tolltap keys fingerprint "
				"< FILE");
	if (typed)
		fprintf(stderr, "key (not shown): ");
	n = read_line(key, size);
	if (typed) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		fputc('\n', stderr);
	}
	if (n == -E2BIG)
		return cli_fail(EXIT_USAGE, "keys", "stdin: give one line of less than %u bytes",
				KEY_MAX);
	if (n <= 0)
		return cli_fail(EXIT_USAGE, "keys", "stdin: %s",
				n ? strerror((int)-n) : "it holds no key");
	*len = (size_t)n;
	return EXIT_OK;
}

/* Nothing of the key may reach the disk by a core file or by swapping. */
static void protect(void *memory, size_t size)
{
	const struct rlimit no_core = {0, 0};

	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (mlock(memory, size) < 0)
		errno = 0; /* where it is not allowed, it is read all the same and wiped */
}

static int find_secret(const struct config *config, uint8_t secret[LEDGER_KEY_BYTES])
{
	char err[LEDGER_ERROR_MAX] = "";
	int r = secret_find(secret, config->fingerprint_key_file, config->storage_path, err,
			    sizeof(err));

	if (r == 0)
		return EXIT_OK;
	if (r == -EACCES || r == -EPERM)
		return cli_fail(EXIT_PRIVILEGE, "keys", "%s", err);
	return cli_fail(config->fingerprint_key_file ? EXIT_CONFIG : EXIT_STORAGE, "keys", "%s",
			err);
}

static int keys_fingerprint(const struct config *config)
{
	static char key[KEY_MAX];
	char fingerprint[FINGERPRINT_DIGITS + 1];
	uint8_t secret[LEDGER_KEY_BYTES];
	size_t len = 0;
	int code;

	protect(key, sizeof(key));
	code = find_secret(config, secret);
	if (code == EXIT_OK)
		code = read_key(key, sizeof(key), &len);
	if (code == EXIT_OK)
		credential_fingerprint(fingerprint, (struct slice){key, len}, secret);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(secret, sizeof(secret));
	if (code == EXIT_OK && (puts(fingerprint) < 0 || fflush(stdout)))
		code = cli_fail(EXIT_FAILED, "keys", "cannot write: %s", strerror(errno));
	return code;
}

/* ---- list -------------------------------------------------------------------------------- */

static int keys_list(const struct config *config)
{
	static const struct output_column columns[] = {
		{"fingerprint", OUTPUT_LEFT}, {"name", OUTPUT_LEFT},   {"owner", OUTPUT_LEFT},
		{"provider", OUTPUT_LEFT},    {"key_id", OUTPUT_LEFT},
	};
	enum output_form form = OUTPUT_TABLE;
	struct output *o;
	int r;

	(void)output_form_parse(config->output, &form);
	if (output_new(&o, stdout, form, columns, ARRAY_LEN(columns)))
		return cli_fail(EXIT_FAILED, "keys", "no memory");
	for (size_t i = 0; config->keys && i < config->keys->count; i++) {
		const struct key_name *row = &config->keys->row[i];

		output_text(o, row->fingerprint);
		output_text(o, row->name);
		output_text(o, row->owner);
		output_text(o, row->provider);
		output_text(o, row->key_id);
		output_row(o);
	}
	r = output_end(o);
	if (r && r != -EPIPE)
		return cli_fail(EXIT_FAILED, "keys", "cannot write: %s", strerror(-r));
	return EXIT_OK;
}

int cmd_keys(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	int rc = cli_begin(&config, &argc, argv, NULL, help);

	if (rc != CLI_GO_ON)
		return rc;
	if (argc == 2 && !strcmp(argv[1], "fingerprint"))
		return keys_fingerprint(&config);
	if (argc == 2 && !strcmp(argv[1], "list"))
		return keys_list(&config);
	return cli_fail(EXIT_USAGE, "keys",
			"write: tolltap keys fingerprint < FILE, or tolltap keys list");
}
