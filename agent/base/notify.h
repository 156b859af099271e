/* SPDX-License-Identifier: Apache-2.0 */
/* systemd's readiness protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET, nothing without it.
 */
#ifndef TT_NOTIFY_H
#define TT_NOTIFY_H

/* state as in sd_notify: "READY=1", "STOPPING=1", "RELOADING=1\nMONOTONIC_USEC=...". */
void notify_systemd(const char *state);

#endif
