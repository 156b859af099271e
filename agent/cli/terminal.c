/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define ENTER_SCREEN "\033[?1049h\033[?25l" /* alternate screen, no cursor */
#define LEAVE_SCREEN "\033[?25h\033[?1049l"

/* One process has one terminal; a signal handler must reach it. */
static struct termios saved;
static volatile sig_atomic_t entered;
static volatile sig_atomic_t ended;

static void on_end(int signal)
{
	(void)signal;
	ended = 1;
}

static void on_resize(int signal)
{
	(void)signal; /* only to interrupt the wait for a key */
}

bool terminal_usable(void)
{
	const char *term = getenv("TERM");

	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

static void write_all(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
}

void terminal_close(void)
{
	if (!entered)
		return;
	entered = 0;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
	write_all(LEAVE_SCREEN, sizeof(LEAVE_SCREEN) - 1);
}

int terminal_open(void)
{
	const struct sigaction end = {.sa_handler = on_end};
	const struct sigaction resize = {.sa_handler = on_resize};
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved))
		return -errno;
	raw = saved;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	raw.c_cc[VSUSP] = _POSIX_VDISABLE; /* a stopped screen would leave the terminal raw */
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw))
		return -errno;
	entered = 1;
	atexit(terminal_close);
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGHUP, &end, NULL);
	sigaction(SIGWINCH, &resize, NULL);
	write_all(ENTER_SCREEN, sizeof(ENTER_SCREEN) - 1);
	return 0;
}

void terminal_size(int *columns, int *rows)
{
	struct winsize size = {0};

	*columns = 80;
	*rows = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
		*columns = size.ws_col;
		*rows = size.ws_row;
	}
}

int terminal_key(int timeout_ms)
{
	struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};
	unsigned char key;
	int ready = ended ? 0 : poll(&wait, 1, timeout_ms);

	if (ended || (ready > 0 && (wait.revents & (POLLHUP | POLLERR))))
		return -1;
	if (ready <= 0)
		return 0;
	return read(STDIN_FILENO, &key, 1) == 1 ? key : 0;
}

/* The bytes of one line that fit in so many columns; ESC sequences and UTF-8 tails take none. */
static size_t fitting(const char *line, size_t len, int columns)
{
	size_t i = 0;
	int used = 0;

	while (i < len) {
		if (line[i] == '\033') {
			while (i < len && line[i] != 'm')
				i++;
			i += i < len;
			continue;
		}
		if (((unsigned char)line[i] & 0xc0) != 0x80 && used++ == columns)
			return i;
		i++;
	}
	return len;
}

void terminal_draw(const char *text)
{
	char *screen = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&screen, &size);
	int columns, rows;

	if (!out)
		return;
	terminal_size(&columns, &rows);
	fputs("\033[H", out);
	for (int row = 0; row < rows && *text; row++) {
		size_t len = strcspn(text, "\n");

		fprintf(out, "%s%.*s\033[0m\033[K", row ? "\n" : "",
			(int)fitting(text, len, columns), text);
		text += len + (text[len] == '\n');
	}
	fputs("\033[J", out);
	fclose(out);
	write_all(screen, size);
	free(screen);
}
