/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DIR/status.json: what the running agent sees, rewritten about once a second by rename, so that
 * top, doctor and exec need no connection to it. It holds no content. Form:
 *
 * {"pid":1,"version":"0.1.0","started_at":"...Z","updated_at":"...Z","web":"http://127.0.0.1:9465",
 *  "kernel":{"release":"6.18","btf":true,"multi":true,"session":true,"trampoline_safe":true,
 *            "attach":"session","returns":"trampoline"},
 *  "files":[{"path":"/usr/lib/.../libssl.so.3","inode":1,"device":"8:1","build_id":"..",
 *            "kind":"library|executable","state":"attached|refused|failed","reason":"",
 *            "probes":7,"site_class":"emulated",
 *            "processes":3,"deleted":false}],
 *  "processes":[{"pid":1,"comm":"curl","exe":"/usr/bin/curl","tls":"readable|blind","reason":"",
 *                "library":"libssl.so.3"}],
 *  "connections":{"decoded":1,"candidate":0,"muted":9,"blind":0},
 *  "hints":[{"kind":"host_role_unknown","host":"llm.corp","line":"--provider.host=llm.corp=openai"}],
 *  "counters":{"tolltap_capture_lost_events_total{reason=\"ring_full\"}":0}}
 */
#ifndef TT_STATUS_H
#define TT_STATUS_H

#include "agent/base/base.h"

#define STATUS_FILE "status.json"

struct probe_caps;
struct cJSON;

/* Writes DIR/status.json by rename. Returns 0 or -errno. */
int status_write(const char *dir, const struct cJSON *status) TT_MUST_CHECK;
/* Reads it; *out is the caller's (cJSON_Delete). Returns 0, -ENOENT, -EACCES, -EINVAL. */
int status_read(const char *dir, struct cJSON **out) TT_MUST_CHECK;
/* Adds "kernel": what calibration found. */
void status_add_kernel(struct cJSON *status, const struct probe_caps *caps);
/* True when the agent that wrote it still runs (pid alive and updated within 5 s). */
bool status_alive(const struct cJSON *status);

#endif
