/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker from within. Private to agent/worker*.c: worker.c has the loop, the start and the end,
 * worker_status.c tells what the worker sees, worker_tables.c reads hosts and prices, and again at
 * a reload.
 */
#ifndef TT_WORKER_PARTS_H
#define TT_WORKER_PARTS_H

#include "agent/base/loop.h"
#include "agent/capture/lost.h"
#include "agent/tokens/tokenizers.h"
#include "agent/worker.h"

struct catalog;
struct privacy;
struct provider_table;

struct worker {
	const struct worker_opts *opts;
	const struct config *config; /* as the agent was started: its directory, address, ring */
	const struct config *tables; /* hosts, prices, rules: the same, or fresh */
	struct config fresh; /* read by a later worker, or at the last reload that was good */
	struct loop loop;
	struct broker *broker;
	struct tokenizers *tokenizers; /* NULL: there are no tables */
	struct courier_client *courier;
	struct capture *capture;
	struct discovery *discovery;
	struct pipeline *pipeline;
	struct ledger *ledger;
	struct aggregate *aggregate;
	struct http_server *http;
	struct publisher *publisher;
	int signal_fd;
	int timer_fd;
	int64_t started_us;
	struct lost lost;
	unsigned ticks;
	bool ready;
};

/* True unless it takes over from one that ended. */
bool worker_is_first(const struct worker *w);

/* ---- worker_status.c: `user` is the worker ----------------------------------------------------
 */

void worker_refresh_counters(void *user); /* asks the broker for the kernel's */
/* As in exchange_ops. */
bool worker_may_be_lost(void *user, uint64_t from_ns, uint64_t until_ns);
/* As in http_env. */
bool worker_is_ready(void *user, char *why, size_t why_size);
char *worker_status_text(void *user);
/* Lets status.json be written. */
void worker_publish_status(struct worker *w);

/* ---- worker_tables.c --------------------------------------------------------------------------
 */

/*
 * A worker that takes over reads what the configuration says now, of that which a reload changes; a
 * broken one stays away.
 */
void worker_refresh_config(struct worker *w);
/* Returns EXIT_OK and all three tables, or says why not. */
int worker_load_tables(struct worker *w, struct provider_table **providers,
		       struct catalog **catalog, struct privacy *privacy) TT_MUST_CHECK;
/* Compiles the patterns of arguments; EXIT_OK, or says why not. */
int worker_load_arguments(struct worker *w) TT_MUST_CHECK;
/* Tells the gate in the kernel which hosts to watch, or to leave alone. */
void worker_fill_gate(struct worker *w, const struct config *config);
/* And which paths make any other host a candidate. */
void worker_list_paths(struct worker *w);
/* The new tables replace the old only when all of them are valid. */
void worker_reload(struct worker *w);

#endif
