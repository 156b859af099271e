/* SPDX-License-Identifier: Apache-2.0 */
/* A full screen on a terminal: keys without Enter, the size, and the terminal as it was after. */
#ifndef TT_CLI_TERMINAL_H
#define TT_CLI_TERMINAL_H

#include "agent/base/base.h"

/* True when stdin and stdout are terminals that can be drawn on. */
bool terminal_usable(void);
/* Enters the screen; it is left at exit, on return of terminal_close and on signals. */
int terminal_open(void) TT_MUST_CHECK;
void terminal_close(void);
void terminal_size(int *columns, int *rows);
/* Waits for a key at most so long. Returns it, 0 after the time or a resize, -1 to end. */
int terminal_key(int timeout_ms);
/* Draws text (lines ended by '\n', ESC sequences have no width) cut to the screen. */
void terminal_draw(const char *text);

#endif
