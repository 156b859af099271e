/* SPDX-License-Identifier: Apache-2.0 */
/* The landing page: one self-contained document that reads /metrics and /api/v1/status. */
#ifndef TT_LANDING_H
#define TT_LANDING_H

extern const char landing_page[];

/* Nothing but this server may be talked to, and nothing but this page may run. */
#define LANDING_POLICY                                                         \
	"default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; " \
	"style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"

#endif
